"""A lab whose machines are in a libvirtd of another host, played by a daemon and an ssh server of the test's.

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

from labctl.engine import elsewhere
from labctl.engine.remote import FOLDER
from labctl.errors import HOST_LACKS
from labctl.wait import wait_until
from tests.lab.driver import FAMILY, Driver, labctl, refused
from tests.lab.host_libvirt import SOMEBODY, HostLibvirt, host_libvirt
from tests.lab.host_snapshot import assert_as_before, snapshot
from tests.lab.host_ssh import HostSsh, host_ssh
from tests.lab.test_libvirt_uri import BOTH, FQDN
from tests.lab.test_vm import BOOT_ID, LONG, UP_SECONDS, status

NAME = "t-remote"
MACHINES = ["labctl-t-remote-node1", "labctl-t-remote-node2", "labctl-t-remote-target"]

pytestmark = LONG


@pytest.fixture(scope="module")
def host() -> Iterator[HostLibvirt]:
    home = Path(tempfile.mkdtemp(prefix="labctl-host-", dir="/var/tmp"))
    home.chmod(0o755)
    try:
        with host_libvirt(home) as found:
            yield found
            assert found.machines() == []
            assert found.leftovers() == []
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="module")
def way(host: HostLibvirt) -> Iterator[HostSsh]:
    with host_ssh(host.home, SOMEBODY) as found:
        yield found


@pytest.fixture(scope="module")
def vm(
    image: str, host: HostLibvirt, way: HostSsh, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Driver]:
    """Two nodes and their target. The host is compared before and after."""
    lab = Driver(NAME)
    lab.log = tmp_path_factory.mktemp(NAME)
    before = snapshot(NAME)
    uri = way.uri("system", host.home / "sock" / "libvirt-sock")
    words = ("--mode", "vm", "--nodes", "2", "--no-snapshot", "--libvirt-uri", uri)
    try:
        lab("up", "--family", FAMILY, *words, timeout=UP_SECONDS)
        yield lab
    finally:
        lab.down()  # while there is a host to end them on
    assert_as_before(before, NAME)
    assert there() == []


def there() -> list[str]:
    """What is left in that host's folder for such things."""
    return sorted(path.name for path in Path(FOLDER).glob(f"labctl-{NAME}-*"))


def test_its_machines_are_there(vm: Driver, host: HostLibvirt) -> None:
    assert host.machines() == MACHINES
    # Their account cannot come to the lab's folder: disks, networks and console go by the connection.
    assert 0 not in host.accounts(NAME)
    found = status(vm)
    assert {node["name"]: node["state"] for node in found["nodes"]} == dict.fromkeys(BOTH, "on")
    assert sorted(found["cluster"]["online"]) == FQDN
    assert [each["logged_in"] for each in found["storage"]["sessions"]] == [True, True]


def test_validate_passes(vm: Driver) -> None:
    document = json.loads(vm("validate", "--json", timeout=UP_SECONDS).stdout)
    assert [check["id"] for check in document["checks"] if check["status"] == "failed"] == []


def test_commands_know_them_by_their_own_names(vm: Driver) -> None:
    assert vm.on("node1", "hostname").stdout.strip() == FQDN[0]
    assert "labctl-t-remote-node1" in labctl("virsh", "--lab", NAME, "--", "dominfo", "node1").stdout
    assert "login:" in vm.engine.console("node1")


def test_a_fenced_node_comes_back(vm: Driver) -> None:
    before = vm.on("node2", *BOOT_ID).stdout
    vm.on("node1", "pcs", "stonith", "fence", FQDN[1], timeout=UP_SECONDS)
    vm("up", timeout=UP_SECONDS)
    assert vm.on("node2", *BOOT_ID).stdout != before
    assert sorted(status(vm)["cluster"]["online"]) == FQDN


def test_a_snapshot_holds_disks_and_a_restore_boots(vm: Driver) -> None:
    before = vm.on("node1", *BOOT_ID).stdout
    vm.on("node1", "sh", "-c", "echo disk >/root/held && sync")
    vm.snapshot("create", "held", timeout=UP_SECONDS)
    vm.on("node1", "rm", "/root/held")
    vm.snapshot("restore", "held", timeout=UP_SECONDS)
    assert vm.on("node1", "cat", "/root/held").stdout == "disk\n"
    assert vm.on("node1", *BOOT_ID).stdout != before
    assert sorted(status(vm)["cluster"]["online"]) == FQDN


def test_a_lost_connection_is_told_and_mended(vm: Driver) -> None:
    vm.on("node1", "sh", "-c", "echo kept >/root/kept && sync")
    os.kill(master(vm), signal.SIGKILL)
    wait_until("the connection to be gone", lambda: not elsewhere.remote(vm.places).alive, timeout=10)
    refused(vm("status", check=False), HOST_LACKS, "has ended", mend="labctl up --lab t-remote")
    done = vm("up", timeout=UP_SECONDS)
    assert "was lost" in done.stderr
    assert vm.on("node1", "cat", "/root/kept").stdout == "kept\n"
    assert sorted(status(vm)["cluster"]["online"]) == FQDN


def master(vm: Driver) -> int:
    """The process that holds the connection."""
    control = f"ControlPath={vm.places.remote / 'ssh'}"
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            if control in words and "-M" in words:
                return int(entry.name)
    raise AssertionError("there is none")
