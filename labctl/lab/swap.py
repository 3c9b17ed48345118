"""Put another content into a lab's folder, so that a kill at any point is finished by the next call.

.restore/tree holds the new content.  .restore/marker says that it is whole and which entries it has;
from then on there is no way back, only on: finish_interrupted().  Where there is no room for both, the marker
comes first and names the snapshot that the content is still to be copied from, once the old one is gone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from labctl.errors import ActionFailed, HostLacks, is_full
from labctl.lab import copying
from labctl.lab.copying import remove_tree
from labctl.lab.down import end_processes
from labctl.places import LabPlaces, write_whole

# What belongs to the running lab, to its past, or to this module: in no snapshot, and never replaced.
KEPT = frozenset(
    {"log", "podman.sock", "libvirt-sock", "libvirt-sock-ro", "libvirt-admin-sock", "ready.json", "snapshots",
     "held.json", "restored.json", ".restore", "libvirt-uri", "wires", "remote"}
)  # fmt: skip
# Of the old content: what tells every command which lab this is. It stays until the new one is there.
SAYS_WHAT_IT_IS = frozenset({"lab.json", "machines.json"})


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


def commit(places: LabPlaces, names: Sequence[str], snapshot: str = "") -> None:
    """The new content is whole, and has these entries: end the lab's processes and put it in place.

    snapshot: the one that it is a copy of.
    """
    _mark(places, names, snapshot, whole=True)
    finish_interrupted(places)


def commit_without_room(places: LabPlaces, names: Sequence[str], snapshot: str) -> None:
    """End the lab's processes, remove its content, and copy the snapshot's in its place.

    Raises HostLacks when there is still no room; then a later call finishes it.
    """
    remove_tree(_folder(places))
    try:
        _mark(places, names, snapshot, whole=False)
    except OSError as error:
        if not is_full(error):
            raise
        # Not even for the marker. A kill from here to there leaves the lab empty, and its snapshots whole.
        end_processes(places.lab, places)
        _empty(places)
        _mark(places, names, snapshot, whole=False)
    finish_interrupted(places)


def clear(places: LabPlaces, kept: Sequence[str]) -> None:
    """End the lab's processes and remove its content, but for these entries, which stay where they are.

    On a full disk, too: nothing is written before there is room for it.
    """
    try:
        _mark(places, kept, "", whole=True)
        finish_interrupted(places)
    except OSError as error:
        if not is_full(error):
            raise
        # As in commit_without_room(): until the marker is there, a kill leaves less of what is to go.
        end_processes(places.lab, places)
        remove_tree(_folder(places) / "old")
        _empty(places, kept)
        _mark(places, kept, "", whole=True)
        finish_interrupted(places)


def source(places: LabPlaces) -> str:
    """The snapshot that a killed restore is still to copy from; "" for none."""
    try:
        wanted = json.loads(_marker(places).read_text())
    except FileNotFoundError:
        return ""
    return "" if wanted["whole"] else str(wanted["snapshot"])


def last(places: LabPlaces) -> tuple[str, float]:
    """The snapshot that the lab was last brought back to, and the seconds since; ("", 0.0) for none."""
    try:
        found = json.loads(_stamp(places).read_text())
        return str(found["snapshot"]), time.time() - float(found["at"])
    except (OSError, ValueError, TypeError, KeyError):
        return "", 0.0


def finish_interrupted(places: LabPlaces) -> bool:
    """Finish what a killed restore had begun. True when its content is now the lab's, which is off.

    Only for who holds the lab's lock. What was not whole yet is removed.
    """
    try:
        wanted = json.loads(_marker(places).read_text())
    except FileNotFoundError:
        remove_tree(_folder(places))
        return False
    names, snapshot = frozenset(wanted["names"]), str(wanted["snapshot"])
    end_processes(places.lab, places)
    if not wanted["whole"]:
        _copy(places, names, snapshot)
        _mark(places, names, snapshot, whole=True)
    old, tree = _folder(places) / "old", _folder(places) / "tree"
    old.mkdir(exist_ok=True)
    for name in [*content(places), *sorted(names)]:
        here = places.root / name
        if name in names and not _there(tree / name):
            continue  # the new one is in its place, or it was to stay
        if _there(here):
            here.rename(old / name)
        if name in names:
            (tree / name).rename(here)
    _stamp(places).write_text(json.dumps({"snapshot": snapshot, "at": time.time()}))
    _marker(places).unlink()
    remove_tree(_folder(places))
    return True


def _mark(places: LabPlaces, names: Collection[str], snapshot: str, *, whole: bool) -> None:
    """whole: the new content is all there; else it is still to be copied from the snapshot."""
    _folder(places).mkdir(mode=0o700, exist_ok=True)
    write_whole(_marker(places), json.dumps({"names": sorted(names), "snapshot": snapshot, "whole": whole}))


def _copy(places: LabPlaces, names: Collection[str], snapshot: str) -> None:
    """The old content goes, and the snapshot's comes; again and again."""
    lab, origin, tree = places.lab, places.snapshots / snapshot / "tree", _folder(places) / "tree"
    if not origin.is_dir():
        raise ActionFailed(
            f"Lab {lab} was to be brought back to snapshot {snapshot}, which is not there any more.",
            mend=f"labctl down --lab {lab} && labctl up --lab {lab}",
        )
    _empty(places)
    remove_tree(tree)
    tree.mkdir(mode=0o700)
    try:
        copying.copy_exactly(origin, sorted(names), tree)
    except OSError as error:
        if not is_full(error):
            raise
        remove_tree(tree)
        raise HostLacks(
            f"There was no room left to bring lab {lab} back to snapshot {snapshot}; it is off.",
            details="The snapshot is whole, and the next call goes on from here.",
            mend=f"free some room on the host, then: labctl up --lab {lab}",
        ) from None


def _empty(places: LabPlaces, kept: Collection[str] = ()) -> None:
    for name in content(places):
        if name not in SAYS_WHAT_IT_IS and name not in kept:
            copying.remove(places.root / name)


def _stamp(places: LabPlaces) -> Path:
    return places.root / "restored.json"


def _folder(places: LabPlaces) -> Path:
    return places.root / ".restore"


def _marker(places: LabPlaces) -> Path:
    return _folder(places) / "marker"


def _there(path: Path) -> bool:
    return path.exists() or path.is_symlink()
