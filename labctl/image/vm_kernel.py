"""The kernel without its compression, as QEMU can start it at once.

A distribution's vmlinuz (bzImage) unpacks itself in the guest; under emulation that takes seconds of every
boot. QEMU also starts an ELF kernel that has an entry for PVH, the boot protocol of Xen's and KVM's guests.
Formats: Documentation/arch/x86/boot.rst of the kernel's sources (payload_offset, payload_length), elf(5),
xen/include/public/elfnote.h (XEN_ELFNOTE_PHYS32_ENTRY).
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Iterator

_SETUP_SECTS, _MAGIC, _PAYLOAD = 0x1F1, 0x202, 0x248
_PHYS32_ENTRY = 18
_PT_NOTE = 4


def startable(bzimage: bytes) -> bytes | None:
    """The ELF kernel inside a bzImage, None where it cannot be had or has no PVH entry.

    xz, lzma and gzip are unpacked, for others (zstd, lz4) Python 3.11 has no means.
    """
    try:
        kernel = _unpacked(_payload(bzimage))
        return kernel if kernel is not None and _PHYS32_ENTRY in set(_xen_notes(kernel)) else None
    except (ValueError, struct.error, lzma.LZMAError, zlib.error):
        return None


def _payload(bzimage: bytes) -> bytes:
    if bzimage[_MAGIC : _MAGIC + 4] != b"HdrS":
        raise ValueError("not a bzImage")
    offset, length = struct.unpack_from("<II", bzimage, _PAYLOAD)
    start = ((bzimage[_SETUP_SECTS] or 4) + 1) * 512 + offset
    return bzimage[start : start + length]


def _unpacked(payload: bytes) -> bytes | None:
    decoder: lzma.LZMADecompressor | zlib._Decompress
    if payload.startswith((b"\xfd7zXZ\x00", b"\x5d\x00\x00")):
        decoder = lzma.LZMADecompressor()
    elif payload.startswith(b"\x1f\x8b"):
        decoder = zlib.decompressobj(wbits=31)
    else:
        return None
    kernel = decoder.decompress(payload)
    # What follows the compressed data is its length, four bytes: unused data to these decoders.
    return kernel if decoder.eof else None


def _xen_notes(kernel: bytes) -> Iterator[int]:
    """The types of the notes of the owner Xen in a 64-bit ELF file."""
    if kernel[:5] != b"\x7fELF\x02":
        raise ValueError("not a 64-bit ELF file")
    (headers,) = struct.unpack_from("<Q", kernel, 0x20)
    size, count = struct.unpack_from("<HH", kernel, 0x36)
    for index in range(count):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", kernel, headers + index * size)
        if kind != _PT_NOTE:
            continue
        at, end = offset, offset + length
        while at + 12 <= end:
            name, data, note = struct.unpack_from("<III", kernel, at)
            if kernel[at + 12 : at + 12 + name] == b"Xen\x00":
                yield note
            at += 12 + (name + 3) // 4 * 4 + (data + 3) // 4 * 4
