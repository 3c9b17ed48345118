"""What a target has: its portals and targets (SendTargets), its disks (SPC-4, SBC-3)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from .wire import LOGIN, Connection, Refused, no_way, pairs, texts

_TEXT_REQUEST, _TEXT_ANSWER, _SCSI_COMMAND, _SCSI_ANSWER, _DATA_IN = 0x04, 0x24, 0x01, 0x21, 0x25


class Portal(NamedTuple):
    address: str
    port: int
    tpgt: int


class Lun(NamedTuple):
    """A disk of a target. size in bytes; serial: VPD page 0x80's text; identity: page 0x83 as it came."""

    number: int
    size: int
    serial: str
    identity: bytes


def targets(connection: Connection) -> list[tuple[str, list[Portal]]]:
    """Every target of the portal with its portals, in the target's order. Raises Refused."""
    try:
        return _targets(connection)
    except OSError as error:
        raise no_way(error, "the target") from None


def disks(connection: Connection) -> list[Lun]:
    """Every disk of the target, by LUN; tgt's LUN 0, a controller, is none. Raises Refused."""
    try:
        return _disks(connection)
    except OSError as error:
        raise no_way(error, "the target") from None


def _targets(connection: Connection) -> list[tuple[str, list[Portal]]]:
    connection.send(_TEXT_REQUEST, 0x80, texts({"SendTargets": "All"}), tag=b"\xff" * 4)
    text = b""
    while True:
        answer, part = connection.receive()
        if answer[0] & 0x3F != _TEXT_ANSWER:
            raise Refused(LOGIN, "the target does not answer SendTargets", final=True)
        text += part
        if answer[1] & 0x80:
            break
        connection.send(_TEXT_REQUEST, 0x80, tag=answer[20:24])
    found: list[tuple[str, list[Portal]]] = []
    for key, value in pairs(text):
        if key == "TargetName":
            found.append((value, []))
        elif key == "TargetAddress" and found:
            where, _, tag = value.rpartition(",")
            address, _, port = where.rpartition(":")
            found[-1][1].append(Portal(address.strip("[]"), int(port), int(tag)))
    return found


def _disks(connection: Connection) -> list[Lun]:
    listing = _read(connection, 0, struct.pack(">B5xI6x", 0xA0, 4096), 4096)
    count = struct.unpack_from(">I", listing)[0] // 8
    numbers = [struct.unpack_from(">H", listing, 8 + 8 * at)[0] & 0x3FFF for at in range(count)]
    found = []
    for number in sorted(numbers):
        if _inquiry(connection, number, None)[:1] != b"\0":  # connected, and of the type "disk"
            continue
        capacity = _read(connection, number, struct.pack(">BB8xIxx", 0x9E, 0x10, 32), 32)
        last, block = struct.unpack_from(">QI", capacity)
        page = _inquiry(connection, number, 0x80)
        serial = page[4 : 4 + page[3]].decode(errors="replace").strip("\0 ") if page else ""
        found.append(Lun(number, (last + 1) * block, serial, _inquiry(connection, number, 0x83)))
    return found


def _inquiry(connection: Connection, number: int, page: int | None) -> bytes:
    """Standard data, or a page of vital product data; nothing when the target has not got the page."""
    command = struct.pack(">BBBH11x", 0x12, page is not None, page or 0, 252)
    try:
        return _read(connection, number, command, 252)
    except Refused:
        if page is None:
            raise
        return b""


def _read(connection: Connection, number: int, command: bytes, size: int) -> bytes:
    """A SCSI command that reads; after a unit attention (the target restarted) it is asked again."""
    for _ in range(4):
        connection.send(_SCSI_COMMAND, 0xC1, lun=number, tag=struct.pack(">I", size), cdb=command)
        data = b""
        while True:
            answer, part = connection.receive()
            opcode = answer[0] & 0x3F
            if opcode == _DATA_IN:
                data += part
            if opcode == _SCSI_ANSWER or (opcode == _DATA_IN and answer[1] & 1):
                break
        if answer[3] == 0:
            return data
        sense = part[2:] if opcode == _SCSI_ANSWER else b""
        if sense[2:3] != b"\x06":
            break
    raise Refused(LOGIN, f"LUN {number} refuses SCSI command {command[0]:#04x}", final=True)


def wwid(identity: bytes) -> str:
    """What udev's scsi_id makes of VPD page 0x83: 3 and the NAA number, else 1 and the T10 name, else ''."""
    found: dict[int, bytes] = {}
    at = 4
    while at + 4 <= len(identity):
        size = identity[at + 3]
        kind, value = identity[at + 1] & 0x3F, identity[at + 4 : at + 4 + size]
        if kind == 3 and value:
            # scsi_id prefers the longest NAA form: 6 (16 bytes) before 5, 2, and the local 3.
            rank = {6: 0, 5: 1, 2: 2}.get(value[0] >> 4, 3)
            found.setdefault(rank, value)
        elif kind == 1 and value:
            found.setdefault(9, value)
        at += 4 + size
    if not found:
        return ""
    rank = min(found)
    if rank == 9:
        return "1" + "_".join(found[9].strip(b"\0 ").decode(errors="replace").split())
    return "3" + found[rank].hex()
