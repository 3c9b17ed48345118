"""Which storage driver a lab gets: what was asked for, or what the host can do, with the reason."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from labctl.errors import HostLacks, LabError, UsageError
from labctl.host.needs import Finding
from labctl.run import run
from labctl.storage.base import LIO, NONE, USERSPACE, Choice
from labctl.storage.lio_host import Lack


def choose(wanted: str, *, lio: str, userspace: str) -> Choice:
    """The driver to take. Pure.

    wanted: auto, lio, userspace or none.  lio, userspace: why that driver cannot run, "" when it can.
    Raises HostLacks for a driver that was asked for by name and cannot run.
    """
    lacks = {LIO: lio, USERSPACE: userspace}
    if wanted == NONE:
        return Choice(NONE, "asked for")
    if wanted in lacks:
        if lacks[wanted]:
            raise HostLacks(
                f"The storage driver {wanted} cannot run here: {lacks[wanted]}.",
                mend=_mend(wanted, userspace if wanted == LIO else lio),
            )
        return Choice(wanted, "asked for")
    if not lio:
        return Choice(LIO, "the kernel has the iSCSI target and the initiator")
    if not userspace:
        return Choice(USERSPACE, f"the kernel's own cannot be had: {lio}")
    return Choice(NONE, f"neither driver can run here (lio: {lio}; userspace: {userspace})")


def choose_for_machines(wanted: str, containers_lack: str = "") -> Choice:
    """The driver of a lab of virtual machines.

    containers_lack: why the containers among the nodes, if there are any, cannot reach disks.
    Raises UsageError for one that machines do not need, HostLacks for one that the containers cannot have.
    """
    if wanted == NONE:
        return Choice(NONE, "asked for")
    if wanted == USERSPACE:
        raise UsageError(
            "Virtual machines have kernels of their own; the userspace driver is for containers.",
            mend="labctl up --mode vm --storage lio",
        )
    if containers_lack and wanted == LIO:
        raise HostLacks(
            f"The nodes that are containers cannot reach the machines' disks: {containers_lack}.",
            mend="labctl up --storage none",
        )
    if containers_lack:
        return Choice(NONE, f"the nodes that are containers cannot reach disks: {containers_lack}")
    return Choice(LIO, "every machine has a kernel of its own, with target and initiator")


def _mend(wanted: str, other: str) -> str:
    if not other:
        return f"labctl up --storage {USERSPACE if wanted == LIO else LIO}"
    return "labctl up --storage none"


def finding(lacks: Sequence[Lack]) -> Finding:
    """What `labctl doctor` says about the kernel's own iSCSI: never more than a note, the lab runs without.

    lacks: of lio_host.lacks().
    """
    if not lacks:
        return Finding("lio", True, "shared disks by the kernel's own iSCSI: works", required=False)
    return Finding(
        "lio",
        None,
        f"shared disks by userspace programs, for {'; '.join(lack.what for lack in lacks)}",
        mend=lacks[0].mend,
        required=False,
    )


def userspace_lacks(family_has_initiator: bool, *, dev: Path = Path("/dev")) -> str:
    """Why the user-space driver cannot run on this host with this family's nodes; "" when it can."""
    if not family_has_initiator:
        return "the nodes' family has no iSCSI initiator in user space (labctl up --family debian has)"
    for device, module in (("fuse", "fuse"), ("loop-control", "loop")):
        if not (dev / device).exists():
            with contextlib.suppress(LabError):  # a module may be there, not loaded yet
                run(["modprobe", module], timeout=20, check=False)
            if not (dev / device).exists():
                return f"there is no {dev / device} (modprobe {module})"
    return ""
