"""When a node that is off is waited for, and when not."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
import tenacity

from labctl.engine.base import Machine, State
from labctl.errors import ActionFailed, TimedOut
from labctl.lab.apply import Context
from labctl.lab.load import load_lab
from labctl.lab.waits import gave_up, telling_of_target
from labctl.probe.facts import TargetSeen
from labctl.wait import pauses
from tests.fakes.engine import FakeEngine


class Off(FakeEngine):
    """Its nodes ended with these exit codes."""

    def __init__(self, **ended: int) -> None:
        super().__init__()
        self._ended = ended

    def observe(self) -> Mapping[str, Machine]:
        return {name: Machine(name, State.OFF, ended=code) for name, code in self._ended.items()}


@pytest.mark.parametrize(
    ("code", "given_up"),
    [(1, True), (127, True), (0, False), (129, False), (130, False), (137, False)],
    ids=["init failed", "no init", "made", "reboot", "power-off", "fenced"],
)
def test_only_an_init_that_ended_by_itself_stays_off(code: int, given_up: bool) -> None:
    assert gave_up(Off(node1=code), "node1") is given_up


def test_a_node_that_is_on_or_missing_may_still_come() -> None:
    assert not gave_up(FakeEngine(on=["node1"]), "node1")
    assert not gave_up(FakeEngine(), "node1")


class Silent(FakeEngine):
    """Its target has not booted."""

    def console(self, name: str) -> str:
        return f"{name}: Kernel panic"


def context(trouble: str) -> Context:
    driver: Any = SimpleNamespace(show=lambda *_: TargetSeen(trouble=trouble))
    return cast("Context", SimpleNamespace(engine=Silent(), lab=load_lab("x", environment={}), driver=driver))


def test_a_target_that_does_not_boot_shows_its_console() -> None:
    with pytest.raises(TimedOut) as told, telling_of_target(context("it does not answer")):
        raise TimedOut("node1 has no disks.", details="missing: sdb", mend="labctl validate")
    assert told.value.details.splitlines() == [
        "missing: sdb",
        "target: it does not answer; the last lines of its console:",
        "  target: Kernel panic",
    ]
    assert told.value.mend == "labctl logs target --lab x"


def test_a_target_that_answers_is_not_blamed() -> None:
    with pytest.raises(ActionFailed) as told, telling_of_target(context("")):
        raise ActionFailed("node1 could not log in.", mend="labctl validate")
    assert (told.value.details, told.value.mend) == ("", "labctl validate")


def test_pauses_stay_as_they_are_or_grow_with_what_was_waited() -> None:
    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    same, growing = [], []
    for state.attempt_number in range(1, 60):
        same.append(pauses(0.03, None)(state))
        growing.append(pauses(0.03, 0.5)(state))
    assert set(same) == {0.03}
    assert growing == sorted(growing)
    assert (growing[0], growing[-1]) == (0.03, 0.5)
    waited = 0.0
    for pause in growing[:-1]:
        assert pause <= max(0.1, waited / 4), "an end is noticed late"
        waited += pause
