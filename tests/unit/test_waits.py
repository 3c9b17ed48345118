"""When a node that is off is waited for, and when not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
import tenacity

from labctl.engine.base import Machine, State
from labctl.errors import ActionFailed, TimedOut
from labctl.lab.apply import Context
from labctl.lab.load import load_lab
from labctl.lab.waits import await_boot, gave_up, stuck_at, telling_of_target
from labctl.probe.facts import TargetSeen
from labctl.run import Result
from labctl.wait import pauses
from tests.fakes.engine import FakeEngine, FakeNode


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


PANIC = """\
[    4.9] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00007f00
[    4.9] Call Trace:
[    4.9]  panic+0x118/0x2ed
[    4.9] ---[ end Kernel panic - not syncing: Attempted to kill init! exitcode=0x00007f00 ]---
"""
STOPPED = {
    PANIC: "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00007f00",
    f"{PANIC}[   60.1] watchdog: BUG: soft lockup\n": (
        "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00007f00"
    ),
    "ALERT!  LABEL=root does not exist.  Dropping to a shell!\n(initramfs) ": "(initramfs)",
    "Entering emergency mode. Exit the shell to continue.\ndracut:/# ": "dracut:/#",
    "You are in emergency mode. After logging in, type\n": "You are in emergency mode",
}
GOES_ON = (
    "",
    f"{PANIC}\n-- switched on --\n[    0.0] Linux version 6.1\n[    0.1] x\n",
    f"{PANIC}\n-- switched on --\n",
    "[  OK  ] Reached target emergency.target - Emergency Mode.\n",
    "Debian GNU/Linux 12 node1 ttyS0\n\nnode1 login: ",
)


@pytest.mark.parametrize("text", STOPPED)
def test_a_console_tells_where_a_boot_stopped(text: str) -> None:
    assert stuck_at(text) == STOPPED[text]


@pytest.mark.parametrize("text", GOES_ON)
def test_what_an_earlier_boot_said_or_one_that_goes_on_stops_nothing(text: str) -> None:
    assert stuck_at(text) == ""


class Dead(FakeNode):
    def run(self, argv: Sequence[str], **_: Any) -> Result:
        raise ActionFailed(f"{self.name} does not answer")


class Panicked(FakeEngine):
    """No node answers, and this is on their consoles."""

    def node(self, name: str) -> FakeNode:
        return Dead(self, name)

    def console(self, name: str) -> str:
        return PANIC


def test_a_machine_that_panicked_is_not_waited_for_and_its_console_is_shown() -> None:
    lab = load_lab("x", environment={}).with_mode("vm")
    lab = lab.model_copy(update={"nodes": lab.nodes[:1]})
    here: Any = SimpleNamespace(engine=Panicked(on=["node1"]), lab=lab, pace=9.0, patience=lambda _: 5.0)
    with pytest.raises(ActionFailed) as told:
        await_boot(here)
    assert "does not boot: Kernel panic - not syncing" in told.value.message
    assert PANIC.splitlines()[1] in told.value.details
    assert told.value.mend == "labctl logs node1 --lab x"


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
