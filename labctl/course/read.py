"""An exercise's file to an Exercise, or to the list of all that is wrong with it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from labctl.course.crosscheck import crosscheck
from labctl.course.form import Exercise, NearMiss, Note, Silent, Step
from labctl.course.kinds import KINDS, Base
from labctl.course.text import Text
from labctl.errors import BadFile
from labctl.lab.file.yaml_tree import Data, Item, Mistake, Where, locate, plain, read_tree
from labctl.lab.model import nearest

MAX_BYTES: Final = 256 * 1024
PLACES: Final[dict[str, type[BaseModel]]] = {
    "solution": Step,
    "prepare": Silent,
    "cleanup": Silent,
    "steps": Silent,
    "near_miss": NearMiss,
    "notes": Note,
}
TEXTS: Final = {
    "string_type": "must be text (in quotes, where it looks like something else)",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "model_type": "must be a mapping (key: value)",
    "model_attributes_type": "must be a mapping (key: value)",
    "too_short": "must not be empty",
}

KeyPath = tuple[str | int, ...]


def read_exercise(
    path: Path, *, variables: Collection[str] | None = None
) -> tuple[Exercise | None, list[Mistake]]:
    """The exercise of a file, and every mistake in it; None when a single value is wrong.

    variables: the names that commands may use; None leaves them unchecked.
    """
    root, mistakes = _tree(path)
    if root is None or mistakes:
        return None, mistakes
    data = plain(root)
    try:
        exercise = Exercise.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        return None, [_mistake(detail, data, root) for detail in details if not _echo(detail, details)]
    findings = crosscheck(exercise, path, variables)
    return exercise, [Mistake(locate(root, found), found, code, text) for found, code, text in findings]


def bad_file(mistakes: Sequence[Mistake]) -> BadFile:
    """All mistakes as one error."""
    listed = sorted(set(mistakes), key=lambda one: (one.where.file, one.where.line, str(one)))
    names = ", ".join(dict.fromkeys(one.where.file for one in listed))
    many = "a mistake" if len(listed) == 1 else f"{len(listed)} mistakes"
    return BadFile(
        f"The course has {many}: {names}",
        details="\n".join(map(str, listed)),
        mend="correct the lines above; labctl exercise lint FILE tells what is left",
    )


def _tree(path: Path) -> tuple[Item | None, list[Mistake]]:
    def wrong(code: str, text: str) -> tuple[None, list[Mistake]]:
        return None, [Mistake(Where(str(path), 1), (), code, text)]

    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return wrong("unreadable", "there is no such file")
    except OSError as error:
        return wrong("unreadable", f"cannot be read: {error.strerror}")
    if len(content) > MAX_BYTES:
        return wrong("unreadable", f"is larger than {MAX_BYTES // 1024} KiB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return wrong("unreadable", f"is not UTF-8 (byte {error.start})")
    if "\0" in text:
        return wrong("unreadable", "is no text: it holds zero bytes")
    # A $ belongs to the shell here: doubled, the reader of Compose files gives it back as one.
    root, mistakes = read_tree(text.replace("$", "$$"), str(path), {})
    if root is not None and not isinstance(root.value, dict) and not mistakes:
        return wrong("type", "must be a mapping (key: value) at its top")
    return root, mistakes


def _echo(detail: ErrorDetails, details: Sequence[ErrorDetails]) -> bool:
    """Whether a list only counts as empty because what stands in it is wrong."""
    place = detail["loc"]
    return detail["type"] == "too_short" and any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in details
    )


def _mistake(detail: ErrorDetails, data: Data, root: Item) -> Mistake:
    path, kind = _path(detail["loc"]), detail["type"]
    where = locate(root, path)
    if kind == "extra_forbidden":
        near = nearest(str(path[-1]), _known(path[:-1], data))
        return Mistake(where, path, "unknown-key", f"unknown key{near}")
    if kind == "missing":
        return Mistake(where, path, "missing", "is missing")
    if kind == "union_tag_invalid":
        given = str(_at(data, (*path, "type")))
        kinds = ", ".join(sorted(KINDS))
        text = f"there is no check of type {given!r}{nearest(given, KINDS)}; there are {kinds}"
        return Mistake(locate(root, (*path, "type")), (*path, "type"), "value", text)
    if kind == "union_tag_not_found":
        return Mistake(where, (*path, "type"), "missing", "is missing")
    text = TEXTS.get(kind) or detail["msg"].removeprefix("Value error, ")
    return Mistake(
        where, path, "type" if kind in TEXTS else "value", text.replace("Input should be", "must be")
    )


def _path(place: KeyPath) -> KeyPath:
    """The key path of an error, without the check's type that pydantic puts after checks[n]."""
    return tuple(
        part
        for position, part in enumerate(place)
        if not (position == 2 and place[0] == "checks" and part in KINDS)
    )


def _known(path: KeyPath, data: Data) -> Collection[str]:
    """The keys that may stand in the mapping at a path."""
    if not path:
        return Exercise.model_fields
    if path[0] == "checks" and len(path) == 2:
        return KINDS.get(str(_at(data, (*path, "type"))), Base).model_fields
    names = [part for part in path if isinstance(part, str)]
    if isinstance(path[-1], int) and names[-1] in PLACES:
        return PLACES[names[-1]].model_fields
    return Text.model_fields


def _at(data: Data, path: KeyPath) -> Data:
    for part in path:
        if isinstance(data, dict) and isinstance(part, str):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return None
    return data
