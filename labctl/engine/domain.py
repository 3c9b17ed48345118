"""What libvirt is told to make: a node's virtual machine, or an appliance's, as domain XML. Pure.

https://libvirt.org/formatdomain.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from labctl.engine import exports
from labctl.engine.container import bridge_name, mac
from labctl.engine.libvirt_host import LibvirtHost, confine

if TYPE_CHECKING:
    from labctl.engine.base import Appliance
    from labctl.lab.model import Lab, NodeSpec

NAMESPACE = "urn:labctl:machine:1"
QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
FIRST_SLOT = 0x10  # on the machine's PCI bus, behind all that libvirt gives one by itself
NODE, APPLIANCE = "node", "appliance"
AGENT = "org.qemu.guest_agent.0"
FILES_SERIAL = "labctl-files"  # what images/vm's vm-init looks for
APPLIANCE_MEMORY_MIB = 512
TRANSLATIONS_MIB = 256  # what an emulator keeps of translated code
EMULATED = 2.0  # a pace beyond that is no KVM's
SWITCHED_ON = "-- switched on --"  # a line of the console's log, above what that boot says
APPLIANCE_TARGET = "labctl-appliance.target"
DISKS = "nbd"  # the socket for disks that are on another host


@dataclass(frozen=True)
class Hardware:
    """What all virtual machines of a lab are made of.

    disk: the raw base that every machine's disk is an overlay of; kernel, initramfs, cmdline: what
    boots it.  kind: "kvm", or "tcg" for emulation.  pace: how many times slower than a machine under
    KVM it is; every time-out grows by it.
    """

    disk: Path
    kernel: Path
    initramfs: Path
    cmdline: str
    kind: str
    pace: float = 1.0


@dataclass(frozen=True)
class Leg:
    """A network interface: the bridge it hangs on, its name in the machine."""

    bridge: str
    name: str


@dataclass(frozen=True)
class Machine:
    """One virtual machine. folder: holds disk.qcow2, files.tar and console.log."""

    name: str
    role: str
    spec: str
    image: str
    memory_mib: int
    cpus: int
    legs: tuple[Leg, ...]
    folder: Path
    words: str = ""

    @property
    def disk(self) -> Path:
        return self.folder / "disk.qcow2"

    @property
    def files(self) -> Path:
        return self.folder / "files.tar"

    @property
    def console(self) -> Path:
        return self.folder / "console.log"


@dataclass(frozen=True)
class Elsewhere:
    """What a machine in a libvirtd that is not the lab's own needs beside.

    owner: tells our domains from all others.  wires: where its sockets are to be.  remote: whether that is
    another host, and wires the folder there that has all that its QEMU comes to.
    """

    lab: str
    owner: str
    wires: PurePath
    host: LibvirtHost
    remote: bool = False

    def wire(self, machine: str, leg: Leg) -> str:
        """The socket of one leg; labctl.bubble.wires reads the name."""
        return str(self.wires / wire_name(machine, leg))

    def brought(self, file: Path) -> str:
        """Where a file of this host is for that libvirtd's QEMU."""
        return str(self.wires / file.name if self.remote else file)

    def console(self, machine: Machine) -> str:
        """The log of a machine's console."""
        return str(console_there(self.wires, machine.name) if self.remote else machine.console)

    @property
    def disks(self) -> str:
        """The socket that a remote host's machines have their disks by."""
        return str(self.wires / DISKS)


def console_there(folder: PurePath, machine: str) -> PurePath:
    """The log of a machine's console in the folder on another host."""
    return folder / f"{machine}.console"


def title(lab: str, machine: str) -> str:
    """The name of a lab's machine among those of others."""
    return f"labctl-{lab}-{machine}"


def of_node(lab: Lab, node: NodeSpec, image: str, folder: Path) -> Machine:
    """A node's machine; its legs come in the order of their names, so that eth0 is the first."""
    legs = tuple(Leg(bridge_name(leg.network), leg.name) for leg in node.interfaces)
    spec = node.spec_hash(lab)
    return Machine(node.name, NODE, spec, image, node.memory_mib, node.cpus, legs, folder)


def of_appliance(appliance: Appliance, image: str, folder: Path) -> Machine:
    """An appliance's machine: it starts its one program, and nothing of a cluster."""
    legs = (Leg(bridge_name(appliance.network), "eth0"),)
    words = f"systemd.unit={APPLIANCE_TARGET}"
    spec = appliance.spec_hash(image)
    return Machine(appliance.name, APPLIANCE, spec, image, APPLIANCE_MEMORY_MIB, 1, legs, folder, words)


def xml(machine: Machine, hardware: Hardware, elsewhere: Elsewhere | None = None) -> str:
    """The domain's document. elsewhere: for another libvirtd than the lab's own."""
    domain = ET.Element("domain", type="kvm" if hardware.kind == "kvm" else "qemu")
    _add(domain, "name", title(elsewhere.lab, machine.name) if elsewhere else machine.name)
    _add(domain, "memory", str(machine.memory_mib), unit="MiB")
    _add(domain, "vcpu", str(machine.cpus))
    about = {"role": machine.role, "spec": machine.spec, "image": machine.image}
    if elsewhere:
        about |= {"name": machine.name, "lab": elsewhere.lab, "folder": elsewhere.owner}
    ET.SubElement(_add(domain, "metadata"), f"{{{NAMESPACE}}}machine", about)
    system = _add(domain, "os")
    # q35's many PCI bridges cost an emulated machine seconds; the older board has all that a node needs.
    _add(system, "type", "hvm", arch="x86_64", machine="pc")
    for tag, file in (("kernel", hardware.kernel), ("initrd", hardware.initramfs)):
        _add(system, tag, elsewhere.brought(file) if elsewhere else str(file))
    _add(system, "cmdline", f"{hardware.cmdline} {machine.words}".strip())
    features = _add(domain, "features")
    _add(features, "acpi")
    if hardware.kind != "kvm":
        # QEMU's own is 1 GiB, and a node fills it.
        _add(_add(features, "tcg"), "tb-cache", str(TRANSLATIONS_MIB), unit="MiB")
    if hardware.kind == "kvm":
        _add(domain, "cpu", mode="host-passthrough")
    else:
        # x86-64-v2, which CentOS Stream 9 asks for, and no more: wide vectors are slow to emulate.
        _add(
            _add(domain, "cpu", mode="custom", match="exact", check="none"),
            "model",
            "Nehalem",
            fallback="forbid",
        )
    _add(domain, "clock", offset="utc")
    # As a real machine: what a guest's kernel does at its end is its own affair, and fencing's.
    for event, action in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "preserve")):
        _add(domain, event, action)
    devices = _add(domain, "devices")
    _disks(devices, machine, elsewhere if elsewhere and elsewhere.remote else None)
    for leg in machine.legs if elsewhere is None else ():
        _leg(devices, machine.name, leg)
    serial = _add(devices, "serial", type="pty")
    log = elsewhere.console(machine) if elsewhere else str(machine.console)
    _add(serial, "log", file=log, append="on")
    _add(serial, "target", port="0")
    channel = _add(devices, "channel", type="unix")
    _add(channel, "target", type="virtio", name=AGENT)
    _add(devices, "watchdog", model="i6300esb", action="reset")
    _add(_add(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")
    _add(devices, "controller", type="usb", model="none")
    _add(devices, "memballoon", model="none")
    if elsewhere:
        confine(domain, elsewhere.host)
        _wires(domain, machine, elsewhere)
    return ET.tostring(domain, encoding="unicode")


def about(document: str) -> dict[str, str]:
    """role, spec, image, name and whose of a domain's document; empty for one that no labctl made."""
    found = ET.fromstring(document).find(f"metadata/{{{NAMESPACE}}}machine")  # noqa: S314 (libvirt's own)
    return dict(found.attrib) if found is not None else {}


def memory_only(document: str, file: Path) -> str:
    """The description of a snapshot of a domain's memory, without any of its disks."""
    snapshot = ET.Element("domainsnapshot")
    _add(snapshot, "memory", snapshot="external", file=str(file))
    disks = _add(snapshot, "disks")
    for target in ET.fromstring(document).iterfind("devices/disk/target"):  # noqa: S314 (libvirt's own)
        _add(disks, "disk", name=target.get("dev", ""), snapshot="no")
    return ET.tostring(snapshot, encoding="unicode")


def _disks(devices: ET.Element, machine: Machine, remote: Elsewhere | None) -> None:
    # The system's disk is sda, so that the shared ones are sdb, sdc and sdd, as in the course.
    _add(devices, "controller", type="scsi", model="virtio-scsi")
    # Writes that a guest flushes are in the host's page cache, so they outlive a killed machine; to the
    # host's own disk go only the shared disks' (the appliance's), since those are what a lab is about.
    # On another host every flush is passed on: who serves the disk does the same with it (exports).
    cache = "writeback" if machine.role == APPLIANCE or remote else "unsafe"
    disk = _disk(devices, machine, exports.SYSTEM, machine.disk, remote)
    _add(disk, "driver", name="qemu", type="raw" if remote else "qcow2", cache=cache, discard="unmap")
    _add(disk, "target", dev="sda", bus="scsi")
    _add(disk, "serial", "root")
    files = _disk(devices, machine, exports.FILES, machine.files, remote)
    _add(files, "driver", name="qemu", type="raw")
    _add(files, "target", dev="vda", bus="virtio")
    _add(files, "readonly")
    _add(files, "serial", FILES_SERIAL)


def _disk(
    devices: ET.Element, machine: Machine, name: str, file: Path, remote: Elsewhere | None
) -> ET.Element:
    disk = _add(devices, "disk", type="network" if remote else "file", device="disk")
    if remote is None:
        _add(disk, "source", file=str(file))
        return disk
    source = _add(disk, "source", protocol="nbd", name=exports.export_name(machine.name, name))
    _add(source, "host", transport="unix", socket=remote.disks)
    return disk


def _leg(devices: ET.Element, machine: str, leg: Leg) -> None:
    interface = _add(devices, "interface", type="bridge")
    _add(interface, "mac", address=mac(machine, leg.name))
    _add(interface, "source", bridge=leg.bridge)
    _add(interface, "target", dev=port_name(machine, leg))
    _add(interface, "model", type="virtio")
    _add(interface, "driver", name="qemu")  # vhost_net may not be there


def wire_name(machine: str, leg: Leg) -> str:
    """The name of a leg's socket, for a machine whose QEMU is not in the bubble."""
    return f"{port_name(machine, leg)}@{leg.bridge}"


def port_name(machine: str, leg: Leg) -> str:
    """The interface at the bridge's side; a name has 15 characters at most."""
    return f"{machine}-{leg.name}"[-15:]


def _wires(domain: ET.Element, machine: Machine, elsewhere: Elsewhere) -> None:
    """Network cards on sockets, for which libvirt has no words of its own but for its passt.

    QEMU is the server: then a relay that was ended joins it again.
    """
    line = _add(domain, f"{{{QEMU}}}commandline")
    for number, leg in enumerate(machine.legs):
        address = {"type": "unix", "path": elsewhere.wire(machine.name, leg)}
        netdev = {"type": "stream", "id": f"wire{number}", "server": True, "addr": address}
        card = {
            "driver": "virtio-net-pci",
            "netdev": f"wire{number}",
            "mac": mac(machine.name, leg.name),
            "romfile": "",
            "addr": f"{FIRST_SLOT + number:#x}",
        }
        for option, value in (("-netdev", netdev), ("-device", card)):
            _add(line, f"{{{QEMU}}}arg", value=option)
            _add(line, f"{{{QEMU}}}arg", value=json.dumps(value))


def _add(parent: ET.Element, tag: str, text: str = "", **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, tag, attributes)
    child.text = text or None
    return child
