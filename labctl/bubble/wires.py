"""Carries frames between the lab's bridges and machines whose QEMU is not in the bubble.

Such a QEMU has a unix stream socket for each network card, in a folder of the lab: a frame there is a
length of four bytes, the highest first, and so many bytes (qemu(1), -netdev stream).  A socket's name is
PORT@BRIDGE; a tap of that name joins it to that bridge.  QEMU listens, so either side may end and come back.

Run as: python -m labctl.bubble.wires FOLDER
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import selectors
import socket
import stat
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from labctl.errors import LabError
from labctl.run import run

log = logging.getLogger("labctl.wires")

NAME = re.compile(r"(?P<port>[A-Za-z0-9_.-]{1,15})@(?P<bridge>[A-Za-z0-9_.-]{1,15})")
LOOK = 0.2  # s between two looks for a machine that has started
LOOK_FAR = 2.0  # s, when such a look costs a way to another host
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000  # linux/if_tun.h
FRAME_MAX = 65536 + 14
AT_ONCE = 256  # frames of one wire before the others have their turn; more than CHUNK has of the usual size
CHUNK = 256 * 1024  # bytes


def frames(held: bytearray) -> Iterator[bytes]:
    """The whole frames at the beginning of what has come from QEMU; they are taken out of it.

    Raises ValueError for a length that no frame has.
    """
    at = 0
    try:
        while len(held) - at >= 4:
            size = int.from_bytes(held[at : at + 4], "big")
            if size > FRAME_MAX:
                raise ValueError(f"a frame of {size} bytes")
            if len(held) - at - 4 < size:
                return
            frame = bytes(held[at + 4 : at + 4 + size])
            at += 4 + size
            yield frame
    finally:
        del held[:at]


def framed(frame: bytes) -> bytes:
    """A frame as QEMU takes it."""
    return struct.pack(">I", len(frame)) + frame


class Wire:
    """One machine's network card at its bridge."""

    def __init__(self, path: Path, link: socket.socket, tap: int) -> None:
        self.path = path
        self.link = link
        self.tap = tap
        self.heard = False
        self._from_machine = bytearray()
        self._to_machine = bytearray()

    @property
    def waits(self) -> bool:
        """Whether QEMU takes no more at present; then the tap's own queue holds what comes, or drops it."""
        return bool(self._to_machine)

    def from_machine(self) -> bool:
        """Carry what QEMU has sent. False at its end."""
        try:
            got = self.link.recv(CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._from_machine += got
        if got and not self.heard:
            self.heard = True
            log.info("%s joined", self.path.name)
        try:
            for frame in frames(self._from_machine):
                with contextlib.suppress(OSError):  # a bridge that takes no frame drops it, as wires do
                    os.write(self.tap, frame)
        except ValueError as error:
            log.error("%s: %s", self.path.name, error)
            return False
        return bool(got)

    def from_bridge(self) -> bool:
        """Carry what the bridge has sent. False at QEMU's end."""
        with contextlib.suppress(OSError):  # nothing more, or an interface that somebody took down
            for _ in range(AT_ONCE):
                self._to_machine += framed(os.read(self.tap, FRAME_MAX))
        return self.flush()

    def flush(self) -> bool:
        """Go on with what QEMU did not take. False at its end."""
        try:
            while self._to_machine:
                sent = self.link.send(self._to_machine)
                del self._to_machine[:sent]
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def close(self) -> None:
        self.link.close()
        os.close(self.tap)  # the interface goes with it


class Relay:
    """All wires of a lab."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._wires: dict[Path, Wire] = {}
        self._later: dict[Path, float] = {}  # when to look again for a machine that was not there
        self._selector = selectors.DefaultSelector()
        self._due = 0.0

    def serve(self) -> None:
        """For ever."""
        while True:
            self.step()

    def step(self) -> None:
        """Look for new machines if that is due, and carry what comes until it is due again."""
        if time.monotonic() >= self._due:
            self._join_new()
            self._due = time.monotonic() + LOOK
        for key, events in self._selector.select(max(0.0, self._due - time.monotonic())):
            self._carry(key.data, key.fileobj, events)

    def close(self) -> None:
        """Let go of all machines."""
        for wire in self._wires.values():
            wire.close()
        self._selector.close()

    def _join_new(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            for path in sorted(self._folder.iterdir()):
                if path in self._wires or time.monotonic() < self._later.get(path, 0.0):
                    continue
                if wire := join(path):
                    self._wires[path] = wire
                    self._selector.register(wire.link, selectors.EVENT_READ, wire)
                    self._selector.register(wire.tap, selectors.EVENT_READ, wire)

    def _carry(self, wire: Wire, ready: object, events: int) -> None:
        if self._wires.get(wire.path) is not wire:
            return  # it ended by the event before this one
        waited = wire.waits
        if ready == wire.tap:
            alive = wire.waits or wire.from_bridge()
        else:
            alive = not events & selectors.EVENT_WRITE or wire.flush()
            alive = alive and (not events & selectors.EVENT_READ or wire.from_machine())
        if not alive:
            self._selector.unregister(wire.link)
            if not waited:
                self._selector.unregister(wire.tap)
            wire.close()
            del self._wires[wire.path]
            if wire.heard:
                log.info("%s ended", wire.path.name)
            else:  # the way to another host is there, and a machine behind it is not
                self._later[wire.path] = time.monotonic() + LOOK_FAR
        elif wire.waits != waited:
            self._turn(wire)

    def _turn(self, wire: Wire) -> None:
        """Wait for QEMU to take more instead of for the bridge, or the other way round."""
        if wire.waits:
            self._selector.unregister(wire.tap)
            self._selector.modify(wire.link, selectors.EVENT_READ | selectors.EVENT_WRITE, wire)
        else:
            self._selector.register(wire.tap, selectors.EVENT_READ, wire)
            self._selector.modify(wire.link, selectors.EVENT_READ, wire)


def join(path: Path) -> Wire | None:
    """A wire to who listens at this socket; None when nobody does, or when it is none of a machine's."""
    found = NAME.fullmatch(path.name)
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if found is None or not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileNotFoundError(path)
        link.connect(str(path))
    except OSError:
        link.close()
        return None
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", found["port"].encode(), IFF_TAP | IFF_NO_PI))
        run(["ip", "link", "set", found["port"], "master", found["bridge"], "up"], timeout=10)
    except (OSError, LabError) as error:
        log.error("%s: %s", path.name, error)
        os.close(tap)
        link.close()
        return None
    return Wire(path, link, tap)


def main() -> int:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    Relay(Path(sys.argv[1])).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
