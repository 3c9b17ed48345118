"""One lock per lab: flock(2), so the kernel gives it back whatever happens to the holder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from labctl.errors import Busy, TimedOut
from labctl.places import lock_file
from labctl.wait import wait_until


@contextmanager
def held(
    lab: str, what: str, *, patience: float = 0.0, on_wait: Callable[[str], None] = lambda _: None
) -> Iterator[None]:
    """Hold the lab's lock while the block runs.

    what: the command, told to whoever comes second.  patience: seconds to wait for it.
    Raises Busy, naming the holder, when the time is over.
    """
    path = lock_file(lab)
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    file = _open(path)

    def take() -> bool:
        nonlocal file
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if _same(file, path):
            return True
        # The former holder removed the file; what we locked is no longer the lab's lock.
        file.close()
        file = _open(path)
        return False

    if not take() and not take():
        holder = _holder(path)
        if patience <= 0:
            file.close()
            raise _busy(lab, holder)
        on_wait(f"waiting for {holder} to finish with lab {lab}")
        try:
            wait_until("the lab's lock", take, timeout=patience, every=0.1)
        except TimedOut:
            file.close()
            raise _busy(lab, _holder(path)) from None
    try:
        with contextlib.suppress(OSError):  # a full disk: the lock holds without its holder's name
            os.truncate(file.fileno(), 0)
            told = {"pid": os.getpid(), "what": what, "since": int(time.time())}
            os.pwrite(file.fileno(), json.dumps(told).encode(), 0)
        yield
    finally:
        # Removed while it is held, so that a lab that is down leaves no file behind.
        path.unlink(missing_ok=True)
        file.close()


def _open(path: Path) -> IO[str]:
    # Never truncated on opening: until we hold it, the text is the other's.
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")


def _same(file: IO[str], path: Path) -> bool:
    try:
        return os.fstat(file.fileno()).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    try:
        told = json.loads(path.read_text())
        minutes, seconds = divmod(max(0, int(time.time()) - int(told["since"])), 60)
        return f"`{told['what']}` (process {told['pid']}, for {minutes}:{seconds:02d} min)"
    except (OSError, ValueError, KeyError, TypeError):
        return "another labctl"


def _busy(lab: str, holder: str) -> Busy:
    return Busy(
        f"Lab {lab} is held by {holder}.", mend="wait for it to end, or call again with --wait SECONDS"
    )
