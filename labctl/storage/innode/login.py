"""Sessions from outside: ask for one, wait for its outcome, end it. Each is a systemd unit."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from . import state
from .command import run
from .database import initiator_name, locked
from .records import Record

INTERNAL, SESSION_EXISTS, INVALID = 9, 15, 7
_START_WITHIN = 60.0  # s; systemd on a busy machine
_END_WITHIN = 60.0  # s; longer than a keeper waits for a target that is away


class Outcome(NamedTuple):
    """How a login went: iscsiadm's exit code and why. trying: not over yet."""

    code: int
    words: str
    trying: bool = False


def unit(sid: int) -> str:
    return f"labctl-iscsi-session@{sid}.service"


def sessions_of(record: Record) -> list[state.Document]:
    """The sessions, also those that are still logging in, that this node record made."""
    found = []
    for request in state.listed("request"):
        if _same(request["record"], record):
            known = state.load("sessions", request["sid"])
            outcome = state.load("outcome", request["sid"]) or {}
            if known or outcome.get("state") == "TRYING":
                found.append({**request, "logged_in": bool(known)})
    return found


def _same(one: Record, other: Record) -> bool:
    keys = ("node.name", "node.conn[0].address", "node.conn[0].port", "iface.iscsi_ifacename")
    return all(one[key] == other[key] for key in keys)


def ask_for(record: Record, *, more: bool = False) -> tuple[list[int], Outcome | None]:
    """Reserve the sessions that a node record wants and has not got; for start() and await_outcome().

    more: one session beside those there are. One that is still trying to log in is waited for instead.
    The outcome is there when nothing is to be started: sessions exist, or the record asks too much.
    """
    initiator = record["iface.initiatorname"] or initiator_name()
    if not initiator:
        return [], Outcome(INVALID, "no InitiatorName in /etc/iscsi/initiatorname.iscsi")
    if record["node.session.auth.username_in"] or record["node.session.auth.password_in"]:
        return [], Outcome(
            INVALID, "mutual CHAP (username_in, password_in) is not supported by QEMU's initiator"
        )
    with locked(state.RUN / "login.lock"):
        there = sessions_of(record)
        trying = [int(one["sid"]) for one in there if not one["logged_in"]]
        missing = 1 if more else int(record["node.session.nr_sessions"]) - len(there)
        if missing <= 0 and not trying:
            return [], Outcome(SESSION_EXISTS, "session exists")
        new = []
        for _ in range(max(0, missing)):
            sid = state.reserve({"record": record, "initiator": initiator})
            state.save("outcome", sid, {"state": "TRYING", "code": 0, "words": ""})
            new.append(sid)
    return trying + new, None


def start(sids: list[int]) -> None:
    """Let keepers begin; returns when they run, not when they are logged in."""
    if sids:
        done = run(["systemctl", "start", *map(unit, sids)], timeout=_START_WITHIN)
        for sid in sids if done.rc else ():
            if (state.load("outcome", sid) or {}).get("state") == "TRYING" and not _alive(sid):
                words = done.err.strip() or f"{unit(sid)} did not start"
                state.save("outcome", sid, {"state": "FAILED", "code": INTERNAL, "words": words})


def await_outcome(sid: int, deadline: float) -> Outcome:
    """Wait for a login's end, at most until a time.monotonic(). A failed one is forgotten."""
    looked = time.monotonic()
    while True:
        found = state.load("outcome", sid)
        now = time.monotonic()
        if found is None:
            return Outcome(INTERNAL, "logged out before the login was over")
        if found["state"] == "FAILED":
            state.forget(sid, "request", "outcome")
            return Outcome(int(found["code"]), str(found["words"]))
        if found["state"] == "DONE":
            return Outcome(0, "")
        if now - looked > 2:
            looked = now
            if not _alive(sid):
                state.forget(sid, "request", "outcome")
                return Outcome(INTERNAL, f"its keeper ended; journalctl -u {unit(sid)} tells why")
        if now > deadline:
            return Outcome(int(found["code"]), str(found["words"]), trying=True)
        time.sleep(0.01)


def patience(record: Record) -> float:
    """Seconds that a first login may take, by the record's own settings; and a little more."""
    each = float(record["node.conn[0].timeo.login_timeout"])
    return each * float(record["node.session.initial_login_retry_max"]) + each + 30


def end(sids: list[int]) -> dict[int, str]:
    """Log out of sessions, all at once; what went wrong, by number.

    The keepers are asked by signal, not by a stop job: that would wait for units that stop before
    sessions do, and one of these may be asking.
    """
    units = [unit(sid) for sid in sids]
    told = run(["systemctl", "show", "--property=MainPID", *units], timeout=30).out.split()
    pids = [int(line.partition("=")[2]) for line in told]
    run(["systemctl", "kill", "--kill-who=main", "--signal=TERM", *units], timeout=30)
    deadline = time.monotonic() + _END_WITHIN
    while any(pid and Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    failed = {}
    for sid, pid in zip(sids, pids):  # noqa: B905  Python 3.9 has no strict
        if pid and Path(f"/proc/{pid}").exists():
            failed[sid] = f"{unit(sid)} does not end within {_END_WITHIN:.0f} s"
        else:
            state.forget(sid, "sessions", "request", "outcome")
    return failed


def _alive(sid: int) -> bool:
    told = run(["systemctl", "is-active", unit(sid)], timeout=30).out.strip()
    return told in ("active", "activating", "deactivating", "reloading")
