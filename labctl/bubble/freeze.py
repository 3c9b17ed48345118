"""Stop a whole lab where it stands, and let it go on, whatever happens to whoever stopped it.

All processes of a lab live below one cgroup, so the kernel stops and continues them together
(cgroup.freeze, Documentation/admin-guide/cgroup-v2.rst).  A second process, labctl.bubble.guard,
lets it go on when labctl dies or takes too long.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from pathlib import Path
from types import TracebackType

import labctl
from labctl.bubble.start import cgroup2_mounts
from labctl.errors import ActionFailed, HostLacks, TimedOut
from labctl.places import LabPlaces
from labctl.run import kill_group, spawn
from labctl.wait import wait_until

GUARD = "labctl.bubble.guard"
# Frozen for longer than this, corosync takes nodes for dead: docs/adr/0012-snapshots.md has figures.
LONGEST = 10.0
START_SECONDS = 20.0
STOP_SECONDS = 5.0
# A process in the middle of a system call stops at its end; one that waits for a frozen server
# (a shared disk's) stays there, which is as good.
GRACE_SECONDS = 0.2
STILL = frozenset("DTtZX")  # states of proc_pid_stat(5) in which a thread runs no code of its own
TRAPPED = frozenset({"do_freezer_trap", "get_signal"})  # the former is mostly inlined in the latter


def cgroup(lab: str) -> Path | None:
    """Where the host sees the control group of a lab that runs; None when it does not."""
    folders = (root / "labctl" / lab for root in cgroup2_mounts())
    return next((folder for folder in folders if (folder / "cgroup.freeze").exists()), None)


class Freezer:
    """Freezes one lab, once or several times, while the guard watches. A context manager."""

    def __init__(self, places: LabPlaces, *, longest: float = LONGEST) -> None:
        """longest: seconds after which the guard thaws the lab by itself."""
        found = cgroup(places.lab)
        if found is None:
            raise HostLacks(f"The control group of lab {places.lab} cannot be reached.", mend="labctl doctor")
        self._cgroup = found
        places.logs.mkdir(mode=0o700, exist_ok=True)
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        try:
            self._guard = spawn(
                [sys.executable, "-m", GUARD, str(found), str(longest), str(commands), str(answers)],
                log_file=places.logs / "freeze.log",
                env={"PYTHONPATH": str(Path(labctl.__file__).resolve().parent.parent)},
                pass_fds=(commands, answers),
            )
        except BaseException:
            os.close(self._commands)
            os.close(self._answers)
            raise
        finally:
            os.close(commands)
            os.close(answers)

    def __enter__(self) -> Freezer:
        return self

    def freeze(self) -> None:
        """Stop every process of the lab.

        Raises ActionFailed, with the lab running, when one does not stop.
        """
        self._command(b"f")
        _write(self._cgroup, "1")
        began = time.monotonic()
        try:
            wait_until(
                "the lab's processes to stop",
                lambda: is_still(self._cgroup, patient=time.monotonic() - began < GRACE_SECONDS),
                timeout=STOP_SECONDS,
                every=0.002,
                last_seen=lambda: ", ".join(moving(self._cgroup)[:5]),
            )
        except TimedOut as error:
            self.thaw()
            raise ActionFailed("The lab does not stop.", details=error.details, mend="try again") from None
        except BaseException:
            self.thaw()
            raise

    def thaw(self) -> bool:
        """Let the lab go on. False when it was not frozen any more: somebody else had let it go on."""
        throughout = _frozen(self._cgroup)
        _write(self._cgroup, "0")
        return throughout

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self.thaw()
        os.close(self._commands)
        os.close(self._answers)
        # It thaws once more on its way out; that must not hit whoever freezes this lab next.
        try:
            self._guard.wait(timeout=START_SECONDS)
        except Exception:
            kill_group(self._guard)
            raise

    def _command(self, word: bytes) -> None:
        """Tell the guard, and wait until it has heard: from now on it is there, and its time runs."""
        try:
            os.write(self._commands, word)
            ready, _, _ = select.select([self._answers], [], [], START_SECONDS)
            heard = bool(ready) and os.read(self._answers, 1) == word
        except BrokenPipeError:
            heard = False
        if not heard:
            raise ActionFailed("The process that guards a frozen lab did not start.", mend="try again")


def thaw_if_left(places: LabPlaces) -> bool:
    """Let a lab go on that a killed labctl left frozen. True when it was.

    Only for who holds the lab's lock: without it, the lab may be frozen for a good reason.
    """
    found = cgroup(places.lab)
    if found is None or not _frozen(found):
        return False
    _write(found, "0")
    return True


def is_still(top: Path, *, patient: bool = False) -> bool:
    """Whether nothing of this cgroup runs. patient: accept only what the kernel calls frozen."""
    if "frozen 1" in (top / "cgroup.events").read_text().splitlines():
        return True
    return not patient and not moving(top)


def moving(top: Path) -> list[str]:
    """The threads below this cgroup that are neither frozen nor stuck in the kernel: "name (id)"."""
    found = []
    for folder, _, files in os.walk(top):
        if "cgroup.events" not in files:
            continue
        with contextlib.suppress(OSError):
            if "frozen 1" in Path(folder, "cgroup.events").read_text().splitlines():
                continue
            for pid in Path(folder, "cgroup.procs").read_text().split():
                found += _threads(pid)
    return found


def _threads(pid: str) -> list[str]:
    found = []
    with contextlib.suppress(OSError):
        for task in Path("/proc", pid, "task").iterdir():
            with contextlib.suppress(OSError):
                name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
                state = rest.split()[0]
                if state not in STILL and (task / "wchan").read_text() not in TRAPPED:
                    found.append(f"{name} ({task.name})")
    return found


def _frozen(top: Path) -> bool:
    try:
        return (top / "cgroup.freeze").read_text().strip() == "1"
    except OSError:
        return False


def _write(top: Path, value: str) -> None:
    try:
        (top / "cgroup.freeze").write_text(value)
    except OSError as error:
        if value == "0":
            return  # the lab has ended, and its cgroup with it
        raise ActionFailed("The lab cannot be stopped.", details=str(error), mend="labctl doctor") from None
