"""Runs labctl in forks of a process that has its modules loaded: loading takes longer than most commands.

From main() on it is the same program, with words, environment and output of its own.  That labctl starts by
itself is what Begun (tests.lab.driver) and ci/bench.py start do.  As a program: the process that forks, asked
by lines of JSON, which answers each with an exit code.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, LifoQueue
from typing import NamedTuple, NoReturn

import labctl
from labctl.errors import CommandFailed, TimedOut
from labctl.run import CLEAN_LOCALE, Result

ROOT = Path(__file__).parents[2]


class Asked(NamedTuple):
    """One call of labctl: its words and environment, and the files that its output goes to."""

    words: list[str]
    environment: dict[str, str]
    out: str
    err: str

    def said(self) -> tuple[str, str]:
        """What is in the two files."""
        out, err = (Path(each).read_text(errors="replace") for each in (self.out, self.err))
        return out, err


class Warm:
    """One process that forks, for one caller at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.lab.warm"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **CLEAN_LOCALE},
            bufsize=0,  # or a line read ahead would be waited for in vain
            cwd=ROOT,
            start_new_session=True,
        )

    def __call__(self, words: Sequence[str], timeout: float) -> Result:
        """Run labctl to its end. Raises TimedOut, and then all that it has started is killed."""
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            for each in (out, err):
                each.touch()
            asked = Asked(list(words), {**os.environ, **CLEAN_LOCALE}, str(out), str(err))
            try:
                code = self._ask(asked, timeout)
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.communicate()
                raise
            return Result(("labctl", *words), code, *asked.said())

    def _ask(self, asked: Asked, timeout: float) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        if not select.select([self._process.stdout], [], [], timeout)[0]:
            raise TimedOut(
                f"labctl {' '.join(asked.words)} did not end within {timeout:.0f} s.",
                details="\n".join(asked.said()),
            )
        answer = self._process.stdout.readline()
        assert answer, "the process that forks labctl has ended"
        return int(answer)


_idle: LifoQueue[Warm] = LifoQueue()


def labctl_warm(*words: str, timeout: float, check: bool = True) -> Result:
    """Run labctl to its end. Raises TimedOut, and CommandFailed for a non-zero exit unless check is False."""
    try:
        warm = _idle.get_nowait()
    except Empty:
        warm = Warm()
    result = warm(words, timeout)
    _idle.put(warm)
    if check and not result.ok:
        raise CommandFailed("labctl failed.", details=result.describe())
    return result


# -- the process that forks --------------------------------------------------------------------------


def _load() -> None:
    """Load every module of labctl but those that want what only a node or another Python has."""
    for module in pkgutil.walk_packages(labctl.__path__, "labctl."):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(ImportError):
                importlib.import_module(module.name)


def _become(asked: Asked) -> NoReturn:
    """What a fork does: put on what the call says, and be labctl."""
    from labctl.cli.main import main

    write = os.O_WRONLY | os.O_APPEND
    files = ((os.devnull, os.O_RDONLY), (asked.out, write), (asked.err, write))
    for number, (path, flags) in enumerate(files):
        fd = os.open(path, flags)
        os.dup2(fd, number)
        os.close(fd)
    os.environ.clear()
    os.environ.update(asked.environment)
    sys.argv[1:] = asked.words
    main()


def _serve() -> None:
    _load()
    gc.freeze()  # what is loaded stays; a fork need not look through it, and so copy it
    for line in sys.stdin:
        asked = Asked(*json.loads(line))
        child = os.fork()
        if not child:
            _become(asked)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.write(1, f"{code}\n".encode())


if __name__ == "__main__":
    _serve()
