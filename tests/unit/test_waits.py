"""When a node that is off is waited for, and when not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from labctl.engine.base import Machine, State
from labctl.lab.waits import gave_up
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
