"""The lamp of a node's BMC: it goes out when the node can do no harm any more, not before."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from labctl.bubble.labd import PowerSupply
from labctl.bubble.settings import Settings
from labctl.errors import ActionFailed
from labctl.wait import wait_until
from tests.fakes.engine import FakeEngine

ADDRESSES = {"node1": ["192.168.90.110", "192.168.100.110"], "node2": ["192.168.100.120"]}


class Target:
    """Stands for the lab's targets: confirms a cut, or does not."""

    def __init__(self) -> None:
        self.confirms = True
        self.asked: list[list[str]] = []

    def cut(self, addresses: Sequence[str]) -> None:
        self.asked.append(list(addresses))
        if not self.confirms:
            raise ActionFailed("the target does not confirm it")


@pytest.fixture
def target() -> Target:
    return Target()


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(on=["node1", "node2"])


@pytest.fixture
def supply(engine: FakeEngine, target: Target) -> PowerSupply:
    settings = Settings(
        lab="power", root="/nowhere", socket="", podman=[], environment={}, outside=[], forwards=[], bmcs=[],
        addresses=ADDRESSES, storage="userspace", subnets=[],
    )  # fmt: skip
    return PowerSupply(settings, engine, cut=target.cut)


def test_off_means_without_power_and_cut_off_from_the_disks(
    supply: PowerSupply, engine: FakeEngine, target: Target
) -> None:
    supply.power_off("node1")
    assert not engine.is_on("node1")
    assert target.asked == [ADDRESSES["node1"]]
    assert not supply.is_on("node1")
    assert supply.is_on("node2")


def test_the_lamp_stays_lit_until_the_cut_is_confirmed(
    supply: PowerSupply, engine: FakeEngine, target: Target
) -> None:
    target.confirms = False
    with pytest.raises(ActionFailed):
        supply.power_off("node1")
    assert not engine.is_on("node1")
    assert supply.is_on("node1"), "fencing would have reported success"
    target.confirms = True
    supply.power_off("node1")
    assert not supply.is_on("node1")


def test_a_node_that_was_switched_on_again_goes_off_as_any_other(
    supply: PowerSupply, engine: FakeEngine, target: Target
) -> None:
    target.confirms = False
    with pytest.raises(ActionFailed):
        supply.power_off("node1")
    supply.power_on("node1")
    wait_until("node1 to be on", lambda: engine.is_on("node1"), timeout=30)
    engine.power_off("node1")  # it switched itself off
    wait_until("the lamp to go out", lambda: not supply.is_on("node1"), timeout=30)
