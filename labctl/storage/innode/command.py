"""The node side's one way to other programs, and to files that are never half written.

Runs in nodes and in the target container, with the standard library alone (Python 3.9 and up).
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


class Done(NamedTuple):
    """What a program left: exit code (-1: it did not end in time, 127: there is no such program)."""

    rc: int
    out: str
    err: str


def run(argv: Sequence[str], *, timeout: float, stdin: str = "") -> Done:
    """Run a program to its end; never raises for what the program does. timeout in seconds."""
    try:
        done = subprocess.run(
            list(argv),
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=ENVIRONMENT,
            cwd="/",
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Done(-1, "", f"{argv[0]} did not end within {timeout:.0f} s")
    except FileNotFoundError:
        return Done(127, "", f"there is no program {argv[0]}")
    return Done(done.returncode, done.stdout, done.stderr)


def start(
    argv: Sequence[str], *, pass_fds: Sequence[int] = (), more: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a child that goes on beside us; its output goes where ours goes. more: of its environment."""
    environment = {**ENVIRONMENT, **(more or {})}
    return subprocess.Popen(
        list(argv), stdin=subprocess.DEVNULL, env=environment, cwd="/", pass_fds=tuple(pass_fds)
    )


def write_atomic(path: str, text: str, mode: int = 0o644) -> None:
    """Write a file so that readers, and a crash, see the old or the new content, never a part."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=target.parent, prefix=".new-")
    temporary = Path(name)
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(number)
        temporary.chmod(mode)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
