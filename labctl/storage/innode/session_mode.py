"""iscsiadm's work on sessions, whichever mode asks for it: login, logout, rescan, statistics."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from . import database, login, printing, records, state
from .options import INVALID, Options, Wrong
from .printing import error
from .records import Record
from .voice import say

SESSION_EXISTS, NO_OBJECTS, INTERNAL, LOGOUT_FAILED = 15, 21, 9, 10
_KEEPER_WITHIN = 60.0  # s; a rescan logs in to the target for each new disk


class Pattern(NamedTuple):
    """Which records and sessions are meant; empty and -1 mean any."""

    target: str = ""
    address: str = ""
    port: int = -1
    tpgt: int = -1
    iface: str = ""
    sid: int = -1

    def fits(self, record: Record) -> bool:
        return (
            self.target in ("", record["node.name"])
            and self.address in ("", record["node.conn[0].address"])
            and self.port in (-1, int(record["node.conn[0].port"]))
            and self.iface in ("", record["iface.iscsi_ifacename"])
        )

    def fits_session(self, session: state.Document) -> bool:
        address, port, _ = records.split_portal(str(session["portal"]))
        return (
            self.target in ("", session["target"])
            and self.address in ("", address)
            and self.port in (-1, port)
            and self.iface in ("", session["iface"])
            and self.sid in (-1, session["sid"])
        )


def _label(record: Record) -> str:
    return (
        f"[iface: {record['iface.iscsi_ifacename']}, target: {record['node.name']}, "
        f"portal: {printing.portal_of(record)}]"
    )


def log_in(found: Sequence[Record], *, wait: bool = True, more: bool = False, summary: bool = True) -> int:
    """Log in by these records, all at once; the first failure's exit code.

    wait: for the outcomes. more: a further session for each. summary: end with a line if any failed.
    """
    code = 0
    begun: list[tuple[int, Record]] = []
    for record in found:
        sids, known = login.ask_for(record, more=more)
        if known:
            code = code or known.code
            if known.code == SESSION_EXISTS:
                wanted = record["node.session.nr_sessions"]
                error(
                    f"{record['iface.iscsi_ifacename']}: {wanted} session{'' if wanted == '1' else 's'} "
                    f"requested, but {len(login.sessions_of(record))} already present."
                )
            else:
                _not_in(record, known)
        for sid in sids:
            multiple = " (multiple)" if more or record["node.session.nr_sessions"] != "1" else ""
            say(f"Logging in to {_label(record)}{multiple}")
            begun.append((sid, record))
    login.start([sid for sid, _ in begun])
    began = time.monotonic()
    for sid, record in begun if wait else ():
        outcome = login.await_outcome(sid, began + login.patience(record))
        if outcome.code or outcome.trying:
            _not_in(record, outcome)
            code = code or outcome.code
        else:
            say(f"Login to {_label(record)} successful.")
    if code and summary:
        error("Could not log into all portals")
    return code


def _not_in(record: Record, outcome: login.Outcome) -> None:
    if outcome.code in (INVALID, INTERNAL):
        error(outcome.words)  # ours to explain; the original's codes speak for themselves
    error(f"Could not login to {_label(record)}.")
    printing.reported(outcome.code)


def log_out(found: Sequence[state.Document]) -> int:
    """Log out of sessions, whether they are in use or not, as the original does."""
    if not found:
        raise Wrong("No matching sessions found", code=NO_OBJECTS)
    for session in found:
        say(f"Logging out of session {printing.target_label(session)}")
    failed = login.end([int(session["sid"]) for session in found])
    for session in found:
        if session["sid"] in failed:
            error(failed[int(session["sid"])])
            error(f"Could not logout of {printing.target_label(session)}.")
            printing.reported(LOGOUT_FAILED)
        else:
            say(f"Logout of {printing.target_label(session)} successful.")
    return LOGOUT_FAILED if failed else 0


def login_all(options: Options) -> int:
    mode = options.login_all
    if mode not in ("all", "manual", "automatic", "onboot"):
        raise Wrong(f"Invalid loginall option {mode}.", hint=True)
    found = [record for record in database.nodes() if mode in ("all", record["node.startup"])]
    if not found:
        raise Wrong("No records found", code=NO_OBJECTS)
    return log_in(found, wait="W" not in options.flags)


def logout_all(mode: str) -> int:
    if mode not in ("all", "manual", "automatic"):
        raise Wrong(f"Invalid logoutall option {mode}.", hint=True)
    # A session whose record was deleted meanwhile counts by what it was started from.
    chosen = []
    for session in state.listed("sessions"):
        record = (state.load("request", int(session["sid"])) or {}).get("record", {})
        now = database.read(database.node_file(record)) if record else {}
        startup = (now or record).get("node.startup", "manual")
        if startup != "onboot" and mode in ("all", startup):
            chosen.append(session)
    return log_out(chosen)


def for_sessions(which: Pattern, work: Callable[[state.Document], int]) -> int:
    """Do something with every session that fits."""
    found = [session for session in state.listed("sessions") if which.fits_session(session)]
    if not found:
        raise Wrong("No session found.", code=NO_OBJECTS)
    code = 0
    for session in found:
        code = work(session) or code
    if code:
        error(f"Could not execute operation on all sessions: {printing.ERRORS.get(code, 'unknown error')}")
    return code


def rescan(session: state.Document) -> int:
    say(f"Rescanning session {printing.target_label(session)}")
    answer = _ask_keeper(int(session["sid"]), "rescan")
    for line in str(answer["words"]).splitlines():
        error(line)
    return int(answer["code"])


def stats(session: state.Document) -> int:
    answer = _ask_keeper(int(session["sid"]), "stats")
    if answer["code"]:
        error(str(answer["words"]))
        return int(answer["code"])
    printing.stats(session, answer)
    return 0


def _ask_keeper(sid: int, what: str) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
        end.settimeout(_KEEPER_WITHIN)
        try:
            end.connect(str(state.RUN / "control" / f"{sid}.sock"))
            with end.makefile("rw") as file:
                file.write(json.dumps({"do": what}) + "\n")
                file.flush()
                answer: dict[str, Any] = json.loads(file.readline())
        except (OSError, ValueError) as reason:
            return {"code": INTERNAL, "words": f"session {sid} does not answer ({reason})"}
    return answer
