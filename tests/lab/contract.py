"""The contract of an exercise, held on a real lab.

From its start exactly the named checks fail; after the solution all pass, after a second one still;
each near miss fails with its words; after `finish` the lab equals its start.  Proofs, which take their time,
are done once, after the second run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from labctl.cli.course_host import place_of, variable_names
from labctl.cli.frame import known_lab
from labctl.course import catalog
from labctl.course.fingerprint import differences, fingerprint
from labctl.course.form import Exercise
from labctl.course.grade import gathered
from labctl.course.kinds import Again
from labctl.course.place import Place
from labctl.course.session import OF_A_VM
from labctl.course.steps import run_steps
from labctl.errors import FAILED
from labctl.wait import wait_until
from tests.lab.driver import ALL, PATIENCE, Driver

COURSE = catalog.load(variables=variable_names())
IN_MACHINES = [each for each in COURSE.exercises if OF_A_VM.intersection(each.needs)]
IN_CONTAINERS = [each for each in COURSE.exercises if each not in IN_MACHINES]
LONG = 600.0  # s; pcs needs a minute for a cluster, and a busy machine several
Prints = dict[str, dict[str, Any]]


class Starts:
    """What the nodes are at each start that exercises go out from, looked at once."""

    def __init__(self, lab: Driver, patience: float = LONG) -> None:
        self._lab = lab
        self._patience = patience
        self._known: dict[str, Prints] = {}

    def of(self, exercise: Exercise, *options: str) -> Prints:
        if exercise.start not in self._known:
            self._lab("exercise", exercise.id, *options, timeout=self._patience)
            self._lab("finish", *options, timeout=self._patience)  # nothing was done yet
            self._known[exercise.start] = settled_print(place(self._lab))
        return self._known[exercise.start]


class Contracts:
    """Holds the contracts of many exercises, in several labs at once: most of it is waiting for clusters.

    A lab that does not run is brought up first.  Leaving ends it after the contracts that are being held.
    """

    def __init__(self, exercises: Iterable[Exercise], labs: Sequence[Driver]) -> None:
        self._starts = {lab.name: Starts(lab) for lab in labs}
        self._free: SimpleQueue[Driver] = SimpleQueue()
        for lab in labs:
            self._free.put(lab)
        self._pool = ThreadPoolExecutor(len(labs))
        self._held = {each.id: self._pool.submit(self._hold, each) for each in exercises}

    def __enter__(self) -> Contracts:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def result(self, exercise: Exercise) -> None:
        """Wait for this exercise's contract. Raises what was wrong with it, or with its lab."""
        self._held[exercise.id].result()

    def _hold(self, exercise: Exercise) -> None:
        lab = self._free.get()  # there are as many labs as threads
        try:
            if not lab.runs():
                lab.up()
            hold(lab, exercise, self._starts[lab.name])
        finally:
            self._free.put(lab)


def place(lab: Driver) -> Place:
    return place_of(known_lab(lab.places), lab.places, "en")


def print_of(here: Place) -> Prints:
    found: Prints = json.loads(json.dumps(fingerprint(gathered(here, ALL))))
    return found


def settled_print(here: Place) -> Prints:
    """The fingerprint once every node has booted, pcsd running or on its way."""
    last: Prints = {}

    def settled() -> bool:
        nonlocal last
        last = print_of(here)  # a node whose tools are slow tells of no unit
        return all(told.get("unit pcsd") == "active, enabled" for told in last.values())

    wait_until("pcsd to be started everywhere", settled, timeout=PATIENCE)
    return last


def graded(lab: Driver, *words: str, course: Path | None = None, patience: float = LONG) -> dict[str, Any]:
    """check --json; its exit code must say the same as the document."""
    options = ["--course", str(course)] if course else []
    result = lab("check", "--json", *options, *words, check=False, timeout=patience)
    assert "Traceback" not in result.stderr, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    assert result.rc == (FAILED if document["failed"] else 0), result.describe()
    return document


def wrong(document: dict[str, Any]) -> dict[str, list[str]]:
    """Messages of what failed, by check."""
    found: dict[str, list[str]] = {}
    for one in document["checks"]:
        if one["status"] == "failed":
            found.setdefault(one["id"], []).append(one["message"])
    return found


def hold(
    lab: Driver, exercise: Exercise, starts: Starts, course: Path | None = None, patience: float = LONG
) -> None:
    """The whole contract of one exercise."""
    options = ["--course", str(course)] if course else []
    before = starts.of(exercise, *options)
    proofs = [check.id for check in exercise.checks if isinstance(check, Again)]
    lab("exercise", exercise.id, *options, timeout=patience)
    assert set(wrong(graded(lab, course=course, patience=patience))) == set(exercise.at_start)
    lab("solve", *options, timeout=patience)
    assert not wrong(graded(lab, "--quick", course=course, patience=patience))
    lab("solve", *options, timeout=patience)
    document = graded(lab, course=course, patience=patience)
    assert document["done"], wrong(document)
    assert document["skipped"] == 0
    for miss in exercise.near_miss:
        if miss.after == "start":
            lab("exercise", exercise.id, "--reset", *options, timeout=patience)
        run_steps(place(lab), exercise, miss.steps)
        quick = [] if miss.fails in proofs else ["--quick"]
        found = wrong(graded(lab, *quick, course=course, patience=patience))
        assert any(miss.says in message for message in found.get(miss.fails, ())), found
    lab("finish", *options, timeout=patience)
    left = differences(before, settled_print(place(lab)))
    assert left == [], left
