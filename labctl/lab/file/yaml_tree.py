"""YAML text to a tree whose every key knows its file and line.

Built from the parser's events with a stack of its own, so that neither deep
nesting nor anchors that multiply can exhaust memory or recursion.  Plain scalars
follow YAML 1.2's core schema, as Compose does: `on` is text, 22:22 is no number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import yaml

from labctl.lab.file.variables import interpolate

MAX_DEPTH: Final = 32
MAX_ITEMS: Final = 5_000

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# libyaml reads ahead of its events, so its own bound (1000, in newer builds) may come before ours.
_LIBYAML_TOO_DEEP: Final = "exceeded maximum nesting depth"
_TAG: Final = "tag:yaml.org,2002:"
_NULLS: Final = ("", "~", "null", "Null", "NULL")
_BOOLS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT: Final = re.compile(r"[-+]?[0-9]{1,18}")
_BASED: Final = re.compile(r"0o[0-7]{1,18}|0x[0-9A-Fa-f]{1,15}")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]{1,18}|[0-9]{1,18}(\.[0-9]{0,18})?)([eE][-+]?[0-9]{1,2})?")

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Where:
    """A place in a file; lines count from 1."""

    file: str
    line: int


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong, as data: `code` is stable, the text is for people."""

    where: Where
    path: tuple[str | int, ...]
    code: str
    text: str

    def __str__(self) -> str:
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{_short(part)}" for part in self.path)
        return f"{self.where.file}:{self.where.line}: {key.lstrip('.') + ': ' if key else ''}{self.text}"


@dataclass(frozen=True)
class Item:
    """A value with its place.  mark: '', 'reset' or 'override' (Compose's merge tags).

    size and depth count the items below with every alias written out.
    """

    where: Where
    value: Scalar | tuple[Item, ...] | Mapping[str, Entry]
    mark: str = ""
    size: int = 1
    depth: int = 1


@dataclass(frozen=True)
class Entry:
    """A mapping's value together with the place of its key."""

    where: Where
    item: Item


Data = Scalar | list["Data"] | dict[str, "Data"]


def plain(item: Item) -> Data:
    """The bare values of a tree, as a JSON reader would give them."""
    if isinstance(item.value, tuple):
        return [plain(child) for child in item.value]
    if isinstance(item.value, Mapping):
        return {key: plain(entry.item) for key, entry in item.value.items()}
    return item.value


def locate(root: Item, path: tuple[str | int, ...]) -> Where:
    """The place of a key path, or of its deepest part that exists."""
    where, item = root.where, root
    for part in path:
        if isinstance(item.value, Mapping) and isinstance(part, str) and part in item.value:
            where, item = item.value[part].where, item.value[part].item
        elif isinstance(item.value, tuple) and isinstance(part, int) and part < len(item.value):
            item = item.value[part]
            where = item.where
        else:
            break
    return where


@dataclass
class _Open:
    """A collection whose end has not come yet."""

    where: Where
    mapping: bool
    anchor: str | None
    mark: str
    children: list[Item] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    merged: list[Item] = field(default_factory=list)
    key: tuple[str, Where] | None = None
    size: int = 1
    depth: int = 1


class _TooMuchError(Exception):
    """The file is beyond the bounds: reading stops here."""


class _Builder:
    def __init__(self, file: str, environment: Mapping[str, str]) -> None:
        self.file = file
        self.environment = environment
        self.mistakes: list[Mistake] = []
        self.stack: list[_Open] = []
        self.anchors: dict[str, Item | None] = {}
        self.root: Item | None = None

    def wrong(self, where: Where, code: str, text: str) -> None:
        path = tuple(
            frame.key[0] if frame.key else len(frame.children)
            for frame in self.stack
            if frame.key or not frame.mapping
        )
        self.mistakes.append(Mistake(where, path, code, text))

    def feed(self, event: yaml.Event) -> None:
        where = Where(self.file, event.start_mark.line + 1 if event.start_mark else 1)
        if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            self.wrong(where, "documents", "there is more than one document in the file")
            raise _TooMuchError
        if isinstance(event, yaml.ScalarEvent):
            self.scalar(event, where)
        elif isinstance(event, yaml.AliasEvent):
            self.alias(event, where)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            mapping = isinstance(event, yaml.MappingStartEvent)
            if len(self.stack) >= MAX_DEPTH:
                self.wrong(where, "too-deep", f"nested more than {MAX_DEPTH} deep")
                raise _TooMuchError
            mark = self.mark(event.tag, ("map", "seq"), where)
            if event.anchor:
                self.anchors[event.anchor] = None
            self.stack.append(_Open(where, mapping, event.anchor, mark))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self.close()

    def mark(self, tag: str | None, kinds: tuple[str, ...], where: Where) -> str:
        if tag in ("!reset", "!override"):
            return tag[1:]
        if tag not in (None, "!") and tag not in {_TAG + kind for kind in kinds}:
            self.wrong(where, "tag", f"the tag {_short(str(tag))} is not known here")
        return ""

    def scalar(self, event: yaml.ScalarEvent, where: Where) -> None:
        mark = self.mark(event.tag, ("str", "int", "float", "bool", "null"), where)
        text: str = event.value
        frame = self.stack[-1] if self.stack else None
        if not (frame and frame.mapping and frame.key is None):
            try:
                text = interpolate(text, self.environment)
            except ValueError as error:
                self.wrong(where, "variable", str(error))
        loose = event.implicit[0] or (
            event.tag is not None and event.tag != _TAG + "str" and event.tag != "!"
        )
        is_key = frame is not None and frame.mapping and frame.key is None
        self.add(Item(where, core_value(text) if loose and not is_key else text, mark), event.anchor)

    def alias(self, event: yaml.AliasEvent, where: Where) -> None:
        name = str(event.anchor)
        item = self.anchors.get(name)
        if item is None:
            known = name in self.anchors
            self.wrong(
                where,
                "alias",
                f"*{_short(name)} " + ("contains itself" if known else "has no anchor before it"),
            )
            item = Item(where, None)
        self.add(item, None)

    def close(self) -> None:
        frame = self.stack.pop()
        value: tuple[Item, ...] | Mapping[str, Entry] = tuple(frame.children)
        if frame.mapping:
            value = dict(frame.entries)
            for merged in frame.merged:
                if isinstance(merged.value, Mapping):
                    value = {**merged.value, **value}
        self.add(Item(frame.where, value, frame.mark, frame.size, frame.depth), frame.anchor)

    def add(self, item: Item, anchor: str | None) -> None:
        if anchor:
            self.anchors[anchor] = item
        if not self.stack:
            self.root = item
            return
        frame = self.stack[-1]
        frame.size += item.size
        frame.depth = max(frame.depth, item.depth + 1)
        if frame.size > MAX_ITEMS or len(self.stack) + item.depth > MAX_DEPTH:
            code, text = ("too-large", f"more than {MAX_ITEMS} values, aliases written out")
            if frame.size <= MAX_ITEMS:
                code, text = ("too-deep", f"nested more than {MAX_DEPTH} deep, aliases written out")
            self.wrong(item.where, code, text)
            raise _TooMuchError
        if not frame.mapping:
            frame.children.append(item)
        elif frame.key is None:
            self.open_key(frame, item)
        else:
            (key, where), frame.key = frame.key, None
            self.set_entry(frame, key, where, item)

    def open_key(self, frame: _Open, item: Item) -> None:
        key = item.value if isinstance(item.value, str) else ""
        if not isinstance(item.value, str):
            self.wrong(item.where, "key", "a key must be text")
        frame.key = (key, item.where)
        if key in frame.entries or (key == "<<" and frame.merged):
            self.wrong(item.where, "duplicate-key", "this key stands here twice")

    def set_entry(self, frame: _Open, key: str, where: Where, item: Item) -> None:
        if key != "<<":
            frame.entries.setdefault(key, Entry(where, item))
            return
        sources = item.value if isinstance(item.value, tuple) else (item,)
        frame.merged.extend(sources)
        if not all(isinstance(source.value, Mapping) for source in sources):
            self.wrong(where, "merge-key", "<< takes a mapping or a list of mappings")


def read_tree(text: str, file: str, environment: Mapping[str, str]) -> tuple[Item | None, list[Mistake]]:
    """Parse one document.  The tree is None when the text cannot be read to its end."""
    builder = _Builder(file, environment)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.feed(event)
    except _TooMuchError:
        return None, builder.mistakes
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        if error.problem == _LIBYAML_TOO_DEEP:
            too_deep = f"nested more than {MAX_DEPTH} deep"
            return None, [*builder.mistakes, Mistake(Where(file, line), (), "too-deep", too_deep)]
        reason = " ".join(part for part in (error.context, error.problem) if part)
        builder.mistakes.append(Mistake(Where(file, line), (), "yaml", f"not YAML: {reason}"))
        return None, builder.mistakes
    except (yaml.YAMLError, ValueError) as error:
        reason = _short(str(error).replace("\n", " "))
        builder.mistakes.append(Mistake(Where(file, 1), (), "yaml", f"not YAML: {reason}"))
        return None, builder.mistakes
    if builder.root is None:
        builder.mistakes.append(Mistake(Where(file, 1), (), "empty", "the file is empty"))
    return builder.root, builder.mistakes


def core_value(text: str) -> Scalar:
    """A plain scalar by YAML 1.2's core schema (section 10.3.2); too long a number stays text."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    return float(text) if _FLOAT.fullmatch(text) else text


def _short(text: str) -> str:
    """Text of a file, fit for one line of a message."""
    safe = "".join(char if char.isprintable() else "?" for char in text)
    return safe if len(safe) <= 120 else safe[:117] + "..."
