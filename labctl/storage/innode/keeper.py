"""The keeper of one session: `labctl-iscsi keep SID`, run by labctl-iscsi-session@SID.service.

It logs in, makes the disks, and stays until it is told to go. What it holds ends with it: the loop
devices clear themselves, the exports are mounts of the node's own namespace.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
from pathlib import Path
from typing import Any

from . import ask, devices, state, sysfs, wire
from .attached import Attached
from .events import Uevents
from .loops import NoLoop
from .qemu import Unwilling, release
from .records import Record
from .voice import complain, notify

RETRY = 1.0  # s between two tries to reach a target
LOOK = 5.0  # s between two looks at the session's connections
INTERNAL = 9  # iscsiadm's exit code for what is broken on this side


class Ended(BaseException):
    """SIGTERM: log out."""


class Keeper:
    """One session. request: what state.py's request/SID.json holds."""

    def __init__(self, sid: int, request: state.Document) -> None:
        self._sid, self._request = sid, request
        self._record: Record = request["record"]
        self._target = self._record["node.name"]
        self._address, self._port = (
            self._record["node.conn[0].address"],
            int(self._record["node.conn[0].port"]),
        )
        self._login_timeout = float(self._record["node.conn[0].timeo.login_timeout"]) or 15
        self._initiator = str(request["initiator"])
        self._tpgt = 1
        self._state = "LOGGED_IN"
        self._attached = Attached(self._record, self._initiator, state.RUN / "disks" / str(sid))

    def run(self) -> int:
        """Log in, keep the session, log out. The exit code: 0, or iscsiadm's for a login that failed."""
        clear(self._sid)
        notify("READY=1\nSTATUS=Logging in")  # iscsiadm waits for the outcome, the boot only so long
        uevents = Uevents()
        try:
            self._begin()
            self._serve(uevents)
        except Ended:
            self._say(f"logging out of {self._target}")
        except (wire.Refused, Unwilling, NoLoop) as error:
            code = error.code if isinstance(error, wire.Refused) else INTERNAL
            self._say(str(error))
            self._outcome("FAILED", code, str(error))
            return code
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
            if not self._attached.end():
                self._say("the target did not take what was not written yet; that is lost")
            (state.RUN / "control" / f"{self._sid}.sock").unlink(missing_ok=True)
            state.forget(self._sid, "sessions")
            sysfs.refresh()
        return 0

    # -- logging in -----------------------------------------------------------------------------

    def _begin(self) -> None:
        """Log in for the first time. Raises what made that fail."""
        limit = self._login_timeout * float(self._record["node.session.initial_login_retry_max"])
        deadline = time.monotonic() + limit
        told = ""
        while True:
            try:
                self._attached.attach(self._look())
                break
            except (wire.Refused, Unwilling, NoLoop) as error:
                self._attached.detach()
                # A session that was there before its keeper died is kept up without end, as iscsid does.
                if not self._request.get("established"):
                    if not isinstance(error, wire.Refused) or error.final:
                        raise
                    if time.monotonic() + RETRY > deadline:
                        raise wire.Refused(wire.TIMEOUT, str(error), final=True) from None
                if str(error) != told:
                    told = str(error)
                    self._say(f"{told}; trying on")
                    self._outcome("TRYING", wire.TIMEOUT, told)
                time.sleep(RETRY)
        self._request["established"] = True
        state.save("request", self._sid, self._request)
        self._report()
        self._outcome("DONE", 0, "")
        self._say(f"logged in to {self._target}: {self._attached.names()}")
        notify(f"STATUS=Logged in to {self._target}: {self._attached.names()}")

    def _look(self) -> list[ask.Lun]:
        with wire.Connection(
            self._address,
            self._port,
            initiator=self._initiator,
            target=self._target,
            chap=self._attached.chap,
            timeout=self._login_timeout,
        ) as connection:
            self._tpgt = connection.tpgt
            return ask.disks(connection)

    # -- keeping --------------------------------------------------------------------------------

    def _serve(self, uevents: Uevents) -> None:
        listener, closings = self._listen(), self._attached.closings
        read, write = socket.socketpair()
        for end in (read, write):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(write.fileno())
        fds = [listener.fileno(), read.fileno(), uevents.fileno(), closings.fileno()]
        while True:
            if self._attached.ended() is not None:
                self._revive()
            ready, _, _ = select.select(fds, [], [], LOOK if self._attached.pid else RETRY)
            if fds[1] in ready:
                read.recv(4096)
            if fds[3] in ready:
                self._attached.closed()
            if fds[2] in ready and self._attached.repartition(uevents.loops()):
                self._report()
            if fds[0] in ready:
                self._answer(listener)
            self._check()

    def _revive(self) -> None:
        """The daemon died: a new one, with new loop devices under the old names."""
        if self._attached.pid:
            self._say(f"qemu-storage-daemon ended ({self._attached.ended()})")
            self._attached.detach()
            self._state = "FAILED"
            self._report()
        try:
            known = self._attached.numbers()
            self._attached.attach([lun for lun in self._look() if lun.number in known])
        except (wire.Refused, Unwilling, NoLoop) as error:
            self._say(f"{error}; trying on")
            self._attached.detach()
            return
        self._state = "LOGGED_IN"
        self._report()
        self._say(f"{self._attached.names()} again")

    def _check(self) -> None:
        """Does the target still have us? With the kernel's initiator /sys/class/iscsi_session would tell."""
        if not self._attached.pid or not self._attached.numbers():
            return
        now = "LOGGED_IN" if connected(self._attached.pid, self._port) else "FAILED"
        if now != self._state:
            self._state = now
            self._report()
            self._say("logged in again" if now == "LOGGED_IN" else "the target is away; I/O waits")

    # -- being asked ----------------------------------------------------------------------------

    def _listen(self) -> socket.socket:
        path = state.RUN / "control" / f"{self._sid}.sock"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        listener.listen()
        return listener

    def _answer(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            asker, _ = listener.accept()
            asker.settimeout(5)
            with asker, asker.makefile("rw") as file:
                wish = json.loads(file.readline()).get("do")
                answer = self._rescan() if wish == "rescan" else {"code": 0, **self._attached.counters()}
                file.write(json.dumps(answer) + "\n")

    def _rescan(self) -> dict[str, Any]:
        try:
            words = self._attached.rescan(self._look())
        except (wire.Refused, Unwilling, NoLoop) as error:
            return {"code": getattr(error, "code", INTERNAL), "words": str(error)}
        finally:
            self._report()
        return {"code": 0, "words": "\n".join(words)}

    # -- telling --------------------------------------------------------------------------------

    def _report(self) -> None:
        document = {
            "sid": self._sid,
            "state": self._state,
            "target": self._target,
            "portal": self._attached.portal,
            "tpgt": self._tpgt,
            "initiator": self._initiator,
            "iface": self._record["iface.iscsi_ifacename"],
            "disks": self._attached.describe(),
            "keeper": os.getpid(),
            "daemon": self._attached.pid,
        }
        state.save("sessions", self._sid, document)
        sysfs.refresh()

    def _outcome(self, how: str, code: int, words: str) -> None:
        state.save("outcome", self._sid, {"state": how, "code": code, "words": words})

    def _say(self, text: str) -> None:
        complain(f"session {self._sid}: {text}")


def connected(pid: int, port: int) -> bool:
    """Whether a process has an established TCP connection to a port of somebody else."""
    inodes = set()
    for family in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{family}").read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == "01" and int(words[2].rsplit(":", 1)[1], 16) == port:
                    inodes.add(f"socket:[{words[9]}]")
    for path in Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(OSError):
            if str(path.readlink()) in inodes:
                return True
    return False


def clear(sid: int) -> None:
    """Remove what a keeper that was killed left behind: nodes, links, dead mounts."""
    before = state.load("sessions", sid)
    if before:
        devices.clear(before["disks"])
        state.forget(sid, "sessions")
        sysfs.refresh()
    for mount in (state.RUN / "disks" / str(sid)).glob("lun*"):
        release(mount)


def keep(sid: int) -> int:
    """Be the keeper of a session that was asked for. The process's exit code."""
    request = state.load("request", sid)
    if request is None:
        complain(f"nobody asked for a session {sid}; log in with iscsiadm -m node --login")
        return INTERNAL

    def ended(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Ended

    signal.signal(signal.SIGTERM, ended)
    return Keeper(sid, request).run()
