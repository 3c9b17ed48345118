"""The contract of every exercise that needs a kernel of its own, on four virtual machines.

And of those that a machine does differently from a container: restore with memory, profiles of its own.

Emulated, this takes hours; so it runs only where LABCTL_TEST_MACHINES is set (ci/test-machines.sh).
"all" as its value adds the exercises that containers have shown already; -k names some of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from labctl.course.form import Exercise
from tests.lab.contract import COURSE, IN_MACHINES, Starts, hold
from tests.lab.driver import FAMILY, Driver

NAME = "t-machines"
UP_SECONDS = PATIENCE = 1800.0
# Nothing is collected without the word, so nothing is skipped either: the run prints what it did.
DIFFERENT = [COURSE.find(each) for each in ("day1/snapshot", "day1/network")]
WANTED = os.environ.get("LABCTL_TEST_MACHINES")
EXERCISES = list(COURSE.exercises) if WANTED == "all" else [*DIFFERENT, *IN_MACHINES] if WANTED else []


@pytest.fixture(scope="module")
def lab(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    made = Driver(NAME)
    made.log = tmp_path_factory.mktemp(NAME)
    made("up", "--mode", "vm", "--storage", "lio", "--family", FAMILY, timeout=UP_SECONDS)
    yield made
    made.down()


@pytest.fixture(scope="module")
def starts(lab: Driver) -> Starts:
    return Starts(lab, PATIENCE)


if EXERCISES:

    @pytest.mark.timeout(7200)
    @pytest.mark.parametrize("exercise", EXERCISES, ids=lambda each: each.id)
    def test_the_contract(lab: Driver, starts: Starts, exercise: Exercise) -> None:
        hold(lab, exercise, starts, patience=PATIENCE)
