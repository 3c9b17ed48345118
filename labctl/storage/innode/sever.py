"""Ends initiators' connections to tgtd, and knows for certain when they have ended.

tgtd's own words prove the end: a connection stays in its list, even when closed, until every
write that it had begun is done (usr/iscsi/conn.c: each task holds a reference, and the session
goes with the last one).  A connection that is being closed executes nothing more that it has
received (usr/iscsi/iscsid.c, iscsi_rx_handler).

Asking tgtd to close one is not enough.  It acts on the next event of that socket, and there is
none while the peer is frozen with a full window, or dead without a word.  Worse, tgtd 1.0.85 never
leaves do_send() while such a peer takes nothing (EAGAIN: "goto again", mended in 1.0.86) and then
answers nobody.  So the sockets are shut down from here as well, through pidfd_getfd(2): that is an
event, it ends the endless loop, and it reaches connections that are not logged in, too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from . import tgt

PIDFD_GETFD = 438  # the same number on every architecture
LISTENING = "0A"
POLL = 0.01  # s
HELD_UP = 0.3  # s, until tgtd counts as held up by a peer


class Peer(NamedTuple):
    """A TCP socket that tgtd holds, who is at its other end, and how many bytes that one has not taken."""

    fd: int
    address: str
    unsent: int


def daemon() -> int:
    """The process id of the tgtd in this process namespace and network, or 0."""
    ours = Path("/proc/self/ns/net").stat().st_ino
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                comm = Path(entry, "comm").read_text().strip()
                if comm == "tgtd" and Path(entry, "ns/net").stat().st_ino == ours:
                    return int(entry.name)
    return 0


def peers(pid: int) -> list[Peer]:
    """Every connected TCP socket of a tgtd process."""
    inodes: dict[str, int] = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(entry.readlink())
            if target.startswith("socket:["):
                inodes[target[8:-1]] = int(entry.name)
    return [peer for name in ("tcp", "tcp6") for peer in _sockets(pid, name, inodes)]


def _sockets(pid: int, name: str, inodes: dict[str, int]) -> Iterator[Peer]:
    with contextlib.suppress(FileNotFoundError):
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
            # proc(5): sl local remote state tx:rx timer:when retransmits uid timeout inode
            _, _, remote, state, queues, _, _, _, _, inode = line.split()[:10]
            if state != LISTENING and inode in inodes:
                unsent = int(queues.partition(":")[0], 16)
                yield Peer(inodes[inode], address_of(remote.partition(":")[0]), unsent)


def address_of(digits: str) -> str:
    """An address of /proc/net/tcp or tcp6: 32-bit words in the machine's byte order, as hex digits."""
    words = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
    raw = b"".join(word.to_bytes(4, byteorder=sys.byteorder) for word in words)
    if len(raw) == 16 and raw[:12] == b"\0" * 10 + b"\xff\xff":
        raw = raw[12:]
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def shut(pid: int, fd: int) -> bool:
    """Shut a socket of another process down in both directions; False when that cannot be done."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        number = libc.syscall(PIDFD_GETFD, handle, fd, 0)
    finally:
        os.close(handle)
    if number < 0:
        return False
    taken = socket.socket(fileno=number)
    with taken, contextlib.suppress(OSError):
        taken.shutdown(socket.SHUT_RDWR)
    return True


def address(wanted: str, *, timeout: float) -> list[str]:
    """Cut an address off: who still has a connection after timeout seconds; nobody: it is done.

    When nothing is left, no byte that the address has sent can reach a disk any more.  A peer that
    still lives may log in anew; fencing calls this when the peer is dead.  Connections of which
    tgtd cannot tell the address (their peer has gone) are closed, too.
    """
    deadline = time.monotonic() + timeout
    asked: set[tuple[int, int, int]] = set()
    watch = Watch(HELD_UP)
    while True:
        pid = daemon()
        if not pid:
            return []
        held = [peer for peer in peers(pid) if peer.address == wanted]
        try:
            # First this, so that tgtd drops what it has received and not begun.
            left = _ask(wanted, asked, HELD_UP)
        except tgt.TgtError as error:
            left = [str(error)]
            watch.look(pid)  # somebody else may hold it up
        for peer in held:
            shut(pid, peer.fd)
        if not left and not held:
            return []
        if time.monotonic() >= deadline:
            return left or [f"{wanted}, not logged in"]
        time.sleep(POLL)


def _ask(wanted: str, asked: set[tuple[int, int, int]], timeout: float) -> list[str]:
    """Ask tgtd to close every connection of an address, once each; the initiators that still have one."""
    left = []
    for target in tgt.targets(timeout):
        for session in target.sessions:
            for connection in session.connections:
                if connection.address not in (wanted, ""):
                    continue
                left.append(session.initiator)
                key = (target.tid, session.sid, connection.cid)
                if key not in asked:
                    asked.add(key)
                    tgt.close_connection(*key, timeout=timeout)
    return left


def sessions(tid: int, *, timeout: float = 5.0) -> None:
    """Close all sessions of a target. Raises TgtError when some stay."""
    began = time.monotonic()
    while True:
        left = [session for target in tgt.targets() if target.tid == tid for session in target.sessions]
        if not left:
            return
        spent = time.monotonic() - began
        if spent >= timeout:
            raise tgt.TgtError(f"target {tid} keeps sessions of {', '.join(s.initiator for s in left)}")
        for session in left:
            for connection in session.connections:
                tgt.close_connection(tid, session.sid, connection.cid)
        if spent > HELD_UP:
            # A peer that takes nothing; its sessions with other targets will just begin anew.
            stuck = {connection.address for session in left for connection in session.connections}
            for peer in peers(daemon()):
                if peer.address in stuck:
                    shut(daemon(), peer.fd)
        time.sleep(POLL)


class Watch:
    """Finds peers that hold tgtd up: asked once in a while, it ends their connections."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._seen: dict[Peer, float] = {}

    def look(self, pid: int) -> list[str]:
        """Addresses whose connection was ended: they took no byte for `patience` s while tgtd was silent."""
        now = time.monotonic()
        waiting = [peer for peer in peers(pid) if peer.unsent]
        self._seen = {peer: self._seen.get(peer, now) for peer in waiting}
        due = [peer for peer, since in self._seen.items() if now - since >= self._patience]
        if not due or tgt.answers():
            return []
        return [peer.address for peer in due if shut(pid, peer.fd)]


__all__ = ["Peer", "Watch", "address", "address_of", "daemon", "peers", "sessions", "shut"]
