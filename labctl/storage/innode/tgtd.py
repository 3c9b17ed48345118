"""Keeps tgtd: starts it closed, has it configured, then opens it; ends when it ends."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from . import command, document, reconcile, sever, tgt
from .voice import complain as warn
from .voice import notify, say

CONTROL = "/run/tgtd"  # where tgtadm finds tgtd
LOOK = 1.0  # s, between looks for a peer that holds tgtd up
PATIENCE = 3.0  # s
START = 15.0  # s, until a new tgtd answers
# Of LIO: after 15 s of silence a ping; a peer that leaves three unanswered has gone.
OPTIONS = "nop_interval=15,nop_count=3"
THREADS = 4  # per disk

Put = Callable[[Mapping[str, Any]], "list[str]"]


def serve(config: str, put: Put, complain: Callable[[Sequence[str]], int]) -> int:
    """Run tgtd until SIGTERM (0) or its own end (1). config: the file it starts with.

    Without a file it takes what was applied last since the machine's start, so that a tgtd that died
    comes back with everything, and its initiators just wait.
    """
    if sever.daemon():
        return complain(["a tgtd runs already"])
    stop = _Stop()
    Path(CONTROL).mkdir(parents=True, exist_ok=True)
    Path(CONTROL, "socket.0.lock").unlink(missing_ok=True)
    first = f"portal={reconcile.FIRST_PORTAL},{OPTIONS}"
    child = command.start(["tgtd", "-f", "-t", str(THREADS), "--iscsi", first])
    try:
        if not _await_answer(child, stop):
            return 0 if stop.asked else complain(["tgtd does not come up; its words are above"])
        try:
            problems = put(document.load(config) if config else document.running())
        except (document.BadDocument, tgt.TgtError) as error:
            problems = [str(error)]
        complain(problems)
        notify("READY=1\nSTATUS=" + (problems[0] if problems else "serving"))
        say("labctl-target: serving")
        return _watch(child, stop)
    finally:
        # Everything acknowledged is in the file already (bs_rdwr.c), so this may be short.
        child.kill()
        child.wait()


class _Child(Protocol):
    """The part of subprocess.Popen that is used here."""

    pid: int

    def poll(self) -> int | None: ...


class _Stop:
    """Was the end asked for?"""

    def __init__(self) -> None:
        self.asked = False
        self.wake, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


def _await_answer(child: _Child, stop: _Stop) -> bool:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline and not stop.asked and child.poll() is None:
        if tgt.answers():
            return True
        time.sleep(0.01)
    return False


def _watch(child: _Child, stop: _Stop) -> int:
    events = select.poll()
    events.register(stop.wake, select.POLLIN)
    events.register(os.pidfd_open(child.pid), select.POLLIN)
    watch = sever.Watch(PATIENCE)
    while not stop.asked:
        if not events.poll(LOOK * 1000):
            for address in watch.look(child.pid):
                warn(f"labctl-target: {address} took nothing and held tgtd up; its connection is cut")
        code = child.poll()
        if code is not None and not stop.asked:
            warn(f"labctl-target: tgtd ended with code {code}")
            return 1
    return 0
