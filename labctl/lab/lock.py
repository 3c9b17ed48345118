"""One lock per lab: flock(2), so the kernel gives it back whatever happens to the holder."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from labctl.errors import Busy
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
    # Never truncated on opening: until we hold it, the text is the other's.
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:

        def take() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        if not take():
            holder = _holder(file.read())
            if patience <= 0:
                raise _busy(lab, holder)
            on_wait(f"Waiting for {holder} to finish with lab {lab}.")
            try:
                wait_until("the lab's lock", take, timeout=patience, every=0.2)
            except Exception:
                file.seek(0)
                raise _busy(lab, _holder(file.read())) from None
        file.seek(0)
        file.truncate()
        json.dump({"pid": os.getpid(), "what": what, "since": int(time.time())}, file)
        file.flush()
        try:
            yield
        finally:
            file.seek(0)
            file.truncate()


def _holder(text: str) -> str:
    try:
        told = json.loads(text)
        minutes, seconds = divmod(max(0, int(time.time()) - int(told["since"])), 60)
        return f"`{told['what']}` (process {told['pid']}, for {minutes}:{seconds:02d} min)"
    except (ValueError, KeyError, TypeError):
        return "another labctl"


def _busy(lab: str, holder: str) -> Busy:
    return Busy(f"Lab {lab} is held by {holder}.", mend="wait for it to end, or call again with --wait SECONDS")
