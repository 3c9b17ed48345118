"""A machine and two containers in one cluster, on the same networks and disks (docs/adr/0016-mixed-labs.md).

Emulated, the machine boots for a minute; so it runs only where LABCTL_TEST_MACHINES is set
(ci/test-machines.sh).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from labctl.engine.base import State
from labctl.wait import wait_until
from tests.lab.driver import FAMILY, Driver
from tests.lab.test_vm import BLOCK, BOOT_ID, UP_SECONDS, disk, quietly, status

NODES = ("node1", "node2", "node3")
FILE = """
services:
  node1:
    x-lab: {mode: vm}
"""


@pytest.fixture(scope="module")
def mixed(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    lab = Driver("t-mixed")
    lab.log = tmp_path_factory.mktemp("t-mixed")
    file = lab.log / "mixed.yaml"
    file.write_text(FILE)
    lab("up", "--family", FAMILY, "--override", str(file), "--nodes", "3", timeout=UP_SECONDS)
    yield lab
    lab.down()


# Nothing is collected without the word, so nothing is skipped either: the run prints what it did.
if os.environ.get("LABCTL_TEST_MACHINES"):

    def test_both_kinds_are_members_of_one_cluster(mixed: Driver) -> None:
        found = status(mixed)
        assert sorted(found["cluster"]["online"]) == [f"{name}.example.com" for name in NODES]
        kernels = {name: mixed.on(name, *BOOT_ID).stdout for name in NODES}
        assert kernels["node2"] == kernels["node3"] != kernels["node1"]
        checks = mixed.json("validate")["checks"]
        assert [check for check in checks if check["status"] == "failed"] == []

    def test_what_a_container_writes_the_machine_reads(mixed: Driver) -> None:
        path = disk(mixed, "node2")
        mixed.on("node2", "sh", "-c", f"dd of={path} {BLOCK}")
        read = f"dd if={path} bs=64k count=16 iflag=direct status=none | sha256sum"
        assert len({mixed.on(node, "sh", "-c", read).stdout for node in NODES}) == 1

    @pytest.mark.parametrize(("by", "victim"), [("node2", "node1"), ("node1", "node2")])
    def test_each_kind_fences_the_other(mixed: Driver, by: str, victim: str) -> None:
        before = mixed.engine.observe()[victim].started
        fence = ("stonith_admin", "--reboot", f"{victim}.example.com", "--timeout", "240")
        mixed.on(by, *fence, timeout=UP_SECONDS)

        def again() -> bool:
            found = mixed.engine.observe()[victim]
            return found.state is State.ON and found.started != before

        wait_until("it to run again", lambda: quietly(again), timeout=UP_SECONDS)
        wait_until(
            "it to be a member again",
            lambda: len(status(mixed)["cluster"]["online"]) == len(NODES),
            timeout=UP_SECONDS,
            every=2.0,
        )
        mixed("up", "--family", FAMILY, timeout=UP_SECONDS)
