"""labctl-target: runs tgtd, gives it a configuration, shows it, cuts initiators off.

  serve [--config FILE]      run tgtd in the foreground, configured before the first portal opens
  apply FILE|- [--force]     bring the running tgtd to a configuration
  restore [FILE]             apply the saved configuration, if there is one
  clear                      end all sessions and remove all targets
  show [--json]              targets, disks, ACLs, sessions
  sessions [--json]          sessions alone
  cut ADDRESS… [--timeout S] end all connections of addresses; 0 only when none can write any more

Exit codes: 0 done; 1 something could not be done, said on stderr; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from . import document, reconcile, sever, tgt, tgtd, voice
from .voice import say


def main(argv: Sequence[str] | None = None) -> int:
    words = _parser().parse_args(argv)
    try:
        return int(words.verb(words))
    except (document.BadDocument, tgt.TgtError) as error:
        return complain([str(error)])
    except OSError as error:
        return complain([f"{error.filename or ''}: {error.strerror}".lstrip(": ")])


def complain(problems: Sequence[str]) -> int:
    """Say what could not be done; the exit code that goes with it."""
    for problem in problems:
        voice.complain(f"labctl-target: {problem}")
    return 1 if problems else 0


def put(config: Mapping[str, Any], *, force: bool = False) -> list[str]:
    """Bring tgtd to a configuration and remember it; what could not be done. Raises BadDocument, TgtError."""
    goal = document.wanted(config)
    with document.held():
        return put_held(config, goal, force=force)


def put_held(config: Mapping[str, Any], goal: document.Wanted, *, force: bool = False) -> list[str]:
    """The same for a caller that holds the lock."""
    try:
        before = document.wanted(document.running())
    except document.BadDocument:
        before = document.wanted(document.empty())
    problems = reconcile.apply(goal, before, force=force)
    document.store(document.RUNNING, config)
    document.sweep(config)
    return problems


# -- verbs -----------------------------------------------------------------------------------------


def _serve(words: argparse.Namespace) -> int:
    return tgtd.serve(words.config, put, complain)


def _apply(words: argparse.Namespace) -> int:
    return complain(put(document.load("/dev/stdin" if words.file == "-" else words.file), force=words.force))


def _restore(words: argparse.Namespace) -> int:
    if not words.file and not Path(document.SAVED).exists():
        say(f"No saved configuration: {document.SAVED} does not exist.")
        return 0
    return complain(put(document.load(words.file or document.SAVED), force=True))


def _clear(_: argparse.Namespace) -> int:
    if not tgt.answers():
        return 0
    return complain(put(document.empty(), force=True))


def _show(words: argparse.Namespace) -> int:
    state = describe(tgt.targets(), tgt.portals(), document.running())
    if words.json:
        say(json.dumps(state, indent=2))
        return 0
    for target in state["targets"]:
        chap = ", CHAP" if target["chap"] else ""
        say(f"{target['iqn']}: {len(target['luns'])} disks, {len(target['acls'])} ACLs{chap}")
        for lun in target["luns"]:
            say(f"  lun {lun['lun']}: {lun['name']} {lun['path']} {lun['size']} bytes")
        for session in target["sessions"]:
            say(f"  session: {session['initiator']} from {session['address']}")
    return 0


def _sessions(words: argparse.Namespace) -> int:
    found = [
        {"target": target.iqn, "tid": target.tid, "sid": session.sid, **_session(session)}
        for target in tgt.targets()
        for session in target.sessions
    ]
    if words.json:
        say(json.dumps({"sessions": found}, indent=2))
    else:
        for line in found:
            say(f"{line['target']} {line['initiator']} {line['address']}")
    return 0


def _cut(words: argparse.Namespace) -> int:
    problems = []
    for given in words.address:
        try:
            address = str(ip_address(given))
        except ValueError:
            voice.complain(f"labctl-target: {given} is no IP address")
            return 2
        left = sever.address(address, timeout=words.timeout)
        problems += [f"{address} is still connected after {words.timeout:g} s: {who}" for who in left[:1]]
    return complain(problems)


def describe(
    targets: Sequence[tgt.Target], portals: Sequence[str], config: Mapping[str, Any]
) -> dict[str, Any]:
    """`show --json`; names and wanted portals from the configuration, all else from tgtd."""
    names = {str(so.get("wwn", "")): str(so["name"]) for so in config.get("storage_objects", ())}
    wanted = {target["wwn"]: _portals(target) for target in config.get("targets", ())}
    return {
        "targets": [
            {
                "iqn": target.iqn,
                "tid": target.tid,
                "portals": [
                    portal
                    for portal in portals
                    if portal != reconcile.FIRST_PORTAL and portal in wanted.get(target.iqn, portals)
                ],
                "luns": [_lun(lun, names) for lun in target.luns],
                "acls": [*target.initiators, *target.addresses],
                "chap": bool(target.users),
                "sessions": [_session(session) for session in target.sessions],
            }
            for target in targets
        ]
    }


def _portals(target: Mapping[str, Any]) -> list[str]:
    return [f"{at['ip_address']}:{at['port']}" for tpg in target["tpgs"] for at in tpg.get("portals", ())]


def _lun(lun: tgt.Lun, names: Mapping[str, str]) -> dict[str, Any]:
    path = Path(lun.path)
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
    except OSError:
        size = 0
    return {
        "lun": lun.lun,
        "path": lun.path,
        "size": size,
        "name": names.get(lun.serial, path.stem),
        "wwn": f"wwn-0x{lun.identifier}",
        "online": lun.online and size > 0,
    }


def _session(session: tgt.Session) -> dict[str, Any]:
    addresses = [connection.address for connection in session.connections]
    return {
        "initiator": session.initiator,
        "address": addresses[0] if addresses else "",
        "connections": len(addresses),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="labctl-target", description=(__doc__ or "").partition("\n")[0])
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    serve = verbs.add_parser("serve", help="run tgtd in the foreground")
    serve.add_argument("--config", metavar="FILE", default="")
    serve.set_defaults(verb=_serve)
    apply = verbs.add_parser("apply", help="bring the running tgtd to a configuration")
    apply.add_argument("file", metavar="FILE")
    apply.add_argument("--force", action="store_true", help="close the sessions of what is removed")
    apply.set_defaults(verb=_apply)
    restore = verbs.add_parser("restore", help="apply the saved configuration")
    restore.add_argument("file", metavar="FILE", nargs="?", default="")
    restore.set_defaults(verb=_restore)
    verbs.add_parser("clear", help="remove all targets").set_defaults(verb=_clear)
    for name, verb in (("show", _show), ("sessions", _sessions)):
        look = verbs.add_parser(name)
        look.add_argument("--json", action="store_true")
        look.set_defaults(verb=verb)
    cut = verbs.add_parser("cut", help="end all connections of an address")
    cut.add_argument("address", metavar="ADDRESS", nargs="+")
    cut.add_argument("--timeout", type=float, default=3.0, metavar="SECONDS")
    cut.set_defaults(verb=_cut)
    return parser
