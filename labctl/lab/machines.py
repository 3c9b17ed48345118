"""A lab's virtual machines: what they are made of, chosen once and kept in the lab's folder.

A host that has less free memory an hour later, or a newer base disk, must not make machines anew.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labctl.engine import remote
from labctl.engine.base import Engine, State
from labctl.engine.domain import EMULATED, Hardware
from labctl.engine.remote import is_remote
from labctl.errors import BadFile
from labctl.image.build import BuiltImage
from labctl.image.store import ImageStore
from labctl.lab.model import Lab
from labctl.places import LabPlaces, write_whole
from labctl.storage.base import NONE, TARGET
from labctl.vm.pace import Pace, pace

if TYPE_CHECKING:
    from labctl.image.vm import VmImage
    from labctl.vm.room import Guest, Host

Say = Callable[[str], None]
NAME = "machines.json"
FENCE_MONITOR_SECONDS = 60
MONITOR_SECONDS = 20  # Pacemaker's own default of operations that say no time-out


@dataclass(frozen=True)
class Ground:
    """image: id of the base disk.  kind: "kvm" or "tcg", and the reason.  pace: see labctl.vm.pace.

    memory, cpus: of each node, by name; MiB.  alone: there is no container among the nodes.
    source: the cloud image's file that the disk was made of, "" for the family's own.
    """

    image: str
    disk: str
    kernel: str
    initramfs: str
    cmdline: str
    kind: str
    reason: str
    pace: float
    memory: dict[str, int]
    cpus: dict[str, int]
    alone: bool
    source: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """All virtual machines: the nodes' and the target's."""
        return (*self.memory, TARGET)

    @property
    def boots(self) -> tuple[Path, Path]:
        """Kernel and initramfs."""
        return Path(self.kernel), Path(self.initramfs)

    @property
    def hardware(self) -> Hardware:
        """For the engine."""
        return Hardware(
            Path(self.disk), Path(self.kernel), Path(self.initramfs), self.cmdline, self.kind, self.pace
        )


def load(places: LabPlaces, folder: Path | None = None) -> Ground | None:
    """The lab's ground; None for one of containers only. Raises BadFile.

    folder: a copy of the lab's folder to look into instead.
    """
    file = (folder or places.root) / NAME
    try:
        return Ground(**json.loads(file.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise BadFile(
            f"{file} is damaged.",
            details=str(error),
            mend=f"labctl down --lab {places.lab} && labctl up --lab {places.lab} --mode vm",
        ) from None


def require_host(lab: Lab, places: LabPlaces, uri: str = "") -> None:
    """What choose() raises HostLacks for, as far as it is known before anything is built or tried.

    uri: of another libvirtd than the lab's own.
    """
    from labctl.vm import accel, findings, room

    findings.require()
    guests, disks = _guests(lab)
    least = "kvm" if uri or not accel.unusable() else "tcg"  # the first's machines take less of the host
    room.fit(guests, _host(places, uri), least, disk=places.root, disks_mib=disks)


def _guests(lab: Lab) -> tuple[list[Guest], int]:
    """A lab's virtual machines as its file asks for them, and the MiB that their shared disks may take."""
    from labctl.vm import room

    guests = [room.Guest(node.name, node.memory_mib, node.cpus) for node in lab.nodes if node.mode == "vm"]
    if lab.storage.driver == NONE:
        return guests, 0
    return [*guests, room.target_guest()], sum(disk.size for disk in lab.storage.disks)


def choose(
    lab: Lab,
    places: LabPlaces,
    image: BuiltImage,
    *,
    store: ImageStore,
    say: Say,
    base: VmImage | None = None,
    uri: str = "",
) -> Ground:
    """The ground of a lab that is to have virtual machines; made, and its base disk built, at first.

    base: the disk to take instead of the family's own.  uri: of another libvirtd than the lab's own.
    Raises HostLacks: no QEMU or libvirt, too little memory or disk.
    """
    known = load(places)
    if known is not None:
        return known
    from labctl.image.vm import build_vm_image, find_vm_image
    from labctl.vm import accel, room

    base = base or find_vm_image(image, store=store)
    if base is None:
        say("building the disk of the virtual machines; this happens once")
        base = build_vm_image(image, store=store, on_line=say)
    if uri:
        from labctl.vm.elsewhere import by_libvirt

        with by_libvirt(uri) as there:
            fast = accel.acceleration(base, cache=there.cache_file(), say=say, by=there)
    else:
        fast = accel.acceleration(base, cache=accel.cache_file(), say=say)
    if fast.kind != "kvm":
        say(fast.reason)
    guests, disks = _guests(lab)
    host = _host(places, uri)
    fit = room.fit(guests, host, fast.kind, disk=places.root, disks_mib=disks)
    if fit.reason:
        say(fit.reason)
    ground = Ground(
        image=base.id,
        disk=str(base.disk),
        kernel=str(base.kernel),
        initramfs=str(base.initramfs),
        cmdline=base.cmdline,
        kind=fast.kind,
        reason=fast.reason,
        pace=pace(fast, len(guests), host.processors).factor,
        memory={guest.name: guest.memory_mib for guest in fit.guests if guest.node},
        cpus={guest.name: guest.cpus for guest in fit.guests if guest.node},
        alone=not lab.has_containers,
        source=base.source,
    )
    places.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if uri:  # before the ground: machines that are made are never looked for in the wrong place
        # Labs of several hosts may be at one libvirtd, under the same folder's name.
        token = secrets.token_hex(4) if is_remote(uri) else ""
        write_whole(places.elsewhere, f"{uri}\n{token}\n" if token else f"{uri}\n")
    write_whole(places.root / NAME, json.dumps(asdict(ground), indent=1) + "\n")
    return ground


def require_memory(lab: Lab, ground: Ground, engine: Engine, places: LabPlaces, *, runs: bool) -> None:
    """Whether the host has the memory for those machines of a lab that are off now.

    runs: whether the lab's libvirt does.  Raises HostLacks.
    """
    from labctl.vm import room

    seen = {**engine.observe(), **engine.appliances()} if runs else {}
    memory = dict(ground.memory) if lab.storage.driver == NONE else {**ground.memory, TARGET: room.TARGET_MIB}
    off = {name: mib for name, mib in memory.items() if name not in seen or seen[name].state is State.OFF}
    if off:
        uri = "" if places.in_bubble else places.libvirt_uri
        room.require_memory(off, _host(places, uri), ground.kind, lab.name)


def _host(places: LabPlaces, uri: str) -> Host:
    """What the host that is to run the machines has; their disks are on this one in any case."""
    from labctl.vm import room

    if not is_remote(uri):
        return room.read_host(places.root)
    with remote.for_a_while(uri) as (there, _):
        meminfo, processors = there.resources()
    return room.read_host(places.root, meminfo=meminfo, processors=processors)


def fitted(lab: Lab, ground: Ground | None) -> Lab:
    """The lab with its virtual machines' sizes, and its cluster's time-outs and load-threshold for them."""
    if ground is None:
        return lab
    nodes = tuple(
        node.model_copy(update={"memory_mib": ground.memory[node.name], "cpus": ground.cpus[node.name]})
        if node.name in ground.memory
        else node
        for node in lab.nodes
    )
    lab = lab.model_copy(update={"nodes": nodes})
    if ground.pace <= EMULATED:
        return lab
    speed = Pace(ground.pace)
    paced = {"stonith-timeout": f"{speed.stonith_seconds}s", "load-threshold": speed.load_threshold}
    cluster = lab.cluster.model_copy(
        update={
            "token_ms": lab.cluster.token_ms or speed.token_ms,
            "op_timeout": lab.cluster.op_timeout or f"{speed.operation_seconds(MONITOR_SECONDS)}s",
            "properties": {**paced, **lab.cluster.properties},
        }
    )
    # A look is a Python program and its ipmitool: seconds of an emulated processor, for every node's device.
    monitor = lab.fencing.monitor or f"{speed.operation_seconds(FENCE_MONITOR_SECONDS)}s"
    fencing = lab.fencing.model_copy(update={"monitor": monitor})
    return lab.model_copy(update={"cluster": cluster, "fencing": fencing})
