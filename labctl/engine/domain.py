"""What libvirt is told to make: a node's virtual machine, or an appliance's, as domain XML. Pure.

https://libvirt.org/formatdomain.html
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from labctl.engine.container import bridge_name, mac

if TYPE_CHECKING:
    from labctl.engine.base import Appliance
    from labctl.lab.model import Lab, NodeSpec

NAMESPACE = "urn:labctl:machine:1"
NODE, APPLIANCE = "node", "appliance"
AGENT = "org.qemu.guest_agent.0"
FILES_SERIAL = "labctl-files"  # what images/vm's vm-init looks for
APPLIANCE_MEMORY_MIB = 512
TRANSLATIONS_MIB = 256  # what an emulator keeps of translated code
EMULATED = 2.0  # a pace beyond that is no KVM's
SWITCHED_ON = "-- switched on --"  # a line of the console's log, above what that boot says
APPLIANCE_TARGET = "labctl-appliance.target"


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


def xml(machine: Machine, hardware: Hardware) -> str:
    """The domain's document."""
    domain = ET.Element("domain", type="kvm" if hardware.kind == "kvm" else "qemu")
    _add(domain, "name", machine.name)
    _add(domain, "memory", str(machine.memory_mib), unit="MiB")
    _add(domain, "vcpu", str(machine.cpus))
    about = {"role": machine.role, "spec": machine.spec, "image": machine.image}
    ET.SubElement(_add(domain, "metadata"), f"{{{NAMESPACE}}}machine", about)
    system = _add(domain, "os")
    # q35's many PCI bridges cost an emulated machine seconds; the older board has all that a node needs.
    _add(system, "type", "hvm", arch="x86_64", machine="pc")
    _add(system, "kernel", str(hardware.kernel))
    _add(system, "initrd", str(hardware.initramfs))
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
    _disks(devices, machine)
    for leg in machine.legs:
        _leg(devices, machine.name, leg)
    serial = _add(devices, "serial", type="pty")
    _add(serial, "log", file=str(machine.console), append="on")
    _add(serial, "target", port="0")
    channel = _add(devices, "channel", type="unix")
    _add(channel, "target", type="virtio", name=AGENT)
    _add(devices, "watchdog", model="i6300esb", action="reset")
    _add(_add(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")
    _add(devices, "controller", type="usb", model="none")
    _add(devices, "memballoon", model="none")
    return ET.tostring(domain, encoding="unicode")


def about(document: str) -> dict[str, str]:
    """role, spec and image of a domain's document; empty for one that is not ours."""
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


def _disks(devices: ET.Element, machine: Machine) -> None:
    # The system's disk is sda, so that the shared ones are sdb, sdc and sdd, as in the course.
    _add(devices, "controller", type="scsi", model="virtio-scsi")
    # Writes that a guest flushes are in the host's page cache, so they outlive a killed machine; to the
    # host's own disk go only the shared disks' (the appliance's), since those are what a lab is about.
    cache = "writeback" if machine.role == APPLIANCE else "unsafe"
    disk = _add(devices, "disk", type="file", device="disk")
    _add(disk, "driver", name="qemu", type="qcow2", cache=cache, discard="unmap")
    _add(disk, "source", file=str(machine.disk))
    _add(disk, "target", dev="sda", bus="scsi")
    _add(disk, "serial", "root")
    files = _add(devices, "disk", type="file", device="disk")
    _add(files, "driver", name="qemu", type="raw")
    _add(files, "source", file=str(machine.files))
    _add(files, "target", dev="vda", bus="virtio")
    _add(files, "readonly")
    _add(files, "serial", FILES_SERIAL)


def _leg(devices: ET.Element, machine: str, leg: Leg) -> None:
    interface = _add(devices, "interface", type="bridge")
    _add(interface, "mac", address=mac(machine, leg.name))
    _add(interface, "source", bridge=leg.bridge)
    _add(interface, "target", dev=f"{machine}-{leg.name}"[-15:])
    _add(interface, "model", type="virtio")
    _add(interface, "driver", name="qemu")  # vhost_net may not be there


def _add(parent: ET.Element, tag: str, text: str = "", **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, tag, attributes)
    child.text = text or None
    return child
