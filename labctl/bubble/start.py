"""Start, find and end a lab's bubble, from the host's side.

Nothing is remembered about a running bubble: it is found by looking at /proc, so a
lost or damaged file cannot hide one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from labctl.bubble import loops
from labctl.bubble.settings import Settings
from labctl.errors import ActionFailed, HostLacks, TimedOut
from labctl.places import LabPlaces
from labctl.run import spawn
from labctl.wait import wait_until

MODULE = "labctl.bubble.init"
# The words before a daemon that is to have these of its own; what it starts ends with it. unshare(1).
OWN_NAMESPACES = (
    "unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--propagation", "private", "--",
)  # fmt: skip


@dataclass(frozen=True)
class Bubble:
    """A running bubble: the host's ids of unshare(1) and of the bubble's PID 1."""

    lab: str
    outer: int
    init: int

    def enter(self, *what: str) -> list[str]:
        """The words that put a command into these namespaces of the bubble (nsenter(1) options)."""
        return ["nsenter", "--target", str(self.init), *what, "--"]


def find(places: LabPlaces) -> Bubble | None:
    """The lab's running bubble, or None."""
    mine = str(places.conf / "bubble.json")
    outer = None
    for pid, argv in _processes():
        if len(argv) >= 3 and argv[-1] == mine and argv[-2] == MODULE:
            if argv[0].endswith("unshare"):
                outer = pid
            elif outer_of(pid):
                return Bubble(places.lab, outer_of(pid), pid)
    if outer is not None:
        # No child: it begins, or ends, at this moment.
        with contextlib.suppress(OSError, IndexError):
            child = int(Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0])
            return Bubble(places.lab, outer, child)
    return None


def running(labs: Path) -> list[str]:
    """Names of the labs below this folder whose bubbles run, whether or not their folder is still there."""
    names = set()
    for _, argv in _processes():
        if len(argv) >= 3 and argv[-2] == MODULE:
            conf = Path(argv[-1])
            if conf.parents[2] == labs:
                names.add(conf.parents[1].name)
    return sorted(names)


def outer_of(pid: int) -> int:
    """The parent of a bubble's PID 1 as the host sees it; 0 when pid is no PID 1."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    levels = fields.get("NSpid", "").split()
    return int(fields["PPid"]) if len(levels) == 2 and levels[1] == "1" else 0


def start(places: LabPlaces, settings: Settings, *, timeout: float = 20.0) -> Bubble:
    """Start the bubble and wait until its podman answers.

    Raises HostLacks when the host refuses a namespace, a mount or a port.
    """
    for folder in (places.conf, places.logs, places.storage, places.networks):
        folder.mkdir(parents=True, exist_ok=True)
    loops.remember(places.root.parent)
    places.ready.unlink(missing_ok=True)
    places.socket.unlink(missing_ok=True)
    places.libvirt_socket.unlink(missing_ok=True)
    settings_file = places.conf / "bubble.json"
    settings.save(settings_file)
    settings_file.chmod(0o600)
    log_file = places.logs / "bubble.log"
    log_file.unlink(missing_ok=True)
    process = spawn(
        [*OWN_NAMESPACES, sys.executable, "-m", MODULE, str(settings_file)],
        log_file=log_file,
        env=settings.environment,
    )

    def answer() -> dict[str, object]:
        if places.ready.exists():
            told: dict[str, object] = json.loads(places.ready.read_text())
            there = not settings.libvirtd or places.libvirt_socket.exists()
            if "error" in told or (there and _accepts(places.socket)):
                return told
        if process.poll() is not None:
            return {"error": log_file.read_text()[-2000:].strip() or "it ended at once"}
        return {}

    try:
        told = wait_until("the lab's podman and libvirt", answer, timeout=timeout, every=0.01)
    except BaseException:
        stop(places)
        raise
    if "error" in told:
        stop(places)
        reason = str(told["error"])
        if mend := str(told.get("mend", "")):
            raise HostLacks(reason, mend=mend)
        raise HostLacks("The lab's namespaces could not be made.", details=reason, mend="labctl doctor")
    bubble = find(places)
    if bubble is None:
        raise ActionFailed("The lab ended while it started.", details=log_file.read_text()[-2000:])
    _leave_session(bubble)
    return bubble


def await_podman(places: LabPlaces, timeout: float = 10.0) -> None:
    """Wait until the podman of a bubble that runs takes calls: a labctl that was killed leaves it starting.

    It is no error when it does not; the first call tells then.
    """
    with contextlib.suppress(TimedOut):
        wait_until("the lab's podman", lambda: _accepts(places.socket), timeout=timeout, every=0.01)


def _accepts(path: Path) -> bool:
    """Whether somebody listens at this unix socket; it is there a moment before."""
    with socket.socket(socket.AF_UNIX) as caller:
        try:
            caller.connect(str(path))
        except OSError:
            return False
    return True


def _leave_session(bubble: Bubble) -> None:
    """Take unshare(1) itself out of the caller's cgroup, too: systemd ends a login's at its end."""
    for root in cgroup2_mounts():
        with contextlib.suppress(OSError):
            (root / "labctl" / bubble.lab / "init" / "cgroup.procs").write_text(str(bubble.outer))


def forwards(places: LabPlaces) -> list[tuple[int, int, str, int]]:
    """What the running bubble listens on: (host port, port asked for, address, port inside)."""
    try:
        told = json.loads(places.ready.read_text())
        return [(int(a), int(b), str(c), int(d)) for a, b, c, d in told["forwards"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def stop(places: LabPlaces) -> bool:
    """End every process of the lab and remove its cgroups. True when something ran."""
    bubble = find(places)
    if bubble is not None:
        for pid in (bubble.init, bubble.outer):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(
            "the lab's processes to end",
            lambda: _ended(bubble.init),
            timeout=20,
            every=0.01,
        )
        with contextlib.suppress(ChildProcessError):
            os.waitpid(bubble.outer, 0)
    remove_cgroups(places.lab)
    return bubble is not None


def _ended(pid: int) -> bool:
    """Gone, or dead and not yet collected by the host's PID 1: the kernel has ended all that was below."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return True


def remove_cgroups(lab: str) -> None:
    """Remove the lab's empty cgroups, and labctl's own when this was the last lab.

    The kernel empties a killed cgroup a moment after its last process is gone. Raises TimedOut.
    """
    for root in cgroup2_mounts()[:1]:  # any one shows the whole tree
        ours = root / "labctl" / lab

        def gone(top: Path = ours) -> bool:
            for folder, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
            return not top.exists()

        wait_until(f"the cgroups of lab {lab} to empty", gone, timeout=10, every=0.02)
        with contextlib.suppress(OSError):
            (root / "labctl").rmdir()


def cgroup2_mounts() -> list[Path]:
    """Where the host has a cgroup v2 tree mounted, from mountinfo (proc(5))."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.split()[0] == "cgroup2":
            found.append(Path(left.split()[4]))
    return found


def _processes() -> Iterator[tuple[int, Sequence[str]]]:
    with os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    raw = Path(entry.path, "cmdline").read_bytes()
                    yield int(entry.name), raw.decode(errors="replace").rstrip("\0").split("\0")
