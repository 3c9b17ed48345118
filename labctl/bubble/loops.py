"""Loop devices belong to the whole kernel: those that it made for labs go again with them.

A node's initiator takes a free one (loop(4), LOOP_CTL_GET_FREE), and the kernel makes one more when
there is none. They free themselves when their initiator ends, but the empty device would stay.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

LOOP_CTL_REMOVE = 0x4C81  # linux/loop.h
CONTROL = Path("/dev/loop-control")
NOTE = ".loops"


def remember(labs: Path) -> None:
    """Note which loop devices there are before the first lab of this folder."""
    note = labs / NOTE
    if not note.exists():
        note.write_text(" ".join(str(number) for number in sorted(_present())))


def tidy(labs: Path, *, last: bool) -> None:
    """Remove the unused loop devices that were not there before the first lab.

    last: no lab is left, so the note goes, too.
    """
    note = labs / NOTE
    with contextlib.suppress(OSError, ValueError):
        before = {int(word) for word in note.read_text().split()}
        if last:
            note.unlink()
        control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
        try:
            for number in sorted(_present() - before):
                with contextlib.suppress(OSError):  # EBUSY: another lab's, or somebody else's by now
                    fcntl.ioctl(control, LOOP_CTL_REMOVE, number)
        finally:
            os.close(control)


def _present() -> set[int]:
    names = (path.name.removeprefix("loop") for path in Path("/sys/block").glob("loop*"))
    return {int(name) for name in names if name.isdigit()}
