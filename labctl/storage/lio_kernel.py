"""What the kernel shows of iSCSI sessions (sysfs) and targets (configfs), and the few things written there.

Paths can be given, so that tests look at a folder instead.  Attributes: drivers/scsi/scsi_transport_iscsi.c
and drivers/target/iscsi/iscsi_target_configfs.c of Linux.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from labctl.errors import ActionFailed

SYS = Path("/sys")
CONFIGFS = Path("kernel/config/target")
# The SCSI device types (SPC-5, table 148); LIO's LUN is a disk.
NAA_WWID = re.compile(r"naa\.([0-9a-f]{32}|[0-9a-f]{16})")


@dataclass(frozen=True)
class Block:
    """A SCSI disk or a partition of it, as the host's kernel calls it; number is (major, minor)."""

    kernel_name: str
    number: tuple[int, int]
    partition: int = 0


@dataclass(frozen=True)
class Lun:
    """One LUN of a session. size in bytes; naa: the hex digits of its NAA name (VPD page 0x83), or ""."""

    lun: int
    disk: Block
    partitions: tuple[Block, ...]
    size: int
    naa: str
    serial: str
    state: str


@dataclass(frozen=True)
class Session:
    """An initiator's session; sid is the kernel's number, state LOGGED_IN, FAILED or FREE."""

    sid: int
    iface: str
    initiator: str
    target: str
    state: str
    luns: tuple[Lun, ...]


def sessions(sys: Path = SYS) -> list[Session]:
    """All iSCSI sessions of this kernel, by number."""
    found = []
    for entry in _entries(sys / "class/iscsi_session"):
        with contextlib.suppress(OSError):
            found.append(
                Session(
                    sid=int(entry.name.removeprefix("session")),
                    iface=_read(entry / "ifacename"),
                    initiator=_read(entry / "initiatorname"),
                    target=_read(entry / "targetname"),
                    state=_read(entry / "state"),
                    luns=tuple(_luns(entry)),
                )
            )
    return sorted(found, key=lambda session: session.sid)


def _luns(session: Path) -> Iterator[Lun]:
    for device in sorted(_devices(session)):
        blocks = _entries(device / "block")
        if not blocks:  # not probed yet, or no disk
            continue
        disk = _block(blocks[0])
        partitions = [
            _block(entry, int(_read(entry / "partition")))
            for entry in _entries(blocks[0])
            if (entry / "partition").is_file()
        ]
        wwid = NAA_WWID.fullmatch(_read(device / "wwid"))
        yield Lun(
            lun=int(device.name.rpartition(":")[2]),
            disk=disk,
            partitions=tuple(sorted(partitions, key=lambda part: part.partition)),
            size=int(_read(blocks[0] / "size") or 0) * 512,  # sysfs counts in sectors of 512 bytes
            naa=wwid[1] if wwid else "",
            serial=_serial(device / "vpd_pg80"),
            state=_read(device / "state"),
        )


def _devices(session: Path) -> list[Path]:
    """SCSI devices H:C:T:L below a session, by LUN."""
    found = [
        device
        for target in _entries(session / "device")
        if target.name.startswith("target")
        for device in _entries(target)
        if re.fullmatch(r"\d+:\d+:\d+:\d+", device.name)
    ]
    return sorted(found, key=lambda device: int(device.name.rpartition(":")[2]))


def _block(entry: Path, partition: int = 0) -> Block:
    major, _, minor = _read(entry / "dev").partition(":")
    return Block(entry.name, (int(major), int(minor)), partition)


def _serial(page: Path) -> str:
    """The unit serial number from VPD page 0x80: after a header of four bytes (SPC-5, 7.7.20)."""
    with contextlib.suppress(OSError):
        return page.read_bytes()[4:].decode("ascii", errors="replace").strip("\0 ")
    return ""


def set_offline(session: Session, sys: Path = SYS) -> None:
    """Have the kernel refuse all further input and output of the session's disks, from this moment on.

    Requests that wait in its queues fail; pages that are dirty in memory can not be written any more.
    Raises ActionFailed when a disk is not offline afterwards.
    """
    for lun in session.luns:
        state = sys / "class/block" / lun.disk.kernel_name / "device/state"
        if not state.exists():
            continue
        problem = ""
        try:
            state.write_text("offline\n")
        except OSError as error:
            problem = error.strerror or str(error)
        now = _read(state)
        if now and now not in ("offline", "transport-offline", "cancel", "deleted"):
            raise ActionFailed(f"{lun.disk.kernel_name} of {session.iface} cannot be set offline.",
                               details=f"its state is {now}; {problem}")  # fmt: skip


# -- the target, in configfs ---------------------------------------------------------------


def target_folder(target: str, sys: Path = SYS) -> Path:
    return sys / CONFIGFS / "iscsi" / target


def acl_in_use(target: str, initiator: str, sys: Path = SYS) -> bool:
    """Whether the target has a session of this initiator; its commands are over when it has none."""
    for group in _groups(target, sys):
        info = _read(group / "acls" / initiator / "info")
        if info and not info.startswith("No active iSCSI Session"):
            return True
    return False


def is_serving(target: str, sys: Path = SYS) -> bool:
    """Whether the target is there and lets initiators in."""
    groups = _groups(target, sys)
    return bool(groups) and all(_read(group / "enable") == "1" for group in groups)


def portal_folder(target: str, address: str, port: int, sys: Path = SYS) -> Path:
    """The portal's object; making it opens the socket in the network namespace of who makes it."""
    return target_folder(target, sys) / "tpgt_1/np" / f"{address}:{port}"


def deny(target: str, initiator: str, sys: Path = SYS) -> None:
    """Remove the initiator's ACL: the kernel ends its session, and waits until its commands are over.

    The initiator's persistent reservations go with it.  Raises OSError.
    """
    for group in _groups(target, sys):
        acl = group / "acls" / initiator
        luns = [lun for lun in _entries(acl) if lun.name.startswith("lun_")]
        for lun in luns:
            for link in _links(lun):
                link.unlink()
            lun.rmdir()
        if acl.is_dir():
            acl.rmdir()


def has_acl(target: str, initiator: str, sys: Path = SYS) -> bool:
    return any((group / "acls" / initiator).is_dir() for group in _groups(target, sys))


def unit_serial(store: Path) -> str:
    """From "T10 VPD Unit Serial Number: …"."""
    return _read(store / "wwn/vpd_unit_serial").partition(": ")[2].strip()


def remove_target(target: str, sys: Path = SYS) -> list[str]:
    """Remove a target, which ends its sessions; what could not be removed, as sentences.

    In the kernel's own order: from what refers to what is referred to.
    """
    folder = target_folder(target, sys)
    steps: list[Path] = []
    for group in _groups(target, sys):
        if (group / "enable").exists():
            with contextlib.suppress(OSError):
                (group / "enable").write_text("0\n")
        for acl in _entries(group / "acls"):
            for lun in _entries(acl):
                if lun.name.startswith("lun_"):
                    steps += [*_links(lun), lun]
            steps.append(acl)
        for lun in _entries(group / "lun"):
            steps += [*_links(lun), lun]
        steps += [*_entries(group / "np"), group]
    if folder.is_dir():
        steps.append(folder)
    return _removed(steps)


def remove_stores(serials: Collection[str], sys: Path = SYS) -> list[str]:
    """Remove the storage objects with these unit serial numbers, and their empty adapters."""
    problems: list[str] = []
    for backend in _entries(sys / CONFIGFS / "core"):
        stores = [store for store in _entries(backend) if unit_serial(store) in serials]
        problems += _removed(stores)
        if stores and not any(entry.is_dir() for entry in _entries(backend)):
            problems += _removed([backend])
    return problems


def has_fabric(sys: Path = SYS) -> bool:
    """Whether configfs has the folder of iSCSI targets, which holds its module."""
    return (sys / CONFIGFS / "iscsi").is_dir()


def remove_fabric(sys: Path = SYS) -> list[str]:
    """Remove the folder of iSCSI targets unless there are other targets in it."""
    folder = sys / CONFIGFS / "iscsi"
    if not has_fabric(sys) or any(
        entry.name.startswith(("iqn.", "eui.", "naa.")) for entry in _entries(folder)
    ):
        return []
    return _removed([folder])


def _removed(steps: Iterable[Path]) -> list[str]:
    """Take these away in this order; what could not be, as sentences."""
    problems = []
    for path in steps:
        try:
            if path.is_symlink():
                path.unlink()
            else:
                path.rmdir()
        except FileNotFoundError:
            continue
        except OSError as error:
            problems.append(f"{path}: {error.strerror}")
    return problems


def _groups(target: str, sys: Path) -> list[Path]:
    return [entry for entry in _entries(target_folder(target, sys)) if entry.name.startswith("tpgt_")]


def _links(folder: Path) -> list[Path]:
    return [entry for entry in _entries(folder) if entry.is_symlink()]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _read(path: Path) -> str:
    """An attribute's text; "" where it is absent or unreadable."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
