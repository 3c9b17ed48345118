"""Read the files of a lab into one form, and collect every mistake in them."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from labctl.lab.file.crosscheck import crosscheck, keys_at
from labctl.lab.file.form import REFUSED, ComposeForm, ComposePart
from labctl.lab.file.merge import merge, settle
from labctl.lab.file.schema import known_keys
from labctl.lab.file.yaml_tree import Data, Item, Mistake, Where, locate, plain, read_tree
from labctl.lab.model import nearest

MAX_BYTES: Final = 1024 * 1024
# Looking for a near word costs a millisecond; a file of nothing but wrong keys has thousands.
MAX_SUGGESTIONS: Final = 50

_KeyPath = tuple[str | int, ...]


class _UnreadableError(Exception):
    """A file that is not there or holds no text; the words say which."""


def read_form(
    files: Sequence[Path], environment: Mapping[str, str]
) -> tuple[ComposeForm | None, list[Mistake]]:
    """The merged form of some files, the first being the base, and every mistake in them.

    The form is None when a single value is wrong; with a clash between values there is one.
    """
    mistakes: list[Mistake] = []
    trees = [_tree(path, environment, mistakes) for path in files]
    read = [tree for tree in trees if tree is not None]
    if len(read) < len(trees):
        return None, mistakes
    root = settle(read[0])
    for tree in read[1:]:
        root = merge(root, tree, mistakes)
    data = plain(root)
    form: ComposeForm | None = None
    try:
        form = ComposeForm.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        mistakes += [
            _mistake(detail, data, root, suggest=position < MAX_SUGGESTIONS)
            for position, detail in enumerate(details)
        ]
    mistakes += crosscheck(_readable_part(plain(root)), data, lambda path: locate(root, path))
    return form, mistakes


def _tree(path: Path, environment: Mapping[str, str], mistakes: list[Mistake]) -> Item | None:
    try:
        text = _text(path)
    except _UnreadableError as error:
        mistakes.append(Mistake(Where(str(path), 1), (), "unreadable", str(error)))
        return None
    root, wrong = read_tree(text, str(path), environment)
    mistakes += wrong
    if root is None or isinstance(root.value, Mapping):
        return replace(root, mark="") if root else None
    if not wrong:
        mistakes.append(Mistake(root.where, (), "type", "must be a mapping (key: value) at its top"))
    return None


def _text(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _UnreadableError("is not a regular file")
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _UnreadableError("there is no such file") from None
    except (OSError, ValueError) as error:
        raise _UnreadableError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MAX_BYTES:
        raise _UnreadableError(f"is larger than {MAX_BYTES // 1024} KiB")
    if b"\0" in content:
        raise _UnreadableError("is no text: it holds zero bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _UnreadableError(f"is not UTF-8 (byte {error.start})") from None


def _readable_part(data: Data) -> ComposePart:
    """What is left when everything that cannot be read is taken out of the data, which this changes."""
    while True:
        try:
            return ComposePart.model_validate(data)
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False)
            # All places first: taking one out must not make another lead elsewhere.
            wrong = {_wrong_part(data, detail) for detail in details}
            if () in wrong:
                return ComposePart.model_validate({})
            for path in wrong:
                _remove(data, path)


def _wrong_part(data: Data, detail: ErrorDetails) -> _KeyPath:
    """The path to take out for an error: the value, what lacks a value, or the whole list around it."""
    path = _path(detail)
    if detail["type"] == "missing":
        path = path[:-1]
    there: list[str] = []
    for part in path:
        if not isinstance(data, dict) or not isinstance(part, str) or part not in data:
            break
        there.append(part)
        data = data[part]
    return tuple(there)


def _remove(data: Data, path: _KeyPath) -> None:
    for part in path[:-1]:
        data = data.get(str(part)) if isinstance(data, dict) else None
    if isinstance(data, dict):
        data.pop(str(path[-1]), None)


def _path(detail: ErrorDetails) -> _KeyPath:
    """The key path of an error; pydantic adds '[key]' where a key itself is wrong."""
    path = detail["loc"]
    return path[:-1] if path and path[-1] == "[key]" else path


_TEXTS: Final = {
    "string_type": "must be text (in quotes, where it looks like something else)",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "mapping_type": "must be a mapping (key: value)",
    "dict_type": "must be a mapping (key: value)",
    "model_type": "must be a mapping (key: value)",
    "model_attributes_type": "must be a mapping (key: value)",
}


def _mistake(detail: ErrorDetails, data: Data, root: Item, *, suggest: bool) -> Mistake:
    path, kind = _path(detail), detail["type"]
    key = str(path[-1]) if path else ""
    known = known_keys(path[:-1]) if suggest else ()
    if kind == "extra_forbidden":
        refused = key in REFUSED
        text = "labctl does not read this key of Compose" if refused else "unknown key" + nearest(key, known)
        return Mistake(locate(root, path), path, "unknown-key", text)
    if kind == "missing":
        others = set(keys_at(data, *path[:-1])) - set(known) if suggest else ()
        near = nearest(key, others).replace("did you mean", "is it meant by")
        return Mistake(locate(root, path), path, "missing", "is missing" + near)
    text = _TEXTS.get(kind) or detail["msg"].removeprefix("Value error, ").replace(
        "Input should be", "must be"
    )
    return Mistake(locate(root, path), path, "type" if kind in _TEXTS else "value", text)
