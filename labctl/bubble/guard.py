"""Lets a frozen lab go on when whoever froze it has died or takes too long.

Started before the lab is frozen, outside of it (labctl.bubble.freeze).  Imports next to nothing: it has to
be there at once.

Run as: python -m labctl.bubble.guard CGROUP SECONDS COMMANDS_FD ANSWERS_FD
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time


def guard(cgroup: str, longest: float, commands: int, answers: int) -> None:
    """Thaw when the other end of commands is closed, or `longest` seconds after it announced a freeze.

    Every byte of commands announces one, and is answered: from then on the time runs.
    """
    deadline: float | None = None
    while True:
        patience = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select([commands], [], [], patience)
        word = os.read(commands, 1) if ready else b""
        if not word:
            break
        deadline = time.monotonic() + longest
        with contextlib.suppress(BrokenPipeError):
            os.write(answers, word)
    # No such file: the lab has ended, and its cgroup with it.
    with contextlib.suppress(OSError):
        file = os.open(f"{cgroup}/cgroup.freeze", os.O_WRONLY)
        os.write(file, b"0")
        os.close(file)


if __name__ == "__main__":
    guard(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
