"""The pure parts of the libvirt engine: domain documents, files for machines, the agent's protocol."""

from __future__ import annotations

import base64
import io
import tarfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from labctl.engine import agent, domain, guest_files, pending
from labctl.engine.base import Appliance, File
from labctl.engine.container import mac
from labctl.errors import TimedOut
from labctl.lab.load import load_lab
from labctl.storage import saveconfig

LAB = load_lab("x").with_mode("vm")
NODE1 = LAB.node("node1")
TARGET = Appliance("target", "target.example.com", ("/bin/serve", "a b"), "storage", "192.168.100.100")
HARDWARE = domain.Hardware(Path("/b/disk.img"), Path("/b/vmlinuz"), Path("/b/initrd"), "quiet", "tcg", 8.0)


def document(machine: domain.Machine, kind: str = "tcg") -> ET.Element:
    hardware = domain.Hardware(HARDWARE.disk, HARDWARE.kernel, HARDWARE.initramfs, "quiet", kind)
    return ET.fromstring(domain.xml(machine, hardware))


def test_a_nodes_machine_has_its_legs_in_order_and_knows_what_made_it() -> None:
    machine = domain.of_node(LAB, NODE1, "an-image", Path("/vms/node1"))
    found = document(machine)
    assert [leg.get("bridge") for leg in found.iterfind(".//interface/source")] == [
        "br-default",
        "br-internal",
        "br-storage",
    ]
    assert domain.about(ET.tostring(found, encoding="unicode")) == {
        "role": "node",
        "spec": NODE1.spec_hash(LAB),
        "image": "an-image",
    }
    assert found.findtext("memory") == str(NODE1.memory_mib)
    # The shared disks are sdb and on: the system's own is the first SCSI disk, the other is none.
    targets = [disk.get("dev") for disk in found.iterfind(".//disk/target")]
    assert targets == ["sda", "vda"]


@pytest.mark.parametrize(
    ("kind", "type_", "cpu"), [("kvm", "kvm", "host-passthrough"), ("tcg", "qemu", "custom")]
)
def test_kvm_or_emulation(kind: str, type_: str, cpu: str) -> None:
    found = document(domain.of_node(LAB, NODE1, "i", Path("/vms/node1")), kind)
    assert found.get("type") == type_
    mode = found.find("cpu")
    assert mode is not None
    assert mode.get("mode") == cpu


def test_a_snapshot_of_memory_takes_no_disk_along() -> None:
    machine = domain.xml(domain.of_node(LAB, NODE1, "an-image", Path("/vms/node1")), HARDWARE)
    found = ET.fromstring(domain.memory_only(machine, Path("/kept/node1")))
    memory = found.find("memory")
    assert memory is not None
    assert memory.attrib == {"snapshot": "external", "file": "/kept/node1"}
    told = {disk.get("name"): disk.get("snapshot") for disk in found.iterfind("disks/disk")}
    assert told == {"sda": "no", "vda": "no"}


def test_an_appliance_starts_its_program_alone_and_its_writes_reach_the_hosts_disk() -> None:
    found = document(domain.of_appliance(TARGET, "i", Path("/vms/target")))
    assert (found.findtext("os/cmdline") or "").endswith("systemd.unit=labctl-appliance.target")
    caches = [driver.get("cache") for driver in found.iterfind(".//disk/driver")]
    assert caches[0] == "writeback"
    assert domain.about(ET.tostring(found, encoding="unicode"))["spec"] == TARGET.spec_hash("i")


def test_a_foreign_domain_is_none_of_ours() -> None:
    assert domain.about("<domain><name>other</name></domain>") == {}


def test_hardware_addresses_differ_within_a_lab() -> None:
    addresses = {mac(node.name, leg.name) for node in LAB.nodes for leg in node.interfaces}
    assert len(addresses) == 12
    assert all(address.startswith("52:54:00:") for address in addresses)


def test_only_the_way_outside_has_a_gateway() -> None:
    files = {Path(file.path).name: file.content.decode() for file in guest_files.network_files(LAB, NODE1)}
    assert "address1=192.168.122.110/24,192.168.122.1" in files["eth0.nmconnection"]
    assert "never-default" not in files["eth0.nmconnection"]
    for name in ("eth1.nmconnection", "eth2.nmconnection"):
        assert "never-default=true" in files[name]
    assert all(file.mode == 0o600 for file in guest_files.network_files(LAB, NODE1))


def test_an_appliances_program_is_quoted_for_systemd_and_waits_for_its_address() -> None:
    files = {file.path: file.content.decode() for file in guest_files.appliance_files(TARGET)}
    unit = files["/etc/systemd/system/labctl-appliance.service"]
    assert "ExecStart=/bin/serve 'a b'" in unit
    assert "192.168.100.100/" in unit
    assert "$((" not in unit.replace("$$((", "")


def test_files_for_a_machine_that_is_off_add_up_and_the_newest_counts(tmp_path: Path) -> None:
    disk = tmp_path / pending.NAME
    pending.add(disk, [File("/etc/a", b"one"), File("/etc/b", b"two")])
    pending.add(disk, [File("/etc/a", b"three")])
    assert pending.find(disk, "/etc/a") == b"three"
    assert pending.find(disk, "/etc/b") == b"two"
    assert pending.find(disk, "/etc/c") is None
    with tarfile.open(disk) as outer:
        assert outer.getnames() == ["0001.tar", "0002.tar"]
    assert disk.stat().st_mode & 0o777 == 0o600
    assert disk.stat().st_size % 512 == 0  # a disk has whole sectors


def test_a_link_for_a_machine_that_is_off_is_followed(tmp_path: Path) -> None:
    disk = tmp_path / pending.NAME
    pending.add(disk, [File("/etc/a", b"one"), File("/etc/round", b"", link_to="round")])
    pending.add(disk, [File("/srv/far", b"", link_to="/etc/a"), File("/etc/near", b"", link_to="../srv/far")])
    for path in ("/srv/far", "/etc/near"):
        assert pending.find(disk, path) == b"one"
    assert pending.find(disk, "/etc/round") is None


class Agent:
    """Plays the guest agent: a command that ends after so many questions."""

    def __init__(self, questions: int, **status: Any) -> None:
        self.asked: list[dict[str, Any]] = []
        self._left, self._status = questions, status

    def __call__(self, command: dict[str, Any]) -> Any:
        self.asked.append(command)
        if command["execute"] == "guest-exec":
            return {"pid": 7}
        assert command["arguments"] == {"pid": 7}
        self._left -= 1
        return {"exited": True, **self._status} if self._left <= 0 else {"exited": False}


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_a_command_through_the_agent() -> None:
    play = Agent(3, exitcode=4, **{"out-data": coded("out"), "err-data": coded("err")})
    assert agent.execute(play, ["/bin/a", "b c"], b"in", 5) == (4, b"out", b"err")
    told = play.asked[0]["arguments"]
    assert (told["path"], told["arg"]) == ("/bin/a", ["b c"])
    assert base64.b64decode(told["input-data"]) == b"in"


def test_a_signal_is_told_as_a_shell_does() -> None:
    assert agent.execute(Agent(1, signal=9), ["/bin/a"], b"", 5)[0] == 137


def test_a_command_without_end_is_given_up() -> None:
    with pytest.raises(TimedOut):
        agent.execute(Agent(1_000_000), ["/bin/a"], b"", 0.1)


def test_a_disk_has_the_name_that_both_targets_give_it() -> None:
    serial = saveconfig.wwn(LAB, "sdb")
    assert (
        saveconfig.stable_path(LAB, "sdb") == "/dev/disk/by-id/wwn-0x6001405" + serial.replace("-", "")[:25]
    )


def test_the_archive_of_pending_files_can_be_read_by_tar(tmp_path: Path) -> None:
    disk = tmp_path / pending.NAME
    pending.add(
        disk, [File("/etc/link", b"", link_to="/etc/a"), File("/root/.ssh", b"", mode=0o700, directory=True)]
    )
    with tarfile.open(disk) as outer:
        content = outer.extractfile("0001.tar")
        assert content is not None
        with tarfile.open(fileobj=io.BytesIO(content.read())) as inner:
            assert {member.name: member.type for member in inner} == {
                "etc/link": tarfile.SYMTYPE,
                "root/.ssh": tarfile.DIRTYPE,
            }
