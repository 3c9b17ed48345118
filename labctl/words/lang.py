"""The two languages, and which one is asked for; quick to load, since every command asks."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Final, Literal

from labctl.places import LabPlaces

Lang = Literal["en", "ko"]
LANGS: Final[tuple[Lang, ...]] = ("en", "ko")
HANGUL: Final = re.compile(r"[\uac00-\ud7a3]")


def from_locale(environment: Mapping[str, str] | None = None) -> Lang:
    """The language that the locale asks for: LC_ALL before LC_MESSAGES before LANG (locale(7))."""
    given = os.environ if environment is None else environment
    chosen = next((given[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if given.get(name)), "")
    return "ko" if chosen.partition("_")[0].partition(".")[0] == "ko" else "en"


def known(word: str | None) -> Lang | None:
    """The language of this name, None when there is none."""
    return next((lang for lang in LANGS if lang == word), None)


def last_asked(places: LabPlaces) -> Lang | None:
    """The language last asked for in a lab; None when none was, or its record cannot be read."""
    try:
        record = json.loads(places.course.read_text(encoding="utf-8"))
        return known(record["lang"])
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return None
