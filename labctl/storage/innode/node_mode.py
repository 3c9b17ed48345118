"""iscsiadm -m node: records, and by them login and logout."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import database, login, printing, records, state
from .options import INVALID, Options, Wrong
from .printing import error
from .records import Record
from .session_mode import Pattern, for_sessions, log_in, log_out, login_all, logout_all, rescan, stats
from .voice import say

SESSION_EXISTS, NO_OBJECTS = 15, 21


def pattern(options: Options) -> Pattern:
    iface = options.ifaces[0] if options.ifaces else ""
    return Pattern(options.target, options.address, options.port, options.tpgt, iface)


def run(options: Options) -> int:
    """Node mode. The exit code; raises Wrong."""
    if options.login_all is not None:
        return login_all(options)
    if options.logout_all is not None:
        return logout_all(options.logout_all)
    return act(options, pattern(options))


def act(options: Options, which: Pattern) -> int:
    """What node mode and session mode do with the records and sessions that a pattern means."""
    flags, operation = options.flags, options.operations[-1] if options.operations else ""
    if operation == "new":
        return _new(which)
    if "R" in flags:
        return for_sessions(which, rescan)
    if "s" in flags:
        return for_sessions(which, stats)
    if flags & {"l", "u"}:
        return _in_or_out(options, which)
    if not operation and which == Pattern():
        return _list(options.level)
    if operation in ("", "show"):
        for record in _matching(which):
            say(records.show(record, secrets="S" in flags).rstrip("\n"))
        return 0
    if operation == "update":
        return _update(which, options.params)
    if operation == "delete":
        return _for_records(which, delete)
    raise Wrong("operation is not supported.")


def _in_or_out(options: Options, which: Pattern) -> int:
    if {"l", "u"} <= options.flags:
        raise Wrong("Invalid parameters. Both login and logout passed in")
    if options.operations:
        raise Wrong("Invalid parameters. Login/logout and op passed in")
    if "l" in options.flags:
        return log_in(_matching(which), wait="W" not in options.flags)
    return log_out([one for one in state.listed("sessions") if which.fits_session(one)])


def _list(level: int) -> int:
    if level not in (-1, 0, 1):
        raise Wrong(f"Invalid info level {level}. Try 0 or 1.")
    found = database.nodes()
    if not found:
        raise Wrong("No records found", code=NO_OBJECTS)
    printing.nodes(found, level)
    return 0


def _matching(which: Pattern) -> list[Record]:
    found = [record for record in database.nodes() if which.fits(record)]
    if not found:
        raise Wrong("No records found", code=NO_OBJECTS)
    return found


# -- records --------------------------------------------------------------------------------------


def _new(which: Pattern) -> int:
    iface = database.iface(which.iface or "default")
    if iface is None:
        raise Wrong(
            f"Could not read iface {which.iface}. Error {INVALID}",
            "Error while adding record: invalid parameter",
        )
    with database.locked():
        # A target that is known gets its records anew, with iscsid.conf's settings, as the original does.
        known = [record for record in database.nodes() if which._replace(iface="").fits(record)]
        where = [
            (
                record["node.name"],
                record["node.conn[0].address"],
                int(record["node.conn[0].port"]),
                int(record["node.tpgt"]),
            )
            for record in known
        ]
        if not known and which.target and which.address:
            where = [(which.target, which.address, which.port, which.tpgt)]
        if not where:
            raise Wrong("Error while adding record: invalid parameter")
        name = iface["iface.iscsi_ifacename"]
        for target, address, port, tpgt in dict.fromkeys(where):
            database.write_node(database.new_node(target, address, port, tpgt, iface))
            binding = f"[hw=,ip=,net_if={iface['iface.net_ifacename']},iscsi_if={name}]"
            say(f"New iSCSI node [tcp:{binding} {address},{port},{tpgt} {target}] added")
    return 0


def _for_records(which: Pattern, work: Callable[[Record], int]) -> int:
    with database.locked():
        for record in _matching(which):
            code = work(record)
            if code:
                error(f"Could not execute operation on all records: {printing.ERRORS[code]}")
                return code
    return 0


def _update(which: Pattern, params: Sequence[tuple[str, str]]) -> int:
    if not params:
        raise Wrong("update requires name and value")
    changes = {}
    for name, value in params:
        if name.startswith("iface.") and name != "iface.transport_name":
            raise Wrong(f"Cannot modify {name}. Use iface mode to update this value.")
        changes["iface.transport_name" if name == "node.transport_name" else name] = value

    def update(record: Record) -> int:
        for name, value in changes.items():
            if fault := records.fault(records.NODE, name, value):
                for line in fault.splitlines():
                    error(line)
                return INVALID
        database.write_node({**record, **{k: "" if v == records.EMPTY else v for k, v in changes.items()}})
        return 0

    return _for_records(which, update)


def delete(record: Record) -> int:
    """Remove a record unless a session uses it; the exit code."""
    if login.sessions_of(record):
        error(
            f"This command will remove the record [iface: {record['iface.iscsi_ifacename']}, "
            f"target: {record['node.name']}, portal: {printing.portal_of(record)}], but a session is "
            "using it. Logout session then rerun command to remove record."
        )
        return SESSION_EXISTS
    database.delete_node(record)
    return 0
