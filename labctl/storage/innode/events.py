"""What a keeper is told by the kernel: partitions that come and go, disks that are closed; and flushing."""

from __future__ import annotations

import ctypes
import os
import queue
import re
import socket
import struct
import threading
from pathlib import Path

from .loops import Loop

_UEVENT = 15  # NETLINK_KOBJECT_UEVENT
_CLOSED = 0x08 | 0x10  # IN_CLOSE_WRITE | IN_CLOSE_NOWRITE
_LOOP = re.compile(r"/block/loop(\d+)(?:/|$)")


class Uevents:
    """The kernel's own block events; those of other nodes' loop devices come, too."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _UEVENT)
        self._socket.bind((0, 1))
        self._socket.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    def loops(self) -> set[int]:
        """Numbers of the loop devices that something was said about."""
        found: set[int] = set()
        while True:
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                return found
            except OSError:
                continue  # ENOBUFS: some were lost, more are there
            match = _LOOP.search(data.split(b"\0", 1)[0].decode(errors="replace"))
            if match:
                found.add(int(match[1]))


class Closings:
    """inotify(7) on device nodes: who closes a disk expects what the last close of a disk does."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._fd < 0:
            why = os.strerror(ctypes.get_errno())
            raise OSError(
                ctypes.get_errno(), f"inotify: {why}; the host's fs.inotify.max_user_instances is used up"
            )
        self._names: dict[int, str] = {}

    def fileno(self) -> int:
        return int(self._fd)

    def watch(self, path: Path) -> None:
        number = self._libc.inotify_add_watch(self._fd, os.fsencode(path), _CLOSED)
        if number >= 0:
            self._names[number] = path.name

    def names(self) -> set[str]:
        """Names of the disks that were closed."""
        found: set[str] = set()
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return found
        at = 0
        while at < len(data):
            watch, mask, _, size = struct.unpack_from("iIII", data, at)
            if mask & _CLOSED and watch in self._names:
                found.add(self._names[watch])
            if mask & 0x8000:  # IN_IGNORED: the node is gone
                self._names.pop(watch, None)
            at += 16 + size
        return found


class Flusher:
    """Flushes disks in a thread of its own: that waits as long as the target is away.

    A session holds its loop devices open, so no close by anybody else is the last one, and the
    kernel would neither write what is dirty nor forget what other nodes have changed since.
    """

    def __init__(self) -> None:
        self._waiting: queue.Queue[Loop | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def flush(self, loop: Loop) -> None:
        self._waiting.put(loop)

    def finish(self, timeout: float) -> bool:
        """Wait for what was asked for, at most timeout seconds; whether it was done."""
        self._waiting.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while True:
            loop = self._waiting.get()
            if loop is None:
                return
            loop.flush()
