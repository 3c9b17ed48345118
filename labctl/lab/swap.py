"""Put another content into a lab's folder, so that a kill at any point is finished by the next call.

.restore/tree holds the new content.  .restore/marker says that it is whole and which entries it has;
from then on there is no way back, only on: finish_interrupted().
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from labctl.lab.copying import remove_tree
from labctl.lab.down import end_processes
from labctl.places import LabPlaces

# What belongs to the running lab, to its past, or to this module: in no snapshot, and never replaced.
KEPT = frozenset(
    {"log", "podman.sock", "libvirt-sock", "libvirt-sock-ro", "libvirt-admin-sock", "ready.json", "snapshots",
     "held.json", ".restore"}
)  # fmt: skip


def content(places: LabPlaces) -> list[str]:
    """The entries of the lab's folder that make up the lab, sorted."""
    return sorted(path.name for path in places.root.iterdir() if path.name not in KEPT)


def prepare(places: LabPlaces) -> Path:
    """An empty folder for the new content."""
    remove_tree(_folder(places))
    tree = _folder(places) / "tree"
    for folder in (_folder(places), tree):
        folder.mkdir(mode=0o700)
    return tree


def give_up(places: LabPlaces) -> None:
    """Throw the new content away; the lab is as it was."""
    if not _marker(places).exists():
        remove_tree(_folder(places))


def commit(places: LabPlaces, names: Sequence[str]) -> None:
    """The new content is whole, and has these entries: end the lab's processes and put it in place."""
    temporary = _folder(places) / "marker.new"
    temporary.write_text(json.dumps(sorted(names)))
    temporary.replace(_marker(places))
    finish_interrupted(places)


def finish_interrupted(places: LabPlaces) -> bool:
    """Finish what a killed restore had begun. True when its content is now the lab's, which is off.

    Only for who holds the lab's lock. What was not whole yet is removed.
    """
    try:
        names = frozenset(json.loads(_marker(places).read_text()))
    except FileNotFoundError:
        remove_tree(_folder(places))
        return False
    end_processes(places.lab, places)
    old, tree = _folder(places) / "old", _folder(places) / "tree"
    old.mkdir(exist_ok=True)
    for name in [*content(places), *sorted(names)]:
        here = places.root / name
        if name in names and not _there(tree / name):
            continue  # the new one is in its place
        if _there(here):
            here.rename(old / name)
        if name in names:
            (tree / name).rename(here)
    _marker(places).unlink()
    remove_tree(_folder(places))
    return True


def _folder(places: LabPlaces) -> Path:
    return places.root / ".restore"


def _marker(places: LabPlaces) -> Path:
    return _folder(places) / "marker"


def _there(path: Path) -> bool:
    return path.exists() or path.is_symlink()
