"""Machines in another libvirtd than the lab's own: whose URI that is, what they are told there, the wires."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from labctl.bubble import wires
from labctl.engine import domain, elsewhere, libvirt_host, libvirt_link, pending
from labctl.engine.base import File
from labctl.engine.libvirt import LibvirtEngine
from labctl.engine.libvirt_host import LibvirtHost, absolute, described, require_usable, socket_folder
from labctl.engine.remote import FOLDER, is_remote, parse
from labctl.errors import USAGE, ActionFailed, HostLacks, NotPermitted, UsageError
from labctl.image.vm import VmImage
from labctl.lab import down, libvirt_uri
from labctl.lab.load import load_lab
from labctl.places import LabPlaces
from labctl.vm import accel
from labctl.vm.trial import Bootable, Kind, Trial

LAB = load_lab("x").with_mode("vm")
HARDWARE = domain.Hardware(Path("/b/disk.img"), Path("/b/vmlinuz"), Path("/b/initrd"), "quiet", "tcg", 8.0)
HOST = LibvirtHost(64055, 994, ("apparmor", "dac"))
AROUND = domain.Elsewhere("x", "/labs/x", Path("/labs/x/wires"), HOST)
FAR = "qemu+ssh://somebody@far:2222/system"
THERE = FOLDER / "labctl-x-8b40ff05"
SOCKET = "qemu+unix:///system?socket=/srv/sock/libvirt-sock"
CAPABILITIES = """
<capabilities><host>
 <secmodel><model>none</model><doi>0</doi></secmodel>
 <secmodel><model>apparmor</model><doi>0</doi></secmodel>
 <secmodel><model>dac</model><doi>0</doi><baselabel type='kvm'>+64055:+994</baselabel></secmodel>
</host></capabilities>"""


@pytest.mark.parametrize("uri", ["qemu:///system", "qemu:///session", "qemu+unix:///system", SOCKET])
def test_what_is_on_this_host(uri: str) -> None:
    require_usable(uri)
    assert not is_remote(uri)


@pytest.mark.parametrize(
    ("uri", "destination", "options"),
    [
        (FAR, "somebody@far", ["Port=2222"]),
        ("qemu+ssh://far/session", "far", []),
        ("qemu+ssh://root@[fd00::7]/system", "root@fd00::7", []),
        (
            "qemu+ssh://far/system?keyfile=/k/my%20key&known_hosts=/k/hosts&socket=/s",
            "far",
            ['IdentityFile="/k/my key"', "IdentitiesOnly=yes", "UserKnownHostsFile=/k/hosts"],
        ),
    ],
)
def test_another_host_as_ssh_knows_it(uri: str, destination: str, options: list[str]) -> None:
    require_usable(uri)
    assert is_remote(uri)
    found = parse(uri)
    assert found.destination == destination
    assert found.options == [word for option in ("BatchMode=yes", *options) for word in ("-o", option)]


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("qemu+tcp://far/system", "reached by ssh"),
        ("qemu://far/system", "reached by ssh"),
        ("qemu+libssh2://far/system", "reached by ssh"),
        ("qemu+ext:///system?command=/bin/x", "reached by ssh"),
        ("qemu+unix://far/system", "reached by ssh"),
        ("qemu+ssh://far/embed", "ends in"),
        ("qemu+ssh:///system", "names no host"),
        ("qemu+ssh://-oProxyCommand=x/system", "names no host"),
        ("qemu+ssh://-l@far/system", "names no host"),
        ("qemu+ssh://far:port/system", "no URI"),
        ("qemu+ssh://far/system?no_verify=1", "no_verify: not known"),
        ("qemu+ssh://far/system?keyfile=here", "absolute"),
    ],
)
def test_another_host_that_cannot_be_used(uri: str, why: str) -> None:
    with pytest.raises(UsageError, match="another host") as caught:
        require_usable(uri)
    assert why in caught.value.details
    assert "qemu+ssh://USER@HOST/system" in caught.value.mend
    assert caught.value.exit_code == USAGE


@pytest.mark.parametrize(
    "uri",
    ["", "system", "xen:///system", "lxc:///", "qemu:///embed?root=/x", "qemu+unix:///system?socket=here",
     "qemu://[/system", "test:///default"],
)  # fmt: skip
def test_what_is_none_at_all(uri: str) -> None:
    with pytest.raises(UsageError, match=r"no URI of a QEMU\."):
        require_usable(uri)


def test_where_the_socket_is() -> None:
    assert socket_folder("qemu:///system") == Path("/run/libvirt")
    assert socket_folder(SOCKET) == Path("/srv/sock")


def test_a_session_is_named_by_its_socket_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "4294967294")
    with pytest.raises(HostLacks, match="/run/user/4294967294/libvirt"):
        absolute("qemu:///session")
    explicit = "qemu+unix:///session?socket=/run/user/1/libvirt/libvirt-sock"
    assert absolute(explicit) == explicit
    assert absolute("qemu:///system") == "qemu:///system"
    assert absolute("qemu+ssh://far/session") == "qemu+ssh://far/session"


def test_whom_a_libvirtd_runs_qemu_as(tmp_path: Path) -> None:
    assert described(CAPABILITIES, tmp_path) == LibvirtHost(64055, 994, ("apparmor", "dac"))
    # A session's has no such driver: its machines are those of who runs it.
    mine = described("<capabilities><host/></capabilities>", tmp_path)
    assert (mine.uid, mine.gid, mine.models) == (os.getuid(), tmp_path.stat().st_gid, ())


class LibvirtError(Exception):
    """As libvirt-python's."""

    def __init__(self, code: int, number: int) -> None:
        super().__init__("it said no")
        self._code, self._number = code, number

    def get_error_code(self) -> int:
        return self._code

    def get_int1(self) -> int:
        return self._number


@pytest.mark.parametrize(
    ("code", "number", "kind"), [(38, 2, HostLacks), (38, 13, NotPermitted), (45, -1, NotPermitted)]
)
def test_nobody_there_and_no_way_in(
    code: int, number: int, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> None:
        raise LibvirtError(code, number)

    api = SimpleNamespace(
        open=refuse, registerErrorHandler=lambda *_: None, libvirtError=LibvirtError, VIR_ERR_AUTH_FAILED=45
    )
    monkeypatch.setattr(libvirt_host, "binding", lambda: api)
    with pytest.raises(kind) as caught:
        libvirt_host.connect("qemu:///system")
    assert getattr(caught.value, "mend", "")


class Connection:
    """A libvirtd's, that tells its QEMU's version."""

    def __init__(self, version: int) -> None:
        self.getVersion = lambda: version
        self.getCapabilities = lambda: CAPABILITIES


def test_an_old_qemu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libvirt_host, "binding", lambda: SimpleNamespace(libvirtError=LibvirtError))
    assert libvirt_host.look(Connection(7_002_000), "qemu:///system") == HOST
    with pytest.raises(HostLacks, match=r"QEMU 6\.2;.*need 7\.2"):
        libvirt_host.look(Connection(6_002_000), "qemu:///system")


def test_a_folder_that_its_account_cannot_enter_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    libvirt_host.require_reachable(closed, LibvirtHost(0, 0, ()))
    with pytest.raises(HostLacks, match="cannot enter"):
        libvirt_host.require_reachable(closed, LibvirtHost(64055, 64055, ()))


def machine() -> tuple[ET.Element, str]:
    text = domain.xml(
        domain.of_node(LAB, LAB.node("node1"), "i", Path("/labs/x/vms/node1")), HARDWARE, AROUND
    )
    return ET.fromstring(text), text


def test_a_machine_bears_the_labs_name_there_and_tells_whose_it_is() -> None:
    found, text = machine()
    assert found.findtext("name") == "labctl-x-node1"
    about = domain.about(text)
    assert (about["name"], about["lab"], about["folder"]) == ("node1", "x", "/labs/x")


def test_its_files_stay_ours_and_its_profile_is_none() -> None:
    labels = {label.get("model"): label for label in machine()[0].iterfind("seclabel")}
    assert labels["apparmor"].attrib == {"type": "none", "model": "apparmor"}
    assert labels["dac"].attrib == {"type": "static", "model": "dac", "relabel": "no"}
    assert labels["dac"].findtext("label") == "+64055:+994"


def test_its_networks_are_sockets_in_the_order_of_its_legs() -> None:
    found, _ = machine()
    assert found.find("devices/interface") is None
    words = [arg.get("value", "") for arg in found.iterfind(f"{{{domain.QEMU}}}commandline/*")]
    assert words[::2] == ["-netdev", "-device"] * 3
    values: list[dict[str, Any]] = [json.loads(word) for word in words[1::2]]
    paths = [value["addr"]["path"] for value in values[::2]]
    assert paths == [f"/labs/x/wires/node1-eth{n}@br-{name}" for n, name in
                     enumerate(("default", "internal", "storage"))]  # fmt: skip
    assert all(wires.NAME.fullmatch(Path(path).name) for path in paths)
    assert [value["addr"] for value in values[1::2]] == ["0x10", "0x11", "0x12"]
    assert [value["netdev"] for value in values[1::2]] == [value["id"] for value in values[::2]]


def test_on_another_host_all_that_its_qemu_opens_is_in_one_folder_there() -> None:
    around = domain.Elsewhere("x", "/labs/x 8b40ff05", THERE, HOST, remote=True)
    made = domain.of_node(LAB, LAB.node("node1"), "i", Path("/labs/x/vms/node1"))
    text = domain.xml(made, HARDWARE, around)
    found = ET.fromstring(text)
    assert domain.about(text)["folder"] == "/labs/x 8b40ff05"
    assert found.findtext("os/kernel") == f"{THERE}/vmlinuz"
    assert found.findtext("os/initrd") == f"{THERE}/initrd"
    log = found.find("devices/serial/log")
    assert log is not None
    assert log.get("file") == f"{THERE}/node1.console"
    for disk, name, kind in zip(
        found.iterfind("devices/disk"), ("system", "files"), ("raw", "raw"), strict=True
    ):
        assert disk.get("type") == "network"
        source, driver = disk.find("source"), disk.find("driver")
        assert source is not None
        assert driver is not None
        assert source.attrib == {"protocol": "nbd", "name": f"{name}-node1"}
        assert [host.attrib for host in source] == [{"transport": "unix", "socket": f"{THERE}/nbd"}]
        assert driver.get("type") == kind
        assert driver.get("cache") != "unsafe"
    assert f"{THERE}/node1-eth0@br-default" in text
    assert "/vms/" not in text


class Domain:
    """A domain there."""

    def __init__(self, document: str) -> None:
        self._document = document
        self.ended = self.gone = False

    def XMLDesc(self) -> str:  # noqa: N802 (libvirt's)
        return self._document

    def isActive(self) -> bool:  # noqa: N802
        return not self.ended

    def isPersistent(self) -> bool:  # noqa: N802
        return True

    def destroy(self) -> None:
        self.ended = True

    def undefineFlags(self, _: int) -> None:  # noqa: N802
        self.gone = True


@pytest.fixture
def there(places: LabPlaces, monkeypatch: pytest.MonkeyPatch) -> list[Domain]:
    """The domains of another libvirtd, which this lab's machines are in."""
    domains: list[Domain] = []
    places.elsewhere.write_text(f"{SOCKET}\n")
    api = SimpleNamespace(
        libvirtError=LibvirtError,
        VIR_DOMAIN_UNDEFINE_MANAGED_SAVE=1,
        VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA=2,
    )
    connection = SimpleNamespace(
        listAllDomains=lambda: domains, lookupByName=lambda _: domains[0], close=lambda: None
    )
    for module in (elsewhere, libvirt_link):
        monkeypatch.setattr(module, "binding", lambda: api)
    monkeypatch.setattr(elsewhere, "connect", lambda *_: connection)
    return domains


def of_lab(folder: Path) -> Domain:
    around = domain.Elsewhere("x", str(folder), folder / "wires", HOST)
    return Domain(domain.xml(domain.of_node(LAB, LAB.node("node1"), "i", folder), HARDWARE, around))


def test_only_what_bears_the_labs_folder_is_ended(places: LabPlaces, there: list[Domain]) -> None:
    """Not a stranger's of our name, not that of a lab of the same name elsewhere on this host."""
    there += [Domain("<domain><name>labctl-x-node1</name></domain>"), of_lab(Path("/other/labs/x"))]
    assert not elsewhere.end_all(places)
    there.append(of_lab(places.root))
    assert elsewhere.end_all(places)
    assert [(each.ended, each.gone) for each in there] == [(False, False), (False, False), (True, True)]


def test_a_strangers_machine_of_our_name_is_told(places: LabPlaces, there: list[Domain]) -> None:
    there.append(of_lab(Path("/other/labs/x")))
    with pytest.raises(ActionFailed, match="labctl-x-node1 that is not of this lab"):
        LibvirtEngine(places).power_off("node1")
    assert not there[0].ended
    assert dict(LibvirtEngine(places).observe()) == {}


def test_the_labs_note_says_where_its_machines_are(places: LabPlaces) -> None:
    assert places.in_bubble
    assert places.libvirt_uri.endswith("libvirt-sock")
    places.elsewhere.write_text(f"{SOCKET}\n")
    assert not places.in_bubble
    assert (places.libvirt_uri, places.libvirt_address) == (SOCKET, SOCKET)
    assert (places.owner, places.token) == (str(places.root), "")
    places.elsewhere.write_text(f"{FAR}\n8b40ff05\n")
    assert places.libvirt_uri == FAR
    assert places.libvirt_address == f"qemu+unix:///system?socket={places.remote}/libvirt-sock"
    assert places.owner == f"{places.root} 8b40ff05"
    assert elsewhere.folder_there(places) == THERE


def test_it_is_for_labs_of_machines_alone(places: LabPlaces) -> None:
    containers = load_lab("x")
    with pytest.raises(UsageError, match="this lab has none") as caught:
        libvirt_uri.require_fits(containers, places, False, SOCKET)
    assert "--mode vm --libvirt-uri" in caught.value.mend
    first = LAB.nodes[0].model_copy(update={"mode": "container"})
    mixed = LAB.model_copy(update={"nodes": (first, *LAB.nodes[1:])})
    with pytest.raises(UsageError, match="machines alone"):
        libvirt_uri.require_fits(mixed, places, False, SOCKET)
    libvirt_uri.require_fits(LAB, places, False, SOCKET)
    libvirt_uri.require_fits(containers, places, False, None)


def test_a_lab_keeps_its_libvirt(places: LabPlaces) -> None:
    with pytest.raises(UsageError, match="in the lab's own libvirt") as caught:
        libvirt_uri.require_fits(LAB, places, True, SOCKET)
    assert "labctl down --lab x" in caught.value.mend
    places.elsewhere.write_text(f"{SOCKET}\n")
    libvirt_uri.require_fits(LAB, places, True, SOCKET)
    libvirt_uri.require_fits(LAB, places, True, None)
    with pytest.raises(UsageError, match="not at qemu:///system"):
        libvirt_uri.require_fits(LAB, places, True, "qemu:///system")


def test_down_keeps_a_lab_whose_libvirtd_does_not_answer(
    places: LabPlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its machines may still run, and nobody would find them again."""
    places.elsewhere.write_text(f"{SOCKET}\n")

    def nobody(*_: str) -> None:
        raise HostLacks("No libvirt answers.")

    monkeypatch.setattr(elsewhere, "binding", lambda: SimpleNamespace(libvirtError=LibvirtError))
    monkeypatch.setattr(elsewhere, "connect", nobody)
    with pytest.raises(HostLacks, match="cannot be ended") as caught:
        down.take_down("x", say=lambda _: None)
    assert str(places.elsewhere) in caught.value.mend
    assert places.root.is_dir()


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_only_disks_are_handed_over_and_folders_stay_roots(places: LabPlaces) -> None:
    folder = places.vms / "node1"
    folder.mkdir(parents=True, mode=0o700)
    pending.add(folder / pending.NAME, [File("/etc/a", b"one")])
    (folder / "disk.qcow2").touch(mode=0o600)
    elsewhere.hand_over(places, HOST, [folder])
    pending.add(folder / pending.NAME, [File("/etc/a", b"two")])

    def seen(path: Path) -> tuple[int, int, int]:
        about = path.stat()
        return about.st_uid, about.st_gid, about.st_mode & 0o777

    assert seen(folder / pending.NAME) == (64055, 994, 0o600)
    assert seen(folder / "disk.qcow2") == (64055, 994, 0o600)
    for path in (places.root, places.vms, folder):
        assert seen(path) == (0, 994, 0o710)
    assert seen(places.wires)[0] == 64055


class Runner:
    """labctl.vm.accel.Runner: a libvirtd whose QEMU may not use KVM."""

    version, unusable = "1", ""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def attempt(self, kind: Kind, image: Bootable, limit: float) -> Trial:
        self.asked.append(kind)
        return Trial(None, "that libvirt says: no") if kind == "kvm" else Trial(3.5)


def test_whether_kvm_works_is_tried_by_that_libvirt(tmp_path: Path) -> None:
    there, image = Runner(), VmImage("an-image", "debian", Path("/d"), Path("/k"), Path("/i"))
    said: list[str] = []
    for _ in range(2):
        found = accel.acceleration(image, cache=tmp_path / "cache.json", say=said.append, by=there)
        assert (found.kind, found.boot_seconds) == ("tcg", 3.5)
        assert "that libvirt says: no" in found.reason
    assert there.asked == ["kvm", "tcg"]


def test_libvirts_own_log_of_a_machine_goes_with_the_lab(
    places: LabPlaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libvirt_host, "LOGS", tmp_path)
    (places.vms / "node1").mkdir(parents=True)
    others = ["labctl-x-node10.log", "labctl-y-node1.log", "win11.log"]
    for name in ("labctl-x-node1.log", "labctl-x-node1.log.0", *others):
        (tmp_path / name).touch()
    elsewhere.forget_logs(places)
    assert sorted(path.name for path in tmp_path.glob("*.log*")) == sorted(others)


class Connected:
    """labctl.engine.remote.Remote: a connection that stands or does not, and what was asked of it."""

    def __init__(self, *, alive: bool) -> None:
        self.alive = alive
        self.at = parse(FAR)


def test_a_connection_that_has_ended_is_told_apart_from_a_libvirtd_that_has(
    places: LabPlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    places.elsewhere.write_text(f"{FAR}\n8b40ff05\n")

    def nobody(_: str, named: str) -> None:
        raise HostLacks(f"No libvirt answers at {named}.")

    monkeypatch.setattr(elsewhere, "connect", nobody)
    for alive, said in ((False, "connection to the host"), (True, f"answers at {FAR}")):
        monkeypatch.setattr(elsewhere, "Remote", lambda *_, alive=alive: Connected(alive=alive))
        with pytest.raises(HostLacks, match=re.escape(said)):
            elsewhere.connection(places)


# -- the wires -------------------------------------------------------------------------------


def test_frames_come_apart_wherever_the_stream_was_cut() -> None:
    sent = b"".join(map(wires.framed, (b"one", b"", b"three" * 300)))
    for cut in range(0, len(sent), 7):
        held, got = bytearray(), []
        for part in (sent[:cut], sent[cut:]):
            held += part
            got += list(wires.frames(held))
        assert got == [b"one", b"", b"three" * 300]
        assert not held


def test_a_length_that_no_frame_has_ends_the_wire() -> None:
    with pytest.raises(ValueError, match="frame of"):
        list(wires.frames(bytearray(b"\xff\xff\xff\xff")))


@pytest.fixture
def wire(tmp_path: Path) -> Any:
    """A wire whose tap is a socket that keeps frames apart, with its other ends."""
    ours, machines = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    tap, bridge = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, machines, tap, bridge):
        end.setblocking(False)
    made = wires.Wire(tmp_path / "node1-eth0@br-default", ours, tap.detach())
    yield made, machines, bridge
    for end in (machines, bridge):
        end.close()
    made.close()


def test_a_wire_carries_both_ways(wire: Any) -> None:
    made, machines, bridge = wire
    machines.send(wires.framed(b"out") + wires.framed(b"more")[:3])
    assert made.from_machine()
    machines.send(wires.framed(b"more")[3:])
    assert made.from_machine()
    assert [bridge.recv(100), bridge.recv(100)] == [b"out", b"more"]
    bridge.send(b"in")
    assert made.from_bridge()
    assert machines.recv(100) == wires.framed(b"in")
    assert not made.waits


def test_a_machine_that_takes_nothing_holds_its_wire_up_and_loses_no_part_of_a_frame(wire: Any) -> None:
    made, machines, bridge = wire
    count = 0
    while not made.waits:
        bridge.send(bytes([count % 256]) * 1500)
        assert made.from_bridge()
        count += 1
    held = bytearray()
    while made.waits:
        held += machines.recv(65536)
        assert made.flush()
    while len(held) < count * 1504:
        held += machines.recv(65536)
    assert [frame[0] for frame in wires.frames(held)] == [number % 256 for number in range(count)]


def test_a_machines_end_is_seen(wire: Any) -> None:
    made, machines, _ = wire
    machines.close()
    assert not made.from_machine()


def test_what_is_no_machines_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "node1-eth0@br-default").touch()
    assert wires.join(tmp_path / "node1-eth0@br-default") is None
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "other"))
        listener.listen()
        assert wires.join(tmp_path / "other") is None


@pytest.mark.parametrize(("says", "tried"), [(b"", 1), (wires.framed(b"hello"), 3)])
def test_a_way_with_no_machine_behind_it_is_tried_less_often(
    says: bytes, tried: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ssh that leads to another host takes a call for a machine that is off, and ends it at once."""
    (tmp_path / "node1-eth0@br-default").touch()
    calls: list[Path] = []
    ends: list[socket.socket] = []

    def join(path: Path) -> wires.Wire:
        ours, machine = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        tap, bridge = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, tap):
            end.setblocking(False)
        calls.append(path)
        ends.extend((ours, machine, bridge))
        if len(calls) < 3:
            machine.sendall(says)
            machine.close()
        return wires.Wire(path, ours, tap.detach())

    monkeypatch.setattr(wires, "join", join)
    monkeypatch.setattr(wires, "LOOK", 0.01)
    relay = wires.Relay(tmp_path)
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        relay.step()
    assert len(calls) == tried
    relay.close()
    for each in ends:
        each.close()
