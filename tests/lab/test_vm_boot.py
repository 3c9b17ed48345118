"""A virtual machine's start, interrupted and broken: two nodes without disks or cluster."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from labctl.engine.domain import SWITCHED_ON
from labctl.errors import FAILED
from tests.lab.driver import FAMILY, Driver, refused
from tests.lab.host_snapshot import MARK, assert_as_before, down_leaves_nothing, namespaces_in, snapshot
from tests.lab.test_vm import BOOT_ID, LEFT_TO_THE_WORKFLOW, UP_SECONDS, skip_where_emulation_crawls

NAME = "t-vm-boot"
NODES = ("node1", "node2")
WORDS = ("--mode", "vm", "--nodes", "2", "--storage", "none", "--until", "nodes", "--no-snapshot")
pytestmark = LEFT_TO_THE_WORKFLOW


@pytest.fixture(scope="module")
def lab(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """Down at the end, whatever became of it; then the host is as it was."""
    made, mark = Driver(NAME), uuid.uuid4().hex
    made.log = tmp_path_factory.mktemp(NAME)
    before = snapshot(NAME)
    begun = made.begin("up", "--family", FAMILY, *WORDS, env={MARK: mark})
    skip_where_emulation_crawls(begun, made)
    begun.await_words("waiting for the nodes to boot")
    begun.kill()
    yield made
    down_leaves_nothing(made, mark, namespaces_in(made))
    assert_as_before(before, NAME)


def test_up_that_was_killed_is_finished_by_up(lab: Driver) -> None:
    """kill -9 while the machines boot; the next `up` ends with machines that answer."""
    lab("up", *WORDS, timeout=UP_SECONDS)
    assert all(lab.on(node, *BOOT_ID).ok for node in NODES)
    assert lab.json("up", *WORDS)["changed"] is False


def test_a_machine_that_does_not_boot_shows_its_consoles_last_lines(lab: Driver) -> None:
    """As after an upgrade that went wrong: the kernel starts, and finds no init."""
    lab("up", *WORDS, timeout=UP_SECONDS)
    lab.on("node2", "sh", "-c", "rm /sbin/init && sync")
    lab.engine.power_off("node2")
    told = lab("up", *WORDS, timeout=UP_SECONDS, check=False)
    refused(told, FAILED, "node2 does not boot: Kernel panic", mend=f"labctl logs node2 --lab {NAME}")
    console = [line.strip() for line in lab.engine.console("node2").splitlines() if line.strip()]
    assert "end Kernel panic" in console[-1]
    assert console[-1] in [line.strip() for line in told.stderr.splitlines()]
    earlier, mark, last = (lab.places.vms / "node2" / "console.log").read_text().rpartition(SWITCHED_ON)
    assert mark
    assert ("Kernel panic" in earlier, "Kernel panic" in last) == (False, True)
    logs = lab("logs", "node2", check=False)
    assert logs.rc == FAILED
    assert console[-1] in logs.stdout
