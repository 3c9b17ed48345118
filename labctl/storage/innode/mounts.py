"""Mounts of a session: dead exports are detached, live ones take one request at a time."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

_DETACH = 2  # MNT_DETACH of umount2(2)
_BIND = 4096  # MS_BIND of mount(2)
_libc = ctypes.CDLL(None, use_errno=True)


def bind(source: Path, place: Path) -> None:
    """Let place show what is at source. Raises OSError."""
    if _libc.mount(os.fsencode(source), os.fsencode(place), None, _BIND, None):
        raise OSError(ctypes.get_errno(), f"cannot bind {source} to {place}")


def detach(place: Path) -> None:
    """Take away whatever is mounted at a place, however dead it is. No error when nothing is."""
    while _libc.umount2(os.fsencode(place), _DETACH) == 0:
        pass


def one_at_a_time(export: Path, folder: Path) -> None:
    """Let the kernel hand the server of a FUSE mount one request at a time. Raises OSError.

    export: the mounted file; folder: where a mount point can be made for a moment.

    Without this, data is lost: QEMU 7.2 takes the next request into the buffer of a write that it
    is still busy with ("block/fuse: Copy write buffer content before polling"). The limit is the one for
    background requests, which all reads and writes of a loop device with direct I/O are. What comes beside
    them (flush, discard) is shorter than the 80 bytes of headers before a write's data, so it does no harm.
    """
    device = export.stat().st_dev
    place = folder / "fusectl"
    place.mkdir(exist_ok=True)
    if _libc.mount(b"fusectl", os.fsencode(place), b"fusectl", 0, None):
        raise OSError(ctypes.get_errno(), "cannot mount fusectl")
    try:
        # The kernel calls a connection by its device number as it holds it: major 12 bits, minor 20.
        limit = place / str(os.major(device) << 20 | os.minor(device)) / "max_background"
        limit.write_text("1")
        if limit.read_text().strip() != "1":
            raise OSError(0, f"{limit} does not take 1")
    finally:
        detach(place)
        with contextlib.suppress(OSError):
            place.rmdir()
