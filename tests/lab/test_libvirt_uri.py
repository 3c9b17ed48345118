"""A lab whose machines are in another libvirtd of this host; a daemon of the test's own plays it.

One lab for all of it, in this order; emulated, a machine takes a minute to boot.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from labctl.engine.base import State
from labctl.errors import HOST_LACKS, USAGE
from labctl.wait import wait_until
from tests.lab.driver import FAMILY, Driver, labctl, refused
from tests.lab.host_libvirt import ACCOUNT, HostLibvirt, host_libvirt
from tests.lab.host_snapshot import assert_as_before, snapshot
from tests.lab.test_vm import BOOT_ID, LONG, UP_SECONDS, status

NAME = "t-uri"
BOTH = ("node1", "node2")
MACHINES = ("labctl-t-uri-node1", "labctl-t-uri-node2", "labctl-t-uri-target")
FQDN = ["node1.example.com", "node2.example.com"]
STRANGER = """
<domain type="qemu"><name>stranger</name><memory unit="MiB">64</memory>
<os><type arch="x86_64" machine="pc">hvm</type></os></domain>"""

pytestmark = LONG


@pytest.fixture(scope="module")
def host() -> Iterator[HostLibvirt]:
    """The host's libvirt, with a machine that is none of ours."""
    home = Path(tempfile.mkdtemp(prefix="labctl-host-", dir="/var/tmp"))
    home.chmod(0o755)
    try:
        with host_libvirt(home) as found:
            (home / "stranger.xml").write_text(STRANGER)
            found.virsh("define", str(home / "stranger.xml"))
            yield found
            assert found.machines() == ["stranger"]
            assert found.leftovers() == []
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="module")
def vm(image: str, host: HostLibvirt, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """Two nodes and their target. The host is compared before and after."""
    lab = Driver(NAME)
    lab.log = tmp_path_factory.mktemp(NAME)
    before = snapshot(NAME)
    words = ("--mode", "vm", "--nodes", "2", "--no-snapshot", "--libvirt-uri", host.uri)
    lab("up", "--family", FAMILY, *words, timeout=UP_SECONDS)
    yield lab
    lab.down()
    assert_as_before(before, NAME)


def test_its_machines_are_there_under_names_of_their_own(vm: Driver, host: HostLibvirt) -> None:
    assert host.machines() == sorted([*MACHINES, "stranger"])
    assert host.accounts(NAME) == {ACCOUNT}
    found = status(vm)
    assert {node["name"]: node["state"] for node in found["nodes"]} == dict.fromkeys(BOTH, "on")
    assert sorted(found["cluster"]["online"]) == FQDN
    assert [each["logged_in"] for each in found["storage"]["sessions"]] == [True, True]
    assert vm.inside("pidof", "libvirtd", "virtqemud", check=False).stdout == ""


def test_validate_passes(vm: Driver) -> None:
    document = json.loads(vm("validate", "--json", timeout=UP_SECONDS).stdout)
    assert [check["id"] for check in document["checks"] if check["status"] == "failed"] == []


def test_commands_know_them_by_their_own_names(vm: Driver) -> None:
    assert vm.on("node1", "hostname").stdout.strip() == FQDN[0]
    assert "labctl-t-uri-node1" in labctl("virsh", "--lab", NAME, "--", "dominfo", "node1").stdout
    assert "login:" in vm.engine.console("node1")
    labctl("logs", "target", "--lab", NAME)


def test_another_libvirt_is_refused_and_the_same_is_not(vm: Driver, host: HostLibvirt) -> None:
    asked = vm("up", "--libvirt-uri", "qemu:///system", check=False)
    refused(asked, USAGE, "are in the libvirt at", mend="labctl down --lab t-uri")
    done = vm("up", "--libvirt-uri", host.uri, timeout=UP_SECONDS)
    assert "nothing to do" in done.stdout


def test_a_fenced_node_comes_back(vm: Driver) -> None:
    before = vm.on("node2", *BOOT_ID).stdout
    vm.on("node1", "pcs", "stonith", "fence", FQDN[1], timeout=UP_SECONDS)
    # Its agent says so when it runs again; until then nobody answers.
    vm("up", timeout=UP_SECONDS)
    assert vm.on("node2", *BOOT_ID).stdout != before
    found = status(vm)
    assert sorted(found["cluster"]["online"]) == FQDN
    assert [each["logged_in"] for each in found["storage"]["sessions"]] == [True, True]


def test_a_relay_that_was_killed_joins_the_machines_again(vm: Driver) -> None:
    old = vm.inside("pgrep", "-f", "labctl.bubble.wires").stdout.split()
    vm.inside("kill", "-KILL", *old)
    wait_until("ssh to get in again", lambda: vm("ssh", "node1", "true", check=False).ok, timeout=60)
    assert sorted(status(vm)["cluster"]["online"]) == FQDN


def test_a_snapshot_holds_memory(vm: Driver) -> None:
    boots = {node: vm.on(node, *BOOT_ID).stdout for node in BOTH}
    vm.on("node1", "sh", "-c", "echo memory >/run/held; echo disk >/root/held")
    vm.snapshot("create", "held", timeout=UP_SECONDS)
    vm.on("node1", "rm", "/run/held", "/root/held")
    vm.snapshot("restore", "held", timeout=UP_SECONDS)
    assert vm.on("node1", "cat", "/run/held", "/root/held").stdout == "memory\ndisk\n"
    assert {node: vm.on(node, *BOOT_ID).stdout for node in BOTH} == boots
    assert sorted(status(vm)["cluster"]["online"]) == FQDN


def test_machines_that_outlive_their_bubble_are_ended_by_down(vm: Driver, host: HostLibvirt) -> None:
    """The last test: the lab is gone after it, and its fixture takes down nothing."""
    bubble = vm.bubble()
    for pid in (bubble.init, bubble.outer):
        os.kill(pid, signal.SIGKILL)
    assert "running" in host.virsh("domstate", MACHINES[0])
    assert vm.state("node1") is State.ON
    sock = host.home / "sock" / "libvirt-sock"
    sock.rename(sock.with_name("away"))
    refused(vm("down", check=False), HOST_LACKS, "cannot be ended", mend="systemctl start")
    sock.with_name("away").rename(sock)
    vm.down()
    assert host.machines() == ["stranger"]
    assert host.accounts(NAME) == set()
    assert not vm.places.root.exists()
