"""What this process may ask for its children: getrlimit(2), capabilities(7).

Without CAP_SYS_RESOURCE no limit can be raised above the hard one that was inherited, and a
container that asks for more does not start.  podman asks for two limits by itself
(containers.conf(5), default_ulimits); those are the ones given here.
"""

from __future__ import annotations

import resource
from pathlib import Path

# systemd's own defaults for services (systemd-system.conf(5)): DefaultLimitNOFILE=1024:524288.
# A higher soft limit than this makes programs that close every possible descriptor slow.
NOFILE_SOFT = 65_536
NOFILE_HARD = 524_288

UNLIMITED = -1  # as podman and containers.conf write it

CAPABILITY_BITS = {"NET_ADMIN": 12, "SYS_MODULE": 16, "SYS_CHROOT": 18, "SYS_ADMIN": 21, "SYS_RESOURCE": 24}


def container_limits() -> dict[str, tuple[int, int]]:
    """Limits to start containers with: name (as in containers.conf) to (soft, hard), -1 for none.

    Never above the hard limits of this process.
    """
    nofile = _capped(resource.getrlimit(resource.RLIMIT_NOFILE)[1], NOFILE_HARD)
    # Per user, and every node's root is the same user: as much as there is.
    nproc = _capped(resource.getrlimit(resource.RLIMIT_NPROC)[1], None)
    return {"nofile": (min(NOFILE_SOFT, nofile), nofile), "nproc": (nproc, nproc)}


def has_capability(name: str, *, status: Path = Path("/proc/self/status")) -> bool:
    """Whether this process holds a capability, named without CAP_ (one of CAPABILITY_BITS)."""
    return holds_capability(name, status.read_text())


def holds_capability(name: str, status: str) -> bool:
    """The same, from the text of a /proc/PID/status (proc(5), CapEff)."""
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> CAPABILITY_BITS[name] & 1)


def _capped(hard: int, wanted: int | None) -> int:
    if wanted is None:
        return UNLIMITED if hard == resource.RLIM_INFINITY else hard
    return wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
