"""What is known about the shared disks: what a node sees of them, and what the target says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DiskSeen:
    """A shared disk in a node: name (sdb), size in bytes, its world-wide name as /dev/disk/by-id has it.

    trouble: why its first block could not be read, "" when it could.
    """

    name: str
    size: int
    wwn: str
    trouble: str = ""


@dataclass(frozen=True)
class SessionSeen:
    """An iSCSI session as the node has it; disks are names.

    state: LOGGED_IN, FAILED, … as iscsiadm calls it.
    """

    target: str
    portal: str
    initiator: str
    state: str
    disks: tuple[str, ...] = ()


@dataclass(frozen=True)
class TargetSeen:
    """What the lab's target says of itself.

    trouble: why it says nothing, "" when it does.  luns: disk name → size in bytes.
    acls: initiator names that may log in.  sessions: (initiator, address) of those that have.
    """

    trouble: str = ""
    luns: Mapping[str, int] | None = None
    acls: tuple[str, ...] = ()
    chap: bool = False
    sessions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class TrialSeen:
    """A block written by one node and read by another, and a login under a name that is on no list.

    writer, reader: the nodes.  written, read, stranger: "" when it went as it must, else what happened.
    untried: why nothing was tried, "" when it was.
    """

    untried: str = ""
    writer: str = ""
    reader: str = ""
    written: str = ""
    read: str = ""
    stranger: str = ""


@dataclass(frozen=True)
class StorageFacts:
    """The lab's side of the shared disks; reason: why the lab has this driver."""

    driver: str
    reason: str = ""
    target: TargetSeen = TargetSeen()
    trial: TrialSeen = TrialSeen(untried="it was not asked for")


def parse_disks(documents: Sequence[Mapping[str, Any]], reads: Mapping[str, str]) -> dict[str, DiskSeen]:
    """Disks from the probe's document; reads: disk name → why its first block could not be read."""
    return {
        str(each["name"]): DiskSeen(
            str(each["name"]), int(each["size"]), str(each["wwn"]), reads.get(str(each["name"]), "")
        )
        for each in documents
    }


def parse_sessions(documents: Sequence[Mapping[str, Any]]) -> tuple[SessionSeen, ...]:
    """Sessions from the state files of the user-space initiator; those that make no sense are left out."""
    return tuple(
        SessionSeen(
            target=str(each["target"]),
            portal=str(each.get("portal", "")),
            initiator=str(each.get("initiator", "")),
            state=str(each.get("state", "")),
            disks=tuple(str(disk.get("name", "")) for disk in each.get("disks", ())),
        )
        for each in documents
        if "target" in each
    )
