"""The one place that starts programs.

Every command is a list of words (never a shell line), has a time-out, a fixed
locale and a closed stdin.  A non-zero exit is data for a check and an exception
for an action: `run(..., check=False)` or the default.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from labctl.errors import CommandFailed, HostLacks, TimedOut

log = logging.getLogger(__name__)

Process = subprocess.Popen[str]
"""What spawn() returns."""

CLEAN_LOCALE = {"LC_ALL": "C.UTF-8", "LANGUAGE": "C"}


@dataclass(frozen=True)
class Result:
    """What a command left: its words, exit code and decoded output."""

    argv: tuple[str, ...]
    rc: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.rc == 0

    def describe(self) -> str:
        """argv, exit code and the tail of the output, for an error's details."""
        tail = "\n".join((self.stderr.strip() or self.stdout.strip()).splitlines()[-20:])
        return f"$ {shlex.join(self.argv)}\nexit code {self.rc}" + (f"\n{tail}" if tail else "")


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float,
    check: bool = True,
    stdin: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> Result:
    """Run a command to its end and return what it left.

    timeout: seconds; the whole process group is killed when it runs out.  stdin: a text, or a file to read.
    Raises HostLacks when there is no such program, TimedOut at the deadline and
    CommandFailed for a non-zero exit unless check is False.
    """
    words = _words(argv)
    log.debug("run: %s", shlex.join(words))
    text = stdin if isinstance(stdin, str) else None
    with stdin.open("rb") if isinstance(stdin, Path) else contextlib.nullcontext() as file:
        source = file or (subprocess.PIPE if text is not None else subprocess.DEVNULL)
        process = _start(words, stdin=source, env=env, cwd=cwd, pass_fds=pass_fds)
    try:
        out, err = process.communicate(text, timeout=timeout)
    except subprocess.TimeoutExpired:
        kill_group(process)
        out, err = process.communicate(timeout=5)
        raise TimedOut(
            f"{words[0]} did not end within {timeout:.0f} s.",
            details=Result(words, -1, out, err).describe(),
        ) from None
    except BaseException:
        kill_group(process)
        raise
    result = Result(words, process.returncode, out, err)
    if check and not result.ok:
        raise CommandFailed(f"{words[0]} failed.", details=result.describe())
    return result


def stream(
    argv: Sequence[str | Path],
    *,
    timeout: float,
    on_line: Callable[[str], None],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Result:
    """Like run(), but hands every line of output (both streams) to on_line as it comes.

    The result's stdout holds the last 400 lines.  Never raises for a non-zero exit.
    """
    words = _words(argv)
    log.debug("stream: %s", shlex.join(words))
    process = _start(words, stdin=subprocess.DEVNULL, env=env, cwd=cwd, merge=True)
    tail: list[str] = []
    watchdog = _Watchdog(process, timeout)
    try:
        with watchdog:
            assert process.stdout is not None
            with process.stdout:
                for line in process.stdout:
                    tail = [*tail[-399:], line.rstrip("\n")]
                    on_line(tail[-1])
            process.wait(timeout=10)
    except BaseException:
        kill_group(process)
        raise
    if watchdog.fired:
        raise TimedOut(f"{words[0]} did not end within {timeout:.0f} s.", details="\n".join(tail[-20:]))
    return Result(words, process.returncode, "\n".join(tail), "")


def attach(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> int:
    """Run a command on the caller's own terminal (ssh, a shell, a pager); its exit code.

    No time-out: it is the user who ends it.  Signals of the terminal reach the child
    itself, so Ctrl-C must not end labctl first.
    """
    words = _words(argv)
    try:
        process = subprocess.Popen(words, env=_environment(env, clean=False))
    except FileNotFoundError:
        raise _no_program(words[0]) from None
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGINT, previous)


def spawn(
    argv: Sequence[str | Path],
    *,
    log_file: Path,
    env: Mapping[str, str] | None = None,
    pass_fds: Iterable[int] = (),
) -> Process:
    """Start a daemon in its own session: no terminal, no stdin, output to log_file."""
    words = _words(argv)
    log.debug("spawn: %s", shlex.join(words))
    with log_file.open("a") as out:
        try:
            return subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=_environment(env),
                pass_fds=tuple(pass_fds),
                cwd="/",
                text=True,
            )
        except FileNotFoundError:
            raise _no_program(words[0]) from None


def kill_group(process: subprocess.Popen[str]) -> None:
    """SIGKILL a process that run() or spawn() started, with its whole session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


class _Watchdog:
    """Kills a streaming command at its deadline, since reading lines has no time-out of its own."""

    def __init__(self, process: subprocess.Popen[str], seconds: float) -> None:
        import threading

        self.fired = False
        self._process = process
        self._timer = threading.Timer(seconds, self._fire)
        self._timer.daemon = True

    def _fire(self) -> None:
        self.fired = True
        kill_group(self._process)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _words(argv: Sequence[str | Path]) -> tuple[str, ...]:
    return tuple(str(word) for word in argv)


def _environment(env: Mapping[str, str] | None, *, clean: bool = True) -> dict[str, str]:
    return {**os.environ, **(CLEAN_LOCALE if clean else {}), **(env or {})}


def _no_program(name: str) -> HostLacks:
    return HostLacks(f"The program {name} is not installed.", mend="labctl doctor --fix")


def _start(
    words: tuple[str, ...],
    *,
    stdin: int | IO[bytes],
    env: Mapping[str, str] | None,
    cwd: Path | None,
    pass_fds: Sequence[int] = (),
    merge: bool = False,
) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            words,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge else subprocess.PIPE,
            env=_environment(env),
            cwd=cwd,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
            text=True,
            errors="replace",
        )
    except FileNotFoundError:
        raise _no_program(words[0]) from None
