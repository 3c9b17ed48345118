"""iscsiadm(8) for sessions in user space: the original's options, words, streams and exit codes.

How far it goes: docs/adr/0011-front-ends.md of labctl.
"""

from __future__ import annotations

import sys

from . import options as command_line
from . import printing, records, state
from .options import INVALID, USAGE, Options, Wrong
from .voice import complain, say

NO_OBJECTS, SYSFS, INTERRUPTED = 21, 22, 1
ONCE = (
    "iscsiadm: this is labctl's stand-in. The kernel of this host has no iSCSI initiator, so sessions run "
    "in user space (qemu-storage-daemon, loop devices). Commands, records and exit codes are those of "
    "open-iscsi. This is said once."
)


def main(argv: list[str] | None = None) -> int:
    """The exit code, as in iscsiadm(8), EXIT STATUS."""
    introduce()
    try:
        return run(command_line.parse(sys.argv[1:] if argv is None else argv))
    except Wrong as wrong:
        for line in wrong.lines:
            printing.error(line)
        if wrong.hint:
            complain("Try `iscsiadm --help' for more information.")
        return wrong.code
    except KeyboardInterrupt:
        printing.error("caught SIGINT, exiting...")
        return INTERRUPTED


def introduce() -> None:
    """Say what this is, once per node."""
    told = state.KEPT / "told-iscsiadm"
    if not told.exists():
        complain(ONCE)
        state.KEPT.mkdir(parents=True, exist_ok=True)
        told.touch()


def run(options: Options) -> int:
    """Do what was asked. Raises Wrong."""
    if "h" in options.flags:
        sys.stdout.write(USAGE)
        return 0
    if "V" in options.flags:
        say(f"iscsiadm version {records.VERSION}")
        return 0
    if options.kill is not None:
        return 0  # there is no iscsid to stop; sessions go on, as they do with the original
    if not options.mode:
        raise Wrong("no mode specified", hint=True)
    if options.mode == "node":
        from . import node_mode

        return node_mode.run(options)
    if options.mode == "session":
        return _session(options)
    if options.mode in ("discovery", "discoverydb"):
        from . import discovery_mode

        return discovery_mode.run(options)
    if options.mode == "iface":
        from . import iface_mode

        return iface_mode.run(options)
    if options.mode == "fw":
        raise Wrong("Could not get list of targets from firmware. (err 21)", code=NO_OBJECTS)
    raise Wrong("No iSCSI hosts.", code=NO_OBJECTS)


def _session(options: Options) -> int:
    from . import node_mode, session_mode

    sessions = state.listed("sessions")
    acts = options.flags & {"u", "R", "s"}
    if options.sid < 0:
        if "new" in options.operations:
            raise Wrong("session mode: Operation 'new' only allowed with specific session IDs")
        if acts:
            return node_mode.act(options, session_mode.Pattern())
        if not sessions:
            raise Wrong("No active sessions.", code=NO_OBJECTS)
        return _print(sessions, options)
    chosen = [session for session in sessions if session["sid"] == options.sid]
    if not chosen:
        raise Wrong(f"Could not get session info for sid {options.sid}", code=SYSFS)
    if not acts and not options.operations and options.level > 0:
        return _print(chosen, options)
    session = chosen[0]
    address, port, _ = records.split_portal(str(session["portal"]))
    which = session_mode.Pattern(
        str(session["target"]), address, port, int(session["tpgt"]), str(session["iface"]), options.sid
    )
    if "new" in options.operations:
        record = (state.load("request", options.sid) or {}).get("record")
        return session_mode.log_in([record] if record else [], more=True)
    return node_mode.act(options, which)


def _print(sessions: list[state.Document], options: Options) -> int:
    if options.level > 3:
        raise Wrong(f"Invalid info level {options.level}. Try 0 - 3.", code=INVALID)
    if options.level < 1:
        printing.session_list(sessions)
    else:
        printing.session_tree(sessions, options.level, secrets="S" in options.flags)
    return 0
