"""The JSON Schema of a lab's file, for editors; generated from its form."""

from __future__ import annotations

import functools
from typing import Any

from labctl.lab.file.form import ComposeForm


def lab_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a complete compose.yaml as labctl reads it.

    An override file holds only what it changes, so its missing keys are no mistakes.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **ComposeForm.model_json_schema(by_alias=True, mode="validation"),
        "title": "labctl's compose.yaml",
    }


@functools.cache
def _schema() -> dict[str, Any]:
    return lab_schema()


def known_keys(path: tuple[str | int, ...]) -> tuple[str, ...]:
    """The keys that may stand in the mapping at a path of the file."""
    places = [_resolve(_schema())]
    for part in path:
        places = [below for place in places for below in _below(place, part)]
    return tuple(key for place in places for key in place.get("properties", {}))


def _below(place: dict[str, Any], part: str | int) -> list[dict[str, Any]]:
    if isinstance(part, int):
        found = place.get("items", {})
    else:
        found = place.get("properties", {}).get(part)
        if found is None:
            patterns = list(place.get("patternProperties", {}).values())
            found = place.get("additionalProperties") or (patterns[0] if patterns else {})
    return [_resolve(option) for option in found.get("anyOf", [found])] if isinstance(found, dict) else []


def _resolve(place: dict[str, Any]) -> dict[str, Any]:
    reference = place.get("$ref")
    if reference is None:
        return place
    resolved: dict[str, Any] = _schema()["$defs"][str(reference).rpartition("/")[2]]
    return resolved
