"""The host's cgroup hierarchy: pure version 2, or something podman must not see.

crun and systemd in a container want the unified hierarchy at /sys/fs/cgroup
(cgroups(7)).  Where a host mounts version 1 or the hybrid there, a command can
still have it: a version-2 tree mounted over the old one in a mount namespace of
its own leaves the host's view as it is.
"""

from __future__ import annotations

from pathlib import Path

CGROUP_ROOT = "/sys/fs/cgroup"

# "$@" is the command; nothing of the caller's is interpolated.
_REMOUNT = (
    "umount -R /sys/fs/cgroup 2>/dev/null || umount -l /sys/fs/cgroup;"
    ' mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"'
)


def is_pure_v2(mountinfo: str) -> bool:
    """Whether the topmost mount at /sys/fs/cgroup is cgroup2, and nothing hangs below it.

    mountinfo: the text of /proc/self/mountinfo (proc_pid_mountinfo(5)): field 5 is the mount
    point, the word after the "-" the file system's type; a later line covers an earlier one.
    """
    kind = ""
    below = False
    for line in mountinfo.splitlines():
        words = line.split()
        if "-" not in words or len(words) < 5:
            continue
        if words[4] == CGROUP_ROOT:
            kind, below = words[words.index("-") + 1], False
        elif words[4].startswith(CGROUP_ROOT + "/") and words[words.index("-") + 1].startswith("cgroup"):
            below = True
    return kind == "cgroup2" and not below


def private_cgroup2_prefix() -> list[str]:
    """Words to put before a command so that it sees a pure version-2 hierarchy; none where it does already.

    Needs CAP_SYS_ADMIN where it is not empty.
    """
    if is_pure_v2(Path("/proc/self/mountinfo").read_text()):
        return []
    return ["unshare", "-m", "--propagation", "private", "--", "sh", "-c", _REMOUNT, "sh"]
