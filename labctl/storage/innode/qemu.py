"""qemu-storage-daemon: one per session. It speaks iSCSI and shows each disk as a file in a FUSE mount.

Driven by QMP over a socket that only this process has; passwords go that way, never on a command line.
QMP and the drivers' options: docs/interop/qemu-storage-daemon-qmp-ref of QEMU 7.2.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from pathlib import Path
from typing import Any

from .command import start
from .mounts import detach, one_at_a_time

# libiscsi's own variable (lib/init.c): a try to reach a target that is away ends after 3 s, not after
# minutes, so that the session is back soon after its target is.
LIBISCSI = {"LIBISCSI_TCP_SYNCNT": "1"}
ANSWER_WITHIN = 20.0  # s; a login to the target is part of blockdev-add


class Unwilling(Exception):
    """qemu-storage-daemon refused, did not answer, or is gone; str() is its own message."""


class Daemon:
    """A running qemu-storage-daemon. folder: where its exports are mounted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        ours, its = socket.socketpair()
        with its:
            words = [
                "qemu-storage-daemon",
                "--chardev",
                f"socket,id=qmp,fd={its.fileno()}",
                "--monitor",
                "qmp",
            ]
            try:
                self.process = start(words, pass_fds=[its.fileno()], more=LIBISCSI)
            except FileNotFoundError:
                ours.close()
                raise Unwilling("there is no program qemu-storage-daemon") from None
        ours.settimeout(ANSWER_WITHIN)
        self._socket = ours
        self._file = ours.makefile("rw", encoding="utf-8")
        self._line()
        self.ask("qmp_capabilities")

    @property
    def pid(self) -> int:
        return self.process.pid

    def ask(self, command: str, **arguments: Any) -> Any:
        """One QMP command; its result. Raises Unwilling."""
        try:
            self._file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
            self._file.flush()
        except OSError as error:
            raise Unwilling(f"qemu-storage-daemon is gone ({error})") from None
        while True:
            answer = self._line()
            if "error" in answer:
                raise Unwilling(str(answer["error"].get("desc", "no reason given")))
            if "return" in answer:
                return answer["return"]

    def _line(self) -> dict[str, Any]:
        try:
            line = self._file.readline()
        except OSError as error:
            raise Unwilling(f"qemu-storage-daemon does not answer ({error})") from None
        if not line:
            raise Unwilling("qemu-storage-daemon ended")
        found: dict[str, Any] = json.loads(line)
        return found

    def secret(self, password: str) -> None:
        """Give it the CHAP password that add() refers to."""
        self.ask("object-add", **{"qom-type": "secret", "id": "chap", "data": password})

    def add(self, lun: int, *, portal: str, target: str, initiator: str, user: str = "") -> Path:
        """Log in for this LUN and export it; the file that stands for the disk. Raises Unwilling."""
        node, mount = f"lun{lun}", self._folder / f"lun{lun}"
        # A file of ours to mount on. What an earlier daemon left mounted here is dead: detach it.
        release(mount)
        mount.touch(mode=0o600)
        chap = {"user": user, "password-secret": "chap"} if user else {}
        self.ask(
            "blockdev-add",
            driver="iscsi", transport="tcp", portal=portal, target=target, lun=lun, cache={"direct": True},
            **{"node-name": node, "initiator-name": initiator, **chap},
        )  # fmt: skip
        try:
            self.ask(
                "block-export-add",
                type="fuse", id=node, mountpoint=str(mount), writable=True, growable=False,
                **{"node-name": node},
            )  # fmt: skip
        except Unwilling:
            with contextlib.suppress(Unwilling):
                self.ask("blockdev-del", **{"node-name": node})
            raise
        try:
            one_at_a_time(mount, self._folder)
        except OSError as error:
            self.remove(lun)
            raise Unwilling(f"cannot limit the export of LUN {lun} to one request: {error}") from None
        return mount

    def remove(self, lun: int) -> None:
        """End an export, used or not, and log out for it. Best effort: the daemon may be ill."""
        with contextlib.suppress(Unwilling):
            self.ask("block-export-del", id=f"lun{lun}", mode="hard")
            self._await_gone(f"lun{lun}")
            self.ask("blockdev-del", **{"node-name": f"lun{lun}"})
        release(self._folder / f"lun{lun}")

    def _await_gone(self, export: str) -> None:
        """block-export-del only begins; its event may come before anybody listens, so look."""
        for _ in range(500):
            if not any(one["id"] == export for one in self.ask("query-block-exports")):
                return
            time.sleep(0.01)

    def end(self) -> None:
        """End it, in order when it answers, else by force; its exports' mounts go, too."""
        with contextlib.suppress(Unwilling):
            self._socket.settimeout(3)
            self.ask("quit")
        self._socket.close()
        try:
            self.process.wait(timeout=3)
        except Exception:  # noqa: BLE001  whatever it is (subprocess is not ours to import): by force then
            self.process.kill()
            self.process.wait()
        for mount in self._folder.glob("lun*"):
            release(mount)


def release(mount: Path) -> None:
    """Detach what is mounted on a file, however dead it is, and remove the file."""
    detach(mount)
    with contextlib.suppress(FileNotFoundError):
        mount.unlink()
