"""Loop devices, by ioctl: no losetup and no loop nodes are needed in the node (linux/loop.h, Linux 5.8)."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
import time
from collections.abc import Iterator
from pathlib import Path

LOOP_MAJOR = 7
_CONTROL = os.makedev(10, 237)
_GET_FREE, _CONFIGURE, _CLEAR = 0x4C82, 0x4C0A, 0x4C01
_AUTOCLEAR, _PARTSCAN, _DIRECT = 4, 8, 16
_FLUSH = 0x1261  # BLKFLSBUF: write what is dirty, forget what is clean
_LOOKS, _LOOK_SECONDS = 50, 0.02
_TRIES = 64  # another node, or another lab, may take the free one first


class NoLoop(Exception):
    """There is no loop device to be had; str() says why."""


class Loop:
    """A file as a block device that ends when nobody has it open; this object has.

    number: the kernel's, N of loopN. Raises NoLoop.
    """

    def __init__(self, file: Path) -> None:
        backing = os.open(file, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
        try:
            self.number, self.fd = _attach(backing, str(file))
        except OSError as error:
            raise NoLoop(_reason(error)) from None
        finally:
            os.close(backing)

    @property
    def sysfs(self) -> Path:
        return Path(f"/sys/devices/virtual/block/loop{self.number}")

    @property
    def device(self) -> int:
        return os.makedev(LOOP_MAJOR, self.number)

    def size(self) -> int:
        """Bytes."""
        return int((self.sysfs / "size").read_text()) * 512

    def flush(self) -> None:
        """Write what is dirty to the target and drop cached blocks, as the last close of a disk does.

        Blocks that are just being read (ahead, for nobody any more) are not dropped; so once more when they
        have come, but not for long.
        """
        with contextlib.suppress(OSError):  # the data is lost already when the daemon is; its users were told
            for _ in range(_LOOKS):
                still = not self._reads_in_flight()
                fcntl.ioctl(self.fd, _FLUSH)
                if still:
                    return
                time.sleep(_LOOK_SECONDS)

    def _reads_in_flight(self) -> bool:
        """/sys/block/loopN/inflight: reads and writes (Documentation/ABI/stable/sysfs-block of Linux)."""
        return int((self.sysfs / "inflight").read_text().split()[0]) > 0

    def in_use(self) -> bool:
        """Whether something holds it exclusively: a mounted file system, LVM, swap."""
        with _node(stat.S_IFBLK, self.device) as path:
            try:
                os.close(os.open(path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
            except OSError as error:
                return error.errno == errno.EBUSY
        return False

    def partitions(self) -> dict[int, int]:
        """Number and device number of each partition that the kernel knows."""
        found = {}
        for folder in self.sysfs.glob(f"loop{self.number}p*"):
            with contextlib.suppress(OSError, ValueError):  # it goes while we look
                major, minor = (folder / "dev").read_text().strip().split(":")
                found[int((folder / "partition").read_text())] = os.makedev(int(major), int(minor))
        return found

    def counters(self) -> list[int]:
        """/sys/block/loopN/stat (Documentation/block/stat.rst of Linux)."""
        with contextlib.suppress(OSError):
            return [int(word) for word in (self.sysfs / "stat").read_text().split()]
        return [0] * 17

    def close(self) -> None:
        """Let go. It ends at once, or, if somebody still has it open, when they let go, too."""
        if self.fd >= 0:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self.fd, _CLEAR, 0)
            os.close(self.fd)
            self.fd = -1


def _attach(backing: int, name: str) -> tuple[int, int]:
    with _node(stat.S_IFCHR, _CONTROL) as path:
        control = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_TRIES):
            number = fcntl.ioctl(control, _GET_FREE)
            with _node(stat.S_IFBLK, os.makedev(LOOP_MAJOR, number)) as path:
                loop = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(loop, _CONFIGURE, _config(backing, name))
            except OSError as error:
                os.close(loop)
                if error.errno not in (errno.EBUSY, errno.ENXIO):
                    raise
                continue
            return number, loop
    finally:
        os.close(control)
    raise NoLoop(f"{_TRIES} times somebody else took the free loop device first")


def _config(backing: int, name: str) -> bytes:
    """struct loop_config: the file, block size (0: 512), struct loop_info64 with flags and name."""
    flags = _AUTOCLEAR | _PARTSCAN | _DIRECT
    info = struct.pack("=5Q4I64s64s32s2Q", 0, 0, 0, 0, 0, 0, 0, 0, flags, name.encode()[:63], b"", b"", 0, 0)
    return struct.pack("=II", backing, 0) + info + bytes(64)


@contextlib.contextmanager
def _node(kind: int, number: int) -> Iterator[Path]:
    """A device node of our own for the time that opening takes; /dev of a node has none for loops."""
    path = Path(f"/dev/.labctl-{os.getpid()}-{number}")
    path.unlink(missing_ok=True)
    os.mknod(path, kind | 0o600, number)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.ENOMEM):
        return (
            "no free loop device: the kernel has as many as it takes; "
            "`losetup -a` on the host shows who has them, `labctl down` of another lab frees some"
        )
    if error.errno in (errno.EPERM, errno.EACCES):
        return "this node may not make loop devices (CAP_MKNOD and CAP_SYS_ADMIN are needed)"
    if error.errno in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        return "the kernel has no loop devices (CONFIG_BLK_DEV_LOOP, or `modprobe loop` on the host)"
    return f"cannot make a loop device: {error.strerror}"
