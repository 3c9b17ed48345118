"""The disks of machines on another host: they stay files of this one, and are served to it (NBD).

One qemu-storage-daemon(1) a lab, which the bubble keeps up, is told by QMP which files those are. So
snapshots, restores and `down` are what they are for machines of this host.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labctl.errors import ActionFailed, HostLacks, TimedOut
from labctl.places import LabPlaces
from labctl.wait import wait_until

if TYPE_CHECKING:
    from qemu.qmp import QMPClient

PROGRAM = "qemu-storage-daemon"
SYSTEM, FILES = "system", "files"
ANSWER_SECONDS = 60.0
GONE_SECONDS = 10.0
LOOK = 0.05  # s

Disks = Mapping[str, Mapping[str, Any]]


def command(program: Path, places: LabPlaces) -> list[str]:
    """The words that start the daemon."""
    qmp, nbd = (str(path).replace(",", ",,") for path in (places.remote / "qmp", places.remote / "nbd"))
    # fmt: off
    return [
        str(program),
        "--chardev", f"socket,id=qmp,path={qmp},server=on,wait=off", "--monitor", "chardev=qmp",
        "--nbd-server", f"addr.type=unix,addr.path={nbd}",
    ]
    # fmt: on


def lacking() -> HostLacks:
    """The error of a host without the program."""
    return HostLacks(
        f"The disks of machines on another host are served by {PROGRAM}, which is not here.",
        mend="install QEMU's tools: qemu-system-common (Debian, Ubuntu), qemu-img, or qemu-tools",
    )


def export_name(machine: str, disk: str) -> str:
    """What a machine's disk, SYSTEM or FILES, is called there."""
    return f"{disk}-{machine}"


def serve(places: LabPlaces, machine: str, *, careful: bool) -> None:
    """Serve the disks of a machine that is off, as their files are now.

    careful: what its guest flushes goes to this host's own disk.  Raises ActionFailed.
    """
    folder = places.vms / machine
    # Without care, too, a flush writes what the daemon itself holds back; killed, it leaves a sound file.
    cache = {"direct": False, "no-flush": not careful}
    disk = {"driver": "file", "filename": str(folder / "disk.qcow2"), "cache": cache, "discard": "unmap"}
    files = {"driver": "file", "filename": str(folder / "files.tar"), "read-only": True}
    _ask(places, machine, {
        SYSTEM: {"driver": "qcow2", "file": disk, "cache": cache, "discard": "unmap"},
        FILES: {"driver": "raw", "file": files, "read-only": True},
    })  # fmt: skip


def forget(places: LabPlaces, machine: str) -> None:
    """Close the files of a machine that is off, if they are served. Raises ActionFailed."""
    _ask(places, machine, {})


def served(places: LabPlaces) -> bool:
    """Whether any disk is served: a daemon that was started anew has forgotten all."""
    from qemu.qmp import QMPError

    async def ask() -> bool:
        async with _connected(places.remote / "qmp") as client:
            return bool(await _ids(client, "query-block-exports", "id"))

    try:
        with _turn(places):
            return asyncio.run(asyncio.wait_for(ask(), ANSWER_SECONDS))
    except (QMPError, OSError, TimeoutError, TimedOut):
        return False


def _ask(places: LabPlaces, machine: str, disks: Disks) -> None:
    from qemu.qmp import QMPError

    try:
        with _turn(places):
            asyncio.run(asyncio.wait_for(_serve(places.remote / "qmp", machine, disks), ANSWER_SECONDS))
    except (QMPError, OSError, TimeoutError, TimedOut) as error:
        raise ActionFailed(
            f"The disks of {machine} cannot be served to the host of its virtual machine.",
            details=str(error) or type(error).__name__,
            mend=f"labctl up --lab {places.lab}; its words are in {places.logs / 'exports.log'}",
        ) from None


async def _serve(socket: Path, machine: str, disks: Disks) -> None:
    """Serve just these disks of a machine; the others' stay."""
    async with _connected(socket) as client:
        await _close(client, [export_name(machine, disk) for disk in (SYSTEM, FILES)])
        for disk, about in disks.items():
            name = export_name(machine, disk)
            await client.execute("blockdev-add", {"node-name": _node(name), **about})
            writable = not about.get("read-only", False)
            await client.execute(
                "block-export-add",
                {"type": "nbd", "id": name, "name": name, "node-name": _node(name), "writable": writable},
            )


@contextlib.contextmanager
def _turn(places: LabPlaces) -> Iterator[None]:
    """One caller at a time: the daemon listens to no more, and refuses who waits for too many before it."""
    handle = os.open(places.remote, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # the folder is the lock

    def take() -> bool:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    try:
        wait_until("the daemon that serves the disks", take, timeout=ANSWER_SECONDS, every=LOOK)
        yield
    finally:
        os.close(handle)


@contextlib.asynccontextmanager
async def _connected(socket: Path) -> AsyncIterator[QMPClient]:
    from qemu.qmp import QMPClient

    client = QMPClient("labctl")
    await client.connect(str(socket))
    try:
        yield client
    finally:
        await client.disconnect()


async def _close(client: QMPClient, names: list[str]) -> None:
    served = await _ids(client, "query-block-exports", "id")
    for name in served.intersection(names):
        await client.execute("block-export-del", {"id": name, "mode": "hard"})
    deadline = asyncio.get_running_loop().time() + GONE_SECONDS
    while (await _ids(client, "query-block-exports", "id")).intersection(names):
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"{', '.join(names)} are still in use")
        await asyncio.sleep(LOOK)
    known = await _ids(client, "query-named-block-nodes", "node-name")
    for name in names:
        if _node(name) in known:
            await client.execute("blockdev-del", {"node-name": _node(name)})


async def _ids(client: QMPClient, query: str, field: str) -> set[str]:
    found = await client.execute(query)
    return {str(each[field]) for each in found} if isinstance(found, list) else set()


def _node(name: str) -> str:
    """A block node's name has 31 characters at most; a machine's may have more."""
    return f"d{hashlib.sha256(name.encode()).hexdigest()[:24]}"
