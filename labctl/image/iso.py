"""A small CD image (ISO 9660), as cloud-init reads its seed from. Pure.

Files lie in one folder. ISO 9660 allows no lower case and no hyphen, so the names stand there in upper case;
Linux shows them in lower case where there are no extensions (map=normal, isofs's default) and takes the
hyphen as it is. ECMA-119, 2nd edition, sections 6.8, 8.4 and 9.1.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

SECTOR = 2048
_VOLUME, _END, _PATHS, _FOLDER = 16, 17, 18, 20  # sectors; the path table stands there twice
_DATE = bytes([100, 1, 1, 0, 0, 0, 0])  # 2000-01-01


def iso(label: str, files: Mapping[str, bytes]) -> bytes:
    """The image with these files. Raises ValueError for too many of them, or names too long."""
    at = _FOLDER + 1
    folder = _record(b"\0", _FOLDER, SECTOR, folder=True) + _record(b"\1", _FOLDER, SECTOR, folder=True)
    body = b""
    for name, content in sorted(files.items()):
        if len(name) > 28:
            raise ValueError(f"{name} is too long a name")
        folder += _record(f"{name.upper()};1".encode("ascii"), at, len(content))
        body += _padded(content)
        at += -(-len(content) // SECTOR)
    if len(folder) > SECTOR:
        raise ValueError("the files' names do not fit")
    little = struct.pack("<BBIH", 1, 0, _FOLDER, 1) + b"\0\0"
    big = struct.pack(">BBIH", 1, 0, _FOLDER, 1) + b"\0\0"
    return b"".join(
        (bytes(_VOLUME * SECTOR), _volume(label, at, len(little)), _padded(b"\xffCD001\x01"),
         _padded(little), _padded(big), _padded(folder), body)
    )  # fmt: skip


def _volume(label: str, sectors: int, paths: int) -> bytes:
    """The primary volume descriptor."""
    text = "{:32}".format
    return _padded(
        b"\x01CD001\x01\0" + text("").encode() + text(label).encode("ascii") + bytes(8) + _both(sectors)
        + bytes(32) + _both16(1) + _both16(1) + _both16(SECTOR) + _both(paths)
        + struct.pack("<II", _PATHS, 0) + struct.pack(">II", _PATHS + 1, 0)
        + _record(b"\0", _FOLDER, SECTOR, folder=True)
        + b" " * (128 * 4 + 37 * 3) + (b"0" * 16 + b"\0") * 4 + b"\x01"
    )  # fmt: skip


def _record(name: bytes, sector: int, size: int, *, folder: bool = False) -> bytes:
    record = (
        b"\0" + _both(sector) + _both(size) + _DATE + bytes([2 if folder else 0, 0, 0]) + _both16(1)
        + bytes([len(name)]) + name
    )  # fmt: skip
    record += bytes((len(record) + 1) % 2)  # of even length
    return bytes([len(record) + 1]) + record


def _both(number: int) -> bytes:
    return struct.pack("<I", number) + struct.pack(">I", number)


def _both16(number: int) -> bytes:
    return struct.pack("<H", number) + struct.pack(">H", number)


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % SECTOR)
