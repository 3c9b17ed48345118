"""Compose's rules for putting an override file over a base file (compose-spec, 13-merge.md).

Mappings merge, sequences are appended, scalars are replaced; `!reset` takes a key
away and `!override` puts the new value in the old one's place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from labctl.lab.file.yaml_tree import Entry, Item, Mistake, plain

Path = tuple[str | int, ...]

# Sequences that Compose replaces instead of appending.
_REPLACED = ("command", "entrypoint")


def settle(item: Item) -> Item:
    """A file read alone: what is marked `!reset` is not there."""
    return merge(replace(item, value={}), item, []) if isinstance(item.value, Mapping) else item


def merge(base: Item, over: Item, mistakes: list[Mistake], path: Path = ()) -> Item:
    """`base` with `over` put over it.  A clash of kinds is added to mistakes and leaves the base."""
    if over.mark == "override":
        return settle(replace(over, mark=""))
    if over.value is None and isinstance(base.value, Mapping | tuple):
        return base
    if base.value is None or not (_is_collection(base) or _is_collection(over)):
        return settle(over)
    if isinstance(base.value, tuple) and isinstance(over.value, tuple):
        return over if path and path[-1] in _REPLACED else _appended(base, over)
    named_base, named_over = _named(base), _named(over)
    if named_base is not None and named_over is not None:
        return replace(base, value=_mappings(named_base, named_over, mistakes, path))
    text = f"a {_kind(over)} cannot be put over the {_kind(base)} at {base.where.file}:{base.where.line}"
    mistakes.append(Mistake(over.where, path, "merge", text))
    return base


def _appended(base: Item, over: Item) -> Item:
    """Two sequences in a row; what the first holds already is not said twice."""
    first = base.value if isinstance(base.value, tuple) else ()
    more = over.value if isinstance(over.value, tuple) else ()
    held = {repr(plain(child)) for child in first}
    return replace(base, value=first + tuple(new for new in more if repr(plain(new)) not in held))


def _mappings(
    base: Mapping[str, Entry], over: Mapping[str, Entry], mistakes: list[Mistake], path: Path
) -> dict[str, Entry]:
    merged = dict(base)
    for key, entry in over.items():
        if entry.item.mark == "reset":
            merged.pop(key, None)
        elif key in merged:
            merged[key] = Entry(entry.where, merge(merged[key].item, entry.item, mistakes, (*path, key)))
        elif entry.item.mark == "override" or isinstance(entry.item.value, Mapping):
            merged[key] = Entry(entry.where, settle(replace(entry.item, mark="")))
        else:
            merged[key] = entry
    return merged


def _is_collection(item: Item) -> bool:
    return isinstance(item.value, Mapping | tuple)


def _named(item: Item) -> Mapping[str, Entry] | None:
    """A mapping, or the one that a list of names is short for (`networks: [a, b]`)."""
    if isinstance(item.value, Mapping):
        return item.value
    if not isinstance(item.value, tuple):
        return None
    names = {str(child.value): Entry(child.where, Item(child.where, None)) for child in item.value}
    return names if all(isinstance(child.value, str) for child in item.value) else None


def _kind(item: Item) -> str:
    if isinstance(item.value, Mapping):
        return "mapping"
    return "list" if isinstance(item.value, tuple) else "single value"
