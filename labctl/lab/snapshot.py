"""Snapshots of a whole lab: all nodes' file systems, the cluster's configuration, disks and target.

What a snapshot is, which there are, and how one goes. labctl.lab.capture makes them, labctl.lab.restore
brings them back.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import labctl
from labctl.errors import BadFile, UsageError
from labctl.lab import copying, lock, swap
from labctl.lab.model import nearest
from labctl.places import LabPlaces

FORMAT = 1  # raised whenever older snapshots cannot be restored any more
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
META, TREE = "meta.json", "tree"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Snapshot:
    """One snapshot, as its meta.json says.

    created: UTC, ISO 8601.  image: of the lab's record; images: of its machines.  nodes: name to the
    hash of the description that its machine was made from, "" when it had none.  until, storage: as in
    the lab's record.  size: bytes on disk, with memory; bytes and entries: of the tree, to see that it is
    whole.
    memory: bytes of what virtual machines held, 0 when they boot at a restore.
    frozen: seconds that the lab stood still.
    """

    name: str
    lab: str
    created: str
    family: str
    image: str
    images: tuple[str, ...]
    nodes: Mapping[str, str]
    until: str
    storage: str
    quorate: bool
    names: tuple[str, ...]
    size: int
    bytes: int
    entries: int
    note: str = ""
    memory: int = 0
    frozen: float = 0.0
    version: str = labctl.__version__
    format: int = FORMAT

    @property
    def age(self) -> float:
        """Seconds since it was made."""
        return (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(self.created)).total_seconds()

    def document(self) -> dict[str, object]:
        """For --json."""
        hidden = ("names", "bytes", "entries", "images")
        return {key: value for key, value in asdict(self).items() if key not in hidden}


def folder(places: LabPlaces, name: str) -> Path:
    return places.snapshots / name


def names(places: LabPlaces) -> list[str]:
    """Every snapshot of the lab, sorted; what is half made or half removed does not count."""
    if not places.snapshots.is_dir():
        return []
    return sorted(path.name for path in places.snapshots.iterdir() if not path.name.startswith("."))


def load(places: LabPlaces, name: str) -> Snapshot:
    """One snapshot. Raises UsageError when there is none, BadFile when it is damaged or of another format."""
    path = require(places, name) / META
    away = f"labctl snapshot delete {name} --lab {places.lab}"
    try:
        raw = json.loads(path.read_text())
        if raw["format"] != FORMAT:
            raise BadFile(
                f"Snapshot {name} was made by labctl {raw.get('version', 'of an unknown version')}.",
                details=f"This labctl ({labctl.__version__}) cannot restore the snapshots of that version.",
                mend=away,
            )
        raw["images"], raw["names"] = tuple(raw["images"]), tuple(raw["names"])
        return Snapshot(**raw)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadFile(f"Snapshot {name} is damaged.", details=f"{path}: {error!r}", mend=away) from None


def require(places: LabPlaces, name: str) -> Path:
    """The folder of a snapshot that is there. Raises UsageError, naming the nearest."""
    known = names(places)
    if name not in known:
        raise UsageError(
            f"Lab {places.lab} has no snapshot {name!r}{nearest(name, known)}.",
            details=f"There are: {', '.join(known)}" if known else "It has none at all.",
            mend=f"labctl snapshot list --lab {places.lab}",
        )
    return folder(places, name)


def new_name(places: LabPlaces, wanted: str | None) -> str:
    """The name for a new snapshot, of today's date when none is wanted. Raises UsageError."""
    name = wanted if wanted is not None else f"{dt.datetime.now().astimezone():%Y-%m-%d-%H%M%S}"
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a snapshot's name.",
            details="Lower-case letters, digits, dots, dashes and underscores; a letter or digit first; "
            "63 at most.",
            mend="labctl snapshot create before-the-exercise",
        )
    if name in names(places):
        raise UsageError(
            f"Lab {places.lab} has a snapshot {name!r} already.",
            mend=f"choose another name, or: labctl snapshot delete {name} --lab {places.lab}",
        )
    return name


def delete(places: LabPlaces, doomed: list[str], *, say: Say, patience: float = 0.0) -> None:
    """Remove snapshots: all of them, or none when one is unknown. Raises UsageError, Busy."""
    what = f"labctl snapshot delete --lab {places.lab}"
    with lock.held(places.lab, what, patience=patience, on_wait=say):
        for name in doomed:
            require(places, name)
            if swap.source(places) == name:
                raise UsageError(
                    f"The lab is being brought back to snapshot {name}, which was not finished.",
                    mend=f"labctl up --lab {places.lab}",
                )
        for name in dict.fromkeys(doomed):
            say(f"removing snapshot {name}")
            folder(places, name).rename(places.snapshots / f".{name}.deleted")
        clear_leftovers(places)


def clear_leftovers(places: LabPlaces) -> None:
    """Remove what killed calls left. Only for who holds the lab's lock."""
    if places.snapshots.is_dir():
        for path in places.snapshots.iterdir():
            if path.name.startswith("."):
                copying.remove_tree(path)
