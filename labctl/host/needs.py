"""What a host must offer, as pure judgements: numbers and texts in, a Finding out.

doctor.py does the looking; here stands what is good enough, and what to say if not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from labctl.errors import HostLacks
from labctl.run import run

MIB = 1024**2
GIB = 1024**3

PODMAN_AT_LEAST = (4, 3)
DISK_NEEDED = 6 * GIB  # one node image with its build layers
DISK_GOOD = 10 * GIB
MEMORY_BASE = 800 * MIB  # labctl, podman, the nodes' shared pages
MEMORY_PER_NODE = 300 * MIB
NOFILE_NEEDED = 4096
# What kind asks for, for the same reason: each systemd node holds some hundred watches.
INOTIFY_GOOD = {"max_user_watches": 524_288, "max_user_instances": 512}


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    id: stable, for scripts.  ok: True, False, or None for a warning.
    mend: the command or step that puts it right; fix: the command that doctor --fix runs for it
    (packages are gathered and installed together).  required: without it no lab runs.
    """

    id: str
    ok: bool | None
    message: str
    mend: str = ""
    fix: tuple[str, ...] | None = None
    required: bool = True
    packages: tuple[str, ...] = ()

    @property
    def blocks(self) -> bool:
        return self.required and self.ok is False

    def as_dict(self) -> dict[str, object]:
        """For --json: id, status (ok, warning, failed), message, mend, fix (words or null), required."""
        return {
            "id": self.id,
            "status": {True: "ok", None: "warning", False: "failed"}[self.ok],
            "message": self.message,
            "mend": self.mend,
            "fix": list(self.fix) if self.fix else None,
            "required": self.required,
        }


class Cgroups(StrEnum):
    """How the host mounts its control groups (cgroups(7))."""

    UNIFIED = "v2"
    HYBRID = "hybrid"
    LEGACY = "v1"


def parse_version(text: str) -> tuple[int, ...] | None:
    """The first dotted number of a text: 'podman version 4.3.1' gives (4, 3, 1)."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(int(part) for part in found.group().split(".")) if found else None


def judge_podman(output: str) -> Finding:
    """From what `podman --version` printed."""
    version = parse_version(output)
    if version is None:
        return Finding("podman-version", False, f"podman does not tell its version: {output.strip()!r}.",
                       "reinstall podman")  # fmt: skip
    shown = ".".join(map(str, version))
    if version < PODMAN_AT_LEAST:
        least = ".".join(map(str, PODMAN_AT_LEAST))
        return Finding("podman-version", False, f"podman {shown} is too old, {least} or newer is needed.",
                       "upgrade the distribution (Debian 12, Ubuntu 24.04, RHEL 9, or newer)")  # fmt: skip
    return Finding("podman-version", True, f"podman {shown}")


def judge_cgroups(mode: Cgroups, mountable: bool) -> Finding:
    """mountable: a cgroup2 file system could be mounted in a private mount namespace."""
    if mountable:
        how = "" if mode is Cgroups.UNIFIED else "; the lab mounts a cgroup2 of its own"
        return Finding("cgroups", True, f"control groups: {mode}{how}")
    return Finding(
        "cgroups",
        False,
        f"control groups: {mode}, and no cgroup2 file system can be mounted.",
        "boot with systemd.unified_cgroup_hierarchy=1; inside a container: run that one privileged",
    )


def judge_disk(free: int, folder: str) -> Finding:
    """free: bytes left for the state folder."""
    shown = f"{free / GIB:.1f} GiB free for {folder}"
    mend = "free some room, or move the lab: LABCTL_STATE=/other/folder labctl …"
    if free < DISK_NEEDED:
        return Finding("disk", False, f"{shown}; {DISK_NEEDED / GIB:.0f} GiB are needed.", mend)
    if free < DISK_GOOD:
        return Finding("disk", None, f"{shown}; {DISK_GOOD / GIB:.0f} GiB are comfortable.", mend)
    return Finding("disk", True, shown)


def judge_memory(available: int, nodes: int) -> Finding:
    """available: bytes that programs can still get (MemAvailable)."""
    needed = MEMORY_BASE + nodes * MEMORY_PER_NODE
    shown = f"{available / GIB:.1f} GiB of memory to be had, {nodes} nodes take about {needed / GIB:.1f} GiB"
    ok = True if available >= needed else None
    return Finding("memory", ok, shown, "" if ok else "end other programs, or use --nodes 2", required=False)


def judge_nofile(hard: int) -> Finding:
    """hard: this process's hard limit of open files, -1 for none."""
    ok = hard < 0 or hard >= NOFILE_NEEDED
    return Finding(
        "open-files",
        ok,
        f"open files: at most {'any number' if hard < 0 else hard}",
        "" if ok else f"raise the hard limit: ulimit -Hn {NOFILE_NEEDED} (limits.conf(5))",
    )


def judge_inotify(name: str, value: int) -> Finding:
    """name: a key of INOTIFY_GOOD; value: what /proc/sys/fs/inotify/NAME says."""
    good = INOTIFY_GOOD[name]
    ok = True if value >= good else None
    mend = "" if ok else f"with many nodes: sysctl -w fs.inotify.{name}={good}"
    return Finding(f"inotify-{name.replace('_', '-')}", ok, f"inotify {name}: {value}", mend, required=False)


def judge_trial(
    finding_id: str, what: str, failure: str | None, mend: str, *, required: bool = True
) -> Finding:
    """failure: None when the trial worked, else what it said."""
    if failure is None:
        return Finding(finding_id, True, f"{what}: works", required=required)
    said = f" ({failure})" if failure else ""
    return Finding(finding_id, False if required else None, f"{what}: does not work{said}", mend,
                   required=required)  # fmt: skip


def require_podman() -> None:
    """Raises HostLacks when podman is missing or too old."""
    found = judge_podman(run(["podman", "--version"], timeout=20, check=False).stdout)
    if not found.ok:
        raise HostLacks(found.message, mend=found.mend)
