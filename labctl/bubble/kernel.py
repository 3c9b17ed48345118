"""The system calls that Python 3.11 does not offer: unshare(2), setns(2), prctl(2)."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

CLONE_NEWCGROUP = 0x02000000
CLONE_NEWNET = 0x40000000
PR_CAPBSET_DROP = 24
# linux/capability.h
CAPABILITIES = {
    "SYS_MODULE": 16,
    "SYS_RAWIO": 17,
    "SYS_TIME": 25,
    "MAC_OVERRIDE": 32,
    "MAC_ADMIN": 33,
    "SYSLOG": 34,
    "WAKE_ALARM": 35,
    "BLOCK_SUSPEND": 36,
}

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """unshare(2). Raises OSError."""
    _check(_libc.unshare(flags), "unshare")


def setns(path: str, kind: int) -> None:
    """setns(2) of the calling thread into the namespace that path names. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(fd, kind), f"setns {path}")
    finally:
        os.close(fd)


def drop_capabilities(names: Iterable[str]) -> None:
    """Take capabilities out of the bounding set: no descendant can have them again. Raises OSError."""
    for name in names:
        _check(_libc.prctl(PR_CAPBSET_DROP, CAPABILITIES[name], 0, 0, 0), f"dropping CAP_{name}")


def _check(answer: int, what: str) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
