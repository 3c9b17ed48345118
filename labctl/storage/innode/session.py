"""`labctl-iscsi`: what the systemd units of a node call.

keep SID     be the keeper of a session
sweep SID    clear what its keeper left, if it was killed
login-all    log in to every record with node.startup = automatic; for the boot
logout-all   unmount what is on iSCSI disks, then log out of all; for the shutdown
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from .voice import complain

BOOT_WAITS = 15.0  # s; then the boot goes on, and so do the logins
NO_RECORDS = 21


def main(argv: list[str] | None = None) -> int:
    """The exit code: 0, 2 for wrong usage, or iscsiadm's (see iscsiadm(8))."""
    words = sys.argv[1:] if argv is None else argv
    if len(words) == 2 and words[0] in ("keep", "sweep") and words[1].isdigit():
        from . import keeper

        if words[0] == "keep":
            return keeper.keep(int(words[1]))
        keeper.clear(int(words[1]))
        return 0
    if words == ["login-all"]:
        return login_all()
    if words == ["logout-all"]:
        return logout_all()
    complain("usage: labctl-iscsi keep SID | sweep SID | login-all | logout-all")
    return 2


def login_all() -> int:
    """Start all automatic sessions at once and wait a while. Those that are still trying go on alone.

    The exit code: 0, also while some are trying; 21 without records; else the first failure's.
    """
    from . import database, login, sysfs

    sysfs.refresh()
    records = [record for record in database.nodes() if record["node.startup"] == "automatic"]
    if not records:
        return NO_RECORDS
    began: list[tuple[int, str]] = []
    code = 0
    for record in records:
        what = f"{record['node.name']} at {record['node.conn[0].address']}"
        sids, known = login.ask_for(record)
        if known and known.code != login.SESSION_EXISTS:
            complain(f"cannot log in to {what}: {known.words}")
            code = code or known.code
        began += [(sid, what) for sid in sids]
    login.start([sid for sid, _ in began])
    deadline = time.monotonic() + BOOT_WAITS
    for sid, what in began:
        outcome = login.await_outcome(sid, deadline)
        if outcome.trying:
            complain(f"no session with {what} yet ({outcome.words}); trying on in the background")
        elif outcome.code:
            complain(f"cannot log in to {what}: {outcome.words}")
            code = code or outcome.code
    return code


def logout_all() -> int:
    """As Debian's umountiscsi.sh and logout-all.sh do."""
    from . import login, state
    from .command import run

    sessions = state.listed("sessions")
    nodes = [f"/dev/{disk['name']}" for session in sessions for disk in session["disks"]]
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    for source, place, *_ in reversed(mounts):
        if any(
            source == node or (source.startswith(node) and source[len(node) :].isdigit()) for node in nodes
        ):
            done = run(["umount", place.encode().decode("unicode_escape")], timeout=30)
            if done.rc:
                complain(f"{place} stays mounted: {done.err.strip()}")
    trying = [one["sid"] for one in state.listed("outcome") if one["state"] == "TRYING"]
    sids = sorted({*(session["sid"] for session in sessions), *trying})
    return 1 if sids and login.end(sids) else 0
