"""tgtd, spoken to through tgtadm(8): its whole state read back, and the steps that change it.

tgtd prints its state for people; parse() and parse_portals() are the one place that reads that form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from . import command

TIMEOUT = 20.0  # s; tgtd answers within milliseconds unless a peer holds it up
CONTROLLER_LUN = 0
_GONE = ("can't find the connection", "can't find the session", "can't find the target")


class TgtError(Exception):
    """tgtd refused a step, or does not answer; the text says which step and its words."""


class Connection(NamedTuple):
    """A TCP connection of a session; address as tgtd noted it at login, "" when it could not tell."""

    cid: int
    address: str


class Session(NamedTuple):
    """An initiator that is logged in (an I_T nexus)."""

    sid: int
    initiator: str
    connections: tuple[Connection, ...]


class Lun(NamedTuple):
    """A disk as initiators see it; serial is the SCSI unit serial, identifier what VPD page 0x83 holds."""

    lun: int
    path: str
    serial: str
    identifier: str
    online: bool
    readonly: bool


class Target(NamedTuple):
    """A target; users are its CHAP accounts, outgoing is the one for mutual CHAP ("" for none).

    initiators: names that may log in; addresses: addresses that may ("ALL": anybody).
    """

    tid: int
    iqn: str
    luns: tuple[Lun, ...]
    sessions: tuple[Session, ...]
    users: tuple[str, ...]
    outgoing: str
    initiators: tuple[str, ...]
    addresses: tuple[str, ...]


def tgtadm(*words: str, timeout: float = TIMEOUT) -> str:
    """tgtadm(8) with these words; its output. Raises TgtError."""
    done = command.run(["tgtadm", "--lld", "iscsi", *words], timeout=timeout)
    if done.rc != 0:
        said = done.err.strip() or done.out.strip() or f"exit code {done.rc}"
        shown = words[: words.index("--password")] if "--password" in words else words
        raise TgtError(f"tgtadm {' '.join(shown)}: {said}")
    return done.out


def answers(timeout: float = 1.0) -> bool:
    """Is there a tgtd that answers?"""
    return command.run(["tgtadm", "--lld", "iscsi", "--op", "show", "--mode", "sys"], timeout=timeout).rc == 0


# -- reading -------------------------------------------------------------------------------------


def targets(timeout: float = TIMEOUT) -> tuple[Target, ...]:
    """All targets as they are now. Raises TgtError."""
    return parse(tgtadm("--op", "show", "--mode", "target", timeout=timeout))


def portals() -> tuple[str, ...]:
    """ "ADDRESS:PORT" of every listening portal."""
    return parse_portals(tgtadm("--op", "show", "--mode", "portal"))


def accounts() -> tuple[str, ...]:
    """The names of all CHAP accounts; tgtd does not tell their passwords."""
    return parse_accounts(tgtadm("--op", "show", "--mode", "account"))


def parameters(tid: int) -> dict[str, str]:
    """A target's iSCSI parameters (RFC 7143 section 13) as new sessions will get them."""
    lines = tgtadm("--op", "show", "--mode", "target", "--tid", str(tid)).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def parse(text: str) -> tuple[Target, ...]:
    """The output of `tgtadm --op show --mode target`."""
    blocks = re.split(r"^Target (?=\d+: )", text, flags=re.MULTILINE)[1:]
    return tuple(_target(block.splitlines()) for block in blocks)


def parse_portals(text: str) -> tuple[str, ...]:
    return tuple(match[1] for match in re.finditer(r"^Portal: (.+:\d+),\d+$", text, re.MULTILINE))


def parse_accounts(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.startswith("    "))


def _target(lines: Sequence[str]) -> Target:
    tid, _, iqn = lines[0].partition(": ")
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines[1:]:
        if re.match(r"    [A-Z]", line):
            current = sections.setdefault(line.strip().rstrip(":"), [])
        else:
            current.append(line[8:])
    users = [line for line in sections.get("Account information", ()) if line]
    allowed = [line for line in sections.get("ACL information", ()) if line]
    luns = [_lun(block) for block in _blocks(sections.get("LUN information", ()), "LUN: ")]
    nexuses = _blocks(sections.get("I_T nexus information", ()), "I_T nexus: ")
    return Target(
        tid=int(tid),
        iqn=iqn,
        luns=tuple(lun for lun in luns if lun.lun != CONTROLLER_LUN),
        sessions=tuple(_session(block) for block in nexuses),
        users=tuple(user for user in users if not user.endswith(" (outgoing)")),
        outgoing=next((user[: -len(" (outgoing)")] for user in users if user.endswith(" (outgoing)")), ""),
        initiators=tuple(name for name in allowed if is_name(name)),
        addresses=tuple(name for name in allowed if not is_name(name)),
    )


def is_name(word: str) -> bool:
    """An initiator's name (RFC 7143 section 4.2.7), as opposed to an address."""
    return word.startswith(("iqn.", "eui.", "naa."))


def _blocks(lines: Sequence[str], head: str) -> list[list[str]]:
    """Lines cut before each that begins with head; that line's rest comes first in its block."""
    found: list[list[str]] = []
    for line in lines:
        if line.startswith(head):
            found.append([line[len(head) :]])
        elif found:
            found[-1].append(line.strip())
    return found


def _lun(block: Sequence[str]) -> Lun:
    about = dict(line.split(": ", 1) for line in block[1:] if ": " in line)
    return Lun(
        lun=int(block[0]),
        path=about.get("Backing store path", ""),
        serial=about.get("SCSI SN", ""),
        identifier=about.get("SCSI ID", ""),
        online=about.get("Online") == "Yes",
        readonly=about.get("Readonly") == "Yes",
    )


def _session(block: Sequence[str]) -> Session:
    initiator = ""
    found: list[Connection] = []
    for line in block[1:]:
        key, _, value = line.partition(": ")
        if key == "Initiator":
            initiator = value.partition(" alias: ")[0]
        elif key == "Connection":
            found.append(Connection(int(value), ""))
        elif key == "IP Address" and found:
            found[-1] = found[-1]._replace(address=value)
    return Session(int(block[0]), initiator, tuple(found))


# -- changing ------------------------------------------------------------------------------------


def _change(op: str, mode: str, *words: str) -> None:
    tgtadm("--op", op, "--mode", mode, *words)


def new_target(tid: int, iqn: str) -> None:
    _change("new", "target", "--tid", str(tid), "--targetname", iqn)


def delete_target(tid: int) -> None:
    _change("delete", "target", "--tid", str(tid))


def set_parameter(tid: int, name: str, value: str) -> None:
    """Counts for sessions that begin later. Raises TgtError for a name or value tgtd does not take."""
    _change("update", "target", "--tid", str(tid), "--name", name, "--value", value)


def new_lun(tid: int, lun: int, path: str, *, sync: bool) -> None:
    """sync: every write is on the disk before it is answered (for a store without write cache)."""
    flags = ["--bsoflags", "sync"] if sync else []
    words = ["--tid", str(tid), "--lun", str(lun), "--backing-store", path, "--bstype", "rdwr"]
    _change("new", "logicalunit", *words, *flags)


def update_lun(tid: int, lun: int, about: Mapping[str, str]) -> None:
    params = ",".join(f"{key}={value}" for key, value in about.items())
    _change("update", "logicalunit", "--tid", str(tid), "--lun", str(lun), "--params", params)


def delete_lun(tid: int, lun: int) -> None:
    _change("delete", "logicalunit", "--tid", str(tid), "--lun", str(lun))


def allow(tid: int, who: str) -> None:
    """Let an initiator's name, an address or ALL in."""
    _change("bind", "target", "--tid", str(tid), *_who(who))


def disallow(tid: int, who: str) -> None:
    """Sessions that are there stay."""
    _change("unbind", "target", "--tid", str(tid), *_who(who))


def _who(who: str) -> list[str]:
    return ["--initiator-name" if is_name(who) else "--initiator-address", who]


def new_account(user: str, password: str) -> None:
    _change("new", "account", "--user", user, "--password", password)


def delete_account(user: str) -> None:
    """Takes it from every target that had it, too."""
    _change("delete", "account", "--user", user)


def bind_account(tid: int, user: str, *, outgoing: bool = False) -> None:
    _change("bind", "account", "--tid", str(tid), "--user", user, *(["--outgoing"] if outgoing else []))


def unbind_account(tid: int, user: str, *, outgoing: bool = False) -> None:
    _change("unbind", "account", "--tid", str(tid), "--user", user, *(["--outgoing"] if outgoing else []))


def new_portal(portal: str) -> None:
    _change("new", "portal", "--param", f"portal={portal}")


def delete_portal(portal: str) -> None:
    _change("delete", "portal", "--param", f"portal={portal}")


def close_connection(tid: int, sid: int, cid: int, *, timeout: float = TIMEOUT) -> None:
    """Ask tgtd to close a connection; writes that it has begun end first. No error when it is gone."""
    words = ["--tid", str(tid), "--sid", str(sid), "--cid", str(cid)]
    try:
        tgtadm("--op", "delete", "--mode", "conn", *words, timeout=timeout)
    except TgtError as error:
        if not str(error).endswith(_GONE):
            raise
