"""Whether the guests fit into this host, before any of them starts; and what they get.

The lab's file says what each wants. Where the host has less to spare, memory shrinks towards a floor on which
a node still runs its cluster; below that, `up` stops with what would fit.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from labctl.errors import HostLacks

NODE_FLOOR_MIB = 768
TARGET_MIB = 512
# QEMU's own memory beside the guest's: its devices, and 1 GiB that emulation fills with translated code.
# A node that runs its cluster had 900 MiB of that in use after some minutes.
OVERHEAD_MIB = {"kvm": 128, "tcg": 256 + 128}
HOST_KEEPS_MIB = 1024
HOST_KEEPS_SHARE = 0.1
STEP_MIB = 64
# What a guest's overlay grows by in a course's day, and what stays free beside it.
DISK_PER_GUEST_MIB = 1024
DISK_KEEPS_MIB = 1024
MIN_NODES = 2


@dataclass(frozen=True)
class Guest:
    """What a guest is to get. node: whether it is one; floor_mib: the least memory that it runs in."""

    name: str
    memory_mib: int
    cpus: int
    node: bool = True
    floor_mib: int = NODE_FLOOR_MIB


@dataclass(frozen=True)
class Host:
    """What the host has: memory and free disk in MiB (of them available), processors that we may use."""

    memory_mib: int
    available_mib: int
    disk_mib: int
    processors: int

    @property
    def spare_mib(self) -> int:
        """Memory for guests: what is available without what the host keeps."""
        keeps = max(HOST_KEEPS_MIB, round(self.memory_mib * HOST_KEEPS_SHARE))
        return max(0, self.available_mib - keeps)


@dataclass(frozen=True)
class Fit:
    """The guests with what they get. reason: sentences when that is less than asked for, else empty."""

    guests: tuple[Guest, ...]
    reason: str = ""

    def guest(self, name: str) -> Guest:
        """A guest by name. KeyError for an unknown one is a bug."""
        return {guest.name: guest for guest in self.guests}[name]


def target_guest() -> Guest:
    """The virtual machine that serves the shared disks."""
    return Guest("target", TARGET_MIB, 1, node=False, floor_mib=TARGET_MIB)


def fit(guests: Sequence[Guest], host: Host, kind: str, *, disk: Path, disks_mib: int = 0) -> Fit:
    """What each guest gets. guests: those to be started, without those that run already.

    kind: kvm or tcg.  disk: the folder of the lab, for words; disks_mib: what the shared disks may grow to.
    Raises HostLacks when not even the floors fit, or the disk has too little room.
    """
    _require_disk(len(guests), host, disk, disks_mib)
    overhead = OVERHEAD_MIB[kind]
    spare = host.spare_mib - overhead * len(guests)
    floors = sum(_floor(guest) for guest in guests)
    if floors > spare:
        raise HostLacks(
            f"This host can spare {_gib(host.spare_mib)} of memory, and {len(guests)} virtual machines"
            f" take at least {_gib(floors + overhead * len(guests))}.",
            details=f"It keeps {_gib(host.available_mib - host.spare_mib)} of the {_gib(host.available_mib)}"
            " that programs can still get.",
            mend=_mend_memory(guests, host, overhead),
        )
    wanted = sum(guest.memory_mib for guest in guests)
    reasons = []
    given = tuple(guests)
    if wanted > spare:
        share = (spare - floors) / (wanted - floors)
        given = tuple(replace(guest, memory_mib=_shrunk(guest, share)) for guest in guests)
        reasons.append(
            f"This host can spare {_gib(host.spare_mib)} of memory for {len(guests)} virtual machines,"
            f" so {_differences(guests, given)}."
        )
    most = _most_cpus(len(guests), host, kind)
    if any(guest.cpus > most for guest in given):
        given = tuple(replace(guest, cpus=min(guest.cpus, most)) for guest in given)
        among = f" for {len(guests)} emulated machines" if kind == "tcg" else ""
        reasons.append(f"This host has {host.processors} processors{among}, so none gets more than {most}.")
    return Fit(given, " ".join(reasons))


def require_memory(memory: Mapping[str, int], host: Host, kind: str, lab: str) -> None:
    """Whether machines whose sizes were chosen earlier can be started now. memory: MiB by name.

    Half of what the host keeps may go: what once got all that was to spare must start again beside a
    little more of other programs.  Raises HostLacks.
    """
    needed = sum(memory.values()) + OVERHEAD_MIB[kind] * len(memory)
    there = (host.available_mib + host.spare_mib) // 2
    if memory and needed > there:
        raise HostLacks(
            f"This host can spare {_gib(there)} of memory now, and {', '.join(memory)}, to be started, take"
            f" {_gib(needed)}.",
            details=f"Lab {lab} has chosen the sizes of its machines when it was made.",
            mend="end other programs or labs (labctl ls), then call again; for smaller machines:"
            f" labctl down --lab {lab} && labctl up --lab {lab} --mode vm",
        )


def read_host(folder: Path, *, meminfo: str | None = None, processors: int = 0) -> Host:
    """This host, now. folder: where the lab's disks are to be, made or not.

    meminfo, processors: another host's, which is to run the machines.
    """
    text = Path("/proc/meminfo").read_text() if meminfo is None else meminfo
    kib = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines() if line.endswith(" kB")}
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    return Host(
        memory_mib=kib["MemTotal"] // 1024,
        available_mib=kib["MemAvailable"] // 1024,
        disk_mib=shutil.disk_usage(there).free // 1024**2,
        processors=processors or len(os.sched_getaffinity(0)),
    )


def _most_cpus(guests: int, host: Host, kind: str) -> int:
    """Emulated processors that outnumber the real ones wait for each other's locks, and all get slower."""
    if kind == "tcg":
        return max(1, host.processors // max(1, guests))
    return max(1, host.processors)


def _require_disk(guests: int, host: Host, folder: Path, disks_mib: int) -> None:
    needed = guests * DISK_PER_GUEST_MIB + disks_mib + DISK_KEEPS_MIB
    if host.disk_mib < needed:
        raise HostLacks(
            f"{folder} has {_gib(host.disk_mib)} of room, and {guests} virtual machines may take"
            f" {_gib(needed)}.",
            mend="free some room, or move the lab: LABCTL_STATE=/other/folder labctl up --mode vm",
        )


def _mend_memory(guests: Sequence[Guest], host: Host, overhead: int) -> str:
    """The largest smaller lab that fits, or another way."""
    nodes = [guest for guest in guests if guest.node]
    others = [guest for guest in guests if not guest.node]
    for count in range(len(nodes) - 1, MIN_NODES - 1, -1):
        kept = [*nodes[:count], *others]
        if sum(_floor(guest) + overhead for guest in kept) <= host.spare_mib:
            return f"labctl up --mode vm --nodes {count}   (or end other programs)"
    return "labctl up --mode container   (or end other programs)"


def _floor(guest: Guest) -> int:
    return min(guest.floor_mib, guest.memory_mib)


def _shrunk(guest: Guest, share: float) -> int:
    """The floor and a share of what was asked for above it, in whole steps."""
    floor = _floor(guest)
    return floor + int((guest.memory_mib - floor) * share) // STEP_MIB * STEP_MIB


def _differences(asked: Sequence[Guest], given: Sequence[Guest]) -> str:
    """'node1, node2 get 1280 instead of 4096 MiB', grouped by what they get."""
    groups: dict[tuple[int, int], list[str]] = {}
    for before, after in zip(asked, given, strict=True):
        if before.memory_mib != after.memory_mib:
            groups.setdefault((after.memory_mib, before.memory_mib), []).append(before.name)
    return "; ".join(
        f"{', '.join(names)} get{'s' if len(names) == 1 else ''} {got} instead of {wanted} MiB of memory"
        for (got, wanted), names in groups.items()
    )


def _gib(mib: float) -> str:
    return f"{mib / 1024:.1f} GiB"
