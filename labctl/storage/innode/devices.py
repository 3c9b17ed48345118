"""What udev would make of a session's disks: /dev/sdX, its partitions, by-id and by-path links.

No udev runs in a node. Link names follow 60-persistent-storage.rules of systemd.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Any

from .ask import Lun, wwid
from .loops import LOOP_MAJOR, Loop

DEV = Path("/dev")
DISK_GROUP = 6  # "disk" of Debian and of CentOS
NOWHERE = os.makedev(LOOP_MAJOR, (1 << 20) - 1)


class Disk:
    """One LUN as the node sees it. name: sdb, sdc, …"""

    def __init__(self, lun: Lun, name: str, target: str, portal: str, loop: Loop) -> None:
        self.lun, self.name, self.loop = lun, name, loop
        self._links = link_names(lun, target, portal)
        self._made: dict[Path, str] = {}  # links, with where they point
        self._parts: dict[int, int] = {}

    @property
    def path(self) -> Path:
        return DEV / self.name

    def make(self) -> None:
        """Nodes and links, replacing what was under these names."""
        _make_node(self.path, self.loop.device)
        self._link("", self.name)
        self.make_partitions()

    def make_partitions(self) -> None:
        """Bring the partitions' nodes and links to what the kernel knows now."""
        there = self.loop.partitions()
        for number in set(self._parts) - set(there):
            self._unmake_partition(number)
        for number, device in there.items():
            if self._parts.get(number) != device:
                _make_node(DEV / f"{self.name}{number}", device)
                self._link(f"-part{number}", f"{self.name}{number}")
        self._parts = there

    def lame(self) -> None:
        """Let the nodes lead to no device, while there is none: opening them fails (ENXIO).

        Removing them would not do: who writes then makes a plain file, and believes it was the disk.
        """
        for name in [self.name, *(f"{self.name}{number}" for number in self._parts)]:
            _make_node(DEV / name, NOWHERE)
        self._parts = dict.fromkeys(self._parts, NOWHERE)

    def unmake(self) -> None:
        """Remove every node and link; a link that somebody else took over stays theirs."""
        for number in list(self._parts):
            self._unmake_partition(number)
        for path in list(self._made):
            self._unlink(path)
        with contextlib.suppress(OSError):
            if self.path.stat().st_rdev in (self.loop.device, NOWHERE):
                self.path.unlink()

    def describe(self) -> dict[str, Any]:
        """As the session's state file and labctl's probe have it; links and nodes for a later clearing."""
        names = [name for name in self._links if name.startswith("by-id/wwn-")]
        return {
            "lun": self.lun.number,
            "name": self.name,
            "size": self.lun.size,
            "wwn": names[0][6:] if names else "",
            "serial": wwid(self.lun.identity) or self.lun.serial,
            "loop": f"loop{self.loop.number}",
            "partitions": sorted(self._parts),
            "links": sorted(str(path) for path in self._made),
        }

    def _link(self, suffix: str, to: str) -> None:
        for name in self._links:
            path = DEV / "disk" / f"{name}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_name(f".{path.name}.{os.getpid()}")
            new.unlink(missing_ok=True)
            new.symlink_to(f"../../{to}")
            new.replace(path)
            self._made[path] = f"../../{to}"

    def _unlink(self, path: Path) -> None:
        target = self._made.pop(path)
        with contextlib.suppress(OSError):
            if str(path.readlink()) == target:
                path.unlink()

    def _unmake_partition(self, number: int) -> None:
        del self._parts[number]
        with contextlib.suppress(FileNotFoundError):
            (DEV / f"{self.name}{number}").unlink()
        for path in [path for path in self._made if path.name.endswith(f"-part{number}")]:
            self._unlink(path)


def link_names(lun: Lun, target: str, portal: str) -> list[str]:
    """Names below /dev/disk of a LUN. portal: ADDR:PORT."""
    names = [f"by-path/ip-{portal}-iscsi-{target}-lun-{lun.number}"]
    identity = wwid(lun.identity)
    if identity:
        names.append(f"by-id/scsi-{identity}")
    if identity.startswith("3"):
        names.append(f"by-id/wwn-0x{identity[1:]}")
    return names


def clear(disks: list[dict[str, Any]]) -> None:
    """Remove what a session that is no more left behind, from its state file's disks."""
    for disk in disks:
        names = [disk["name"], *(f"{disk['name']}{number}" for number in disk.get("partitions", []))]
        for link in map(Path, disk.get("links", [])):
            with contextlib.suppress(OSError):
                if link.readlink().name in names:
                    link.unlink()
        for name in names:
            with contextlib.suppress(OSError):
                if stat.S_ISBLK((DEV / name).stat().st_mode):
                    (DEV / name).unlink()


def _make_node(path: Path, device: int) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    os.mknod(new, stat.S_IFBLK | 0o660, device)
    os.chown(new, 0, DISK_GROUP)
    new.chmod(0o660)
    new.replace(path)
