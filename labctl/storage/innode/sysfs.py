"""/sys/block and /sys/dev/block as the node should see them: its own disks, under their own names.

sysfs shows every loop device of the kernel, of all nodes and labs, as loopN. lsblk would list them all, and
parted takes sdb1 for a bug when /sys/block/sdb is missing. So both folders are covered, in this node's mount
namespace alone, by folders of links: loop devices of others are left out, ours have their names, the rest
is as it is.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from . import state
from .database import locked
from .mounts import bind

_REAL = Path("/sys/devices/virtual/block")
_SHOWN = state.RUN / "sys"
_LINKED = 16  # partitions of a disk
_COVERED = {"block": Path("/sys/block"), "dev": Path("/sys/dev/block")}


def refresh() -> None:
    """Bring both folders to what the session files say, and cover the real ones."""
    with locked(state.RUN / "sys.lock"):
        sessions = [session for session in state.listed("sessions") if session["daemon"]]
        with contextlib.suppress(OSError):  # a picture for tools; the disks work without
            _show([disk for session in sessions for disk in session["disks"]])


def _show(disks: list[state.Document]) -> None:
    links: dict[str, str] = {}
    for path in Path("/sys/class/block").iterdir():
        if not path.name.startswith("loop"):
            real = str(path.resolve())
            links[f"dev/{_number(path)}"] = real
            if not (path / "partition").exists():
                links[f"block/{path.name}"] = real
    for disk in disks:
        real = _REAL / disk["loop"]
        links[f"dev/{_number(real)}"] = f"../../block/{disk['name']}"
        for entry in real.iterdir():
            if not entry.name.startswith("loop") or entry.name == "loop":
                links[f"block/{disk['name']}/{entry.name}"] = str(entry)
        # A partition's link is there before the partition: parted looks for it at once.
        for number in {*range(1, _LINKED + 1), *disk["partitions"]}:
            links[f"block/{disk['name']}/{disk['name']}{number}"] = str(real / f"{disk['loop']}p{number}")
        for number in disk["partitions"]:
            part = real / f"{disk['loop']}p{number}"
            links[f"dev/{_number(part)}"] = f"../../block/{disk['name']}/{disk['name']}{number}"
    _bring_to(links)
    for name, covered in _COVERED.items():
        if not _is_covered(name, covered):
            bind(_SHOWN / name, covered)


def _bring_to(links: dict[str, str]) -> None:
    """Make these links and no others; what is right stays, since somebody may be looking."""
    for name in _COVERED:
        (_SHOWN / name).mkdir(parents=True, exist_ok=True)
    for path in sorted(_SHOWN.glob("*/*")):
        if path.is_symlink():
            if links.get(str(path.relative_to(_SHOWN))) != str(path.readlink()):
                path.unlink()
            continue
        for inner in path.iterdir():
            if links.get(str(inner.relative_to(_SHOWN))) != str(inner.readlink()):
                inner.unlink()
        if not any(path.iterdir()):
            path.rmdir()
    for name, target in links.items():
        path = _SHOWN / name
        path.parent.mkdir(exist_ok=True)
        if not path.is_symlink():
            path.symlink_to(target)


def _is_covered(name: str, covered: Path) -> bool:
    return (_SHOWN / name).exists() and os.path.samestat((_SHOWN / name).stat(), covered.stat())


def _number(path: Path) -> str:
    return (path / "dev").read_text().strip()
