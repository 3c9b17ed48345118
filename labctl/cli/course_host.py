"""Ties the course to a lab: its machines, snapshots and starts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from labctl import run
from labctl.course.place import Place
from labctl.course.variables import of_lab
from labctl.engine.base import Engine
from labctl.errors import BadFile
from labctl.lab import bubble as lab_bubble
from labctl.lab import machines, snapshot, swap
from labctl.places import LabPlaces, lab_places
from labctl.storage import saveconfig
from labctl.vm.pace import Pace
from labctl.words.lab import in_words
from labctl.words.lang import Lang

if TYPE_CHECKING:
    from labctl.lab.model import Lab

LABCTL_SECONDS = 600.0


class LabHost:
    """labctl.course.place.Host for a lab of this machine."""

    def __init__(self, lab: Lab, places: LabPlaces, say: Callable[[str], None], patience: float) -> None:
        self._lab = lab
        self._places = places
        self._say = say
        self._patience = patience

    def engine(self) -> Engine:
        return lab_bubble.engine(self._lab.name, self._places)

    def snapshots(self) -> Mapping[str, float]:
        return {name: self._age(name) for name in snapshot.names(self._places)}

    def _age(self, name: str) -> float:
        try:
            return snapshot.load(self._places, name).age
        except BadFile:
            return 0.0  # damaged: it is there, and nothing was ever restored from it

    def restored(self) -> tuple[str, float]:
        return swap.last(self._places)

    def labctl(self, words: Sequence[str]) -> run.Result:
        argv = [sys.executable, "-m", "labctl", *words, "--lab", self._lab.name]
        return run.run(argv, timeout=LABCTL_SECONDS, check=False)

    # What only a start needs is loaded for one: `check` is as quick as its imports are few.

    def go_to(self, start: str, *, fencing: bool = True) -> None:
        from labctl.lab import starts
        from labctl.lab.up import Progress

        starts.go_to(self._places, start, Progress(say=self._say), fencing=fencing, patience=self._patience)

    def keep(self, name: str, note: str) -> None:
        from labctl.lab import capture

        capture.create(self._lab, self._places, name, note=note, say=self._say, patience=self._patience)

    def restore(self, name: str) -> None:
        from labctl.lab.restore import restore
        from labctl.lab.up import Progress

        restore(
            self._places,
            name,
            Progress(say=self._say),
            give_way=True,
            pcsd=False,
            patience=self._patience,
        )


def place_of(
    lab: Lab,
    places: LabPlaces,
    lang: Lang,
    *,
    say: Callable[[str], None] = lambda _: None,
    patience: float = 0.0,
) -> Place:
    """The course's view of a lab."""
    units = family_words(lab.family)["unit"]
    host = LabHost(lab, places, lambda line: say(in_words(lang, line)), patience)
    return Place(lab, host, lang, variables(lab), units)


def variables(lab: Lab) -> dict[str, str]:
    """What the course's commands may name in this lab. Raises BadFile."""
    found = machines.load(lab_places(lab.name))
    return of_lab(lab, family_words(lab.family), _machine_words(lab, Pace(found.pace) if found else Pace()))


def _machine_words(lab: Lab, pace: Pace) -> dict[str, str]:
    operation, watchdog = pace.operation_seconds(60), pace.operation_seconds(5)
    return {
        **{f"disk.{disk.name}": saveconfig.stable_path(lab, disk.name) for disk in lab.storage.disks},
        "pace.operation": str(operation),
        "pace.start": str(pace.operation_seconds(120)),
        "pace.watchdog": str(watchdog),
        "pace.msgwait": str(2 * watchdog),
        "pace.grace": str(min(90, pace.operation_seconds(10))),
    }


def family_words(family: str) -> dict[str, dict[str, str]]:
    """What differs between families: units, paths and values by their logical names."""
    from labctl.image.family import load_family

    found = load_family(family)
    return {"unit": found.units, "path": found.paths, "value": found.values}


def variable_names() -> frozenset[str]:
    """Every variable that an exercise may use in labctl's own lab, whatever its family."""
    from labctl.image.family import families
    from labctl.lab.load import load_lab

    lab = load_lab("default")
    words = _machine_words(lab, Pace())
    return frozenset(name for family in families() for name in of_lab(lab, family_words(family), words))
