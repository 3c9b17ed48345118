"""A session's disks while it lasts: qemu-storage-daemon, a loop device per LUN, and what they are called."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from . import ask, state
from .devices import Disk
from .events import Closings, Flusher
from .loops import Loop
from .qemu import Daemon, Unwilling
from .records import Record, portal_text

FLUSH_WITHIN = 10.0  # s that a logout waits for dirty data to reach the target


class Attached:
    """The disks of the target that a node record names. Raises Unwilling and NoLoop."""

    def __init__(self, record: Record, initiator: str, folder: Path) -> None:
        self._target, self._initiator, self._folder = record["node.name"], initiator, folder
        self._portal = portal_text(record["node.conn[0].address"], record["node.conn[0].port"])
        self._chap: tuple[str, str] | None = None
        if record["node.session.auth.authmethod"] == "CHAP":
            self._chap = (record["node.session.auth.username"], record["node.session.auth.password"])
        self._flusher = Flusher()
        self._daemon: Daemon | None = None
        self._disks: dict[int, Disk] = {}
        self.closings = Closings()

    @property
    def chap(self) -> tuple[str, str] | None:
        return self._chap

    @property
    def portal(self) -> str:
        return self._portal

    @property
    def pid(self) -> int:
        """The daemon's, 0 when there is none."""
        return self._daemon.pid if self._daemon else 0

    def ended(self) -> int | None:
        """The exit code of a daemon that died (0 also when there is none), None while it runs."""
        return self._daemon.process.poll() if self._daemon else 0

    def numbers(self) -> set[int]:
        return set(self._disks)

    def names(self) -> str:
        return ", ".join(disk.name for _, disk in sorted(self._disks.items())) or "no disk"

    def describe(self) -> list[dict[str, Any]]:
        return [disk.describe() for _, disk in sorted(self._disks.items())]

    # -- coming -------------------------------------------------------------------------------

    def attach(self, luns: list[ask.Lun]) -> None:
        """A new daemon with all these disks. Those that were there before keep their names."""
        self._daemon = Daemon(self._folder)
        if self._chap:
            self._daemon.secret(self._chap[1])
        for lun in luns:
            self._add(self._daemon, lun)

    def _add(self, daemon: Daemon, lun: ask.Lun) -> None:
        user = self._chap[0] if self._chap else ""
        file = daemon.add(
            lun.number, portal=self._portal, target=self._target, initiator=self._initiator, user=user
        )
        loop = Loop(file)
        disk = self._disks.get(lun.number)
        if disk is None:
            name = state.name_for(f"{self._target} {ask.wwid(lun.identity) or f'lun {lun.number}'}")
            disk = self._disks[lun.number] = Disk(lun, name, self._target, self._portal, loop)
        disk.loop = loop
        disk.make()
        self.closings.watch(disk.path)

    def rescan(self, luns: list[ask.Lun]) -> list[str]:
        """New LUNs come, those that went or changed go; one in use stays, and a sentence says so."""
        if self._daemon is None:
            raise Unwilling("the session is being re-established")
        words = []
        now = {lun.number: lun for lun in luns}
        for number, disk in list(self._disks.items()):
            if now.get(number) == disk.lun:
                continue
            if disk.loop.in_use():
                what = "has changed" if number in now else "is gone"
                words.append(f"LUN {number} ({disk.name}) {what} but is in use; it stays as it is")
            else:
                self._drop(self._daemon, number)
        for number, lun in now.items():
            if number not in self._disks:
                self._add(self._daemon, lun)
        return words

    # -- being there --------------------------------------------------------------------------

    def closed(self) -> None:
        """Some disks were closed by those who used them: do what the last close of a disk does."""
        names = self.closings.names()
        for disk in self._disks.values():
            if disk.name in names:
                self._flusher.flush(disk.loop)

    def repartition(self, loops: set[int]) -> bool:
        """The kernel said something about these loop devices; whether that changed a disk of ours."""
        before = self.describe()
        for disk in self._disks.values():
            if disk.loop.number in loops and self._daemon:
                disk.make_partitions()
        return self.describe() != before

    def counters(self) -> dict[str, int]:
        """Requests and bytes since the disks were made."""
        sums = [disk.loop.counters() for disk in self._disks.values()]
        reads, read, writes, written = (sum(one[at] for one in sums) for at in (0, 2, 4, 6))
        return {"reads": reads, "read": read * 512, "writes": writes, "written": written * 512}

    # -- going --------------------------------------------------------------------------------

    def detach(self) -> None:
        """End the daemon; the names stay, and lead nowhere until attach().

        Nodes first: a loop device's number can be somebody else's as soon as it is let go.
        What still has an old loop device open (a mount) gets errors from it, as after a lost session.
        """
        for disk in self._disks.values():
            disk.lame()
        for disk in self._disks.values():
            disk.loop.close()
        if self._daemon is not None:
            self._daemon.end()
        self._daemon = None

    def _drop(self, daemon: Daemon, number: int) -> None:
        disk = self._disks.pop(number)
        disk.unmake()
        disk.loop.flush()
        disk.loop.close()
        daemon.remove(number)

    def end(self) -> bool:
        """Log out. Names first, so that nobody comes anew; then what is dirty is written; then all ends.

        False when the target did not take everything in time; what it did not take is lost.
        """
        for disk in self._disks.values():
            disk.unmake()
            if self._daemon:
                self._flusher.flush(disk.loop)
        complete = self._flusher.finish(FLUSH_WITHIN)
        if not complete and self._daemon:
            self._daemon.process.kill()  # ends the waiting, with errors
        for disk in self._disks.values():
            disk.loop.close()
        self._disks = {}
        if self._daemon is not None:
            self._daemon.end()
            self._daemon = None
        with contextlib.suppress(OSError):
            self._folder.rmdir()
        return complete
