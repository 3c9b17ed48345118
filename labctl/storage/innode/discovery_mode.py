"""iscsiadm -m discovery and discoverydb: SendTargets, and the records that come of it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from . import ask, database, node_mode, printing, records, session_mode, wire
from .options import Options, Wrong
from .printing import error
from .records import Record
from .voice import say

DATABASE, NO_OBJECTS, PDU_TIMEOUT = 6, 21, 11
RETRY = 1.0  # s between two tries, as often as the portal's reopen_max says


def run(options: Options) -> int:
    """Discovery mode. The exit code; raises Wrong."""
    if options.type not in ("", "sendtargets"):
        if options.type in ("isns", "fw"):
            raise Wrong(f"this iscsiadm cannot do {options.type} discovery; -t sendtargets is what it has")
        if options.address:
            raise Wrong(f"Discovery record [{options.address},{options.port}] not found!")
        raise Wrong("Invalid operation.")
    if options.mode == "discovery":
        return _discovery(options)
    return _database(options)


def _discovery(options: Options) -> int:
    operation = options.operations[-1] if options.operations else ""
    if options.type:
        if not options.address:
            raise Wrong("Please specify portal as <ipaddr>[:<ipport>]")
        portal = database.new_discovery(options.address, options.port)
        return _discover(options, portal, remember="nonpersistent" not in options.operations)
    if not options.address:
        if operation in ("", "show"):
            return _list(options.level)
        raise Wrong("Invalid operation.")
    known = database.discovery(options.address, options.port)
    if known is None:
        raise Wrong(f"Discovery record [{options.address},{options.port}] not found!")
    if options.flags & {"D", "l"}:
        return _discover(options, known, remember=False)
    if operation in ("new", "update"):
        raise Wrong("Operations new and update for discovery mode is not supported. Use discoverydb mode.")
    return _with_record(options, known, operation)


def _database(options: Options) -> int:
    operation = options.operations[-1] if options.operations else ""
    if not options.type:
        if not options.address and operation in ("", "show"):
            return _list(options.level)
        if not options.address:
            raise Wrong("Invalid operation. Operation not supported.")
        if operation:
            raise Wrong("Invalid command. Possibly missing discovery --type.")
        raise Wrong("Invalid command. Portal not needed or Possibly missing discovery --type.")
    if not options.address:
        raise Wrong("Please specify portal as <ipaddr>[:<ipport>]")
    if "D" in options.flags:
        known = database.discovery(options.address, options.port)
        portal = known or database.new_discovery(options.address, options.port)
        return _discover(options, portal, remember=not known and "nonpersistent" not in options.operations)
    if operation == "new":
        with database.locked():
            database.write_discovery(database.new_discovery(options.address, options.port))
        say(f"New discovery record for [{options.address},{options.port}] added.")
        return 0
    known = database.discovery(options.address, options.port)
    if known is None:
        raise Wrong(f"Discovery record [{options.address},{options.port}] not found.", code=DATABASE)
    return _with_record(options, known, operation)


def _with_record(options: Options, portal: Record, operation: str) -> int:
    if operation in ("", "show"):
        say(records.show(portal, secrets="S" in options.flags).rstrip("\n"))
        return 0
    if operation == "delete":
        with database.locked():
            database.delete_discovery(options.address, options.port)
        return 0
    if operation != "update":
        raise Wrong("Invalid operation.")
    if not options.params:
        raise Wrong("Update requires name and value.")
    for name, value in options.params:
        if fault := records.fault(records.DISCOVERY, name, value):
            raise Wrong(*fault.splitlines())
    with database.locked():
        database.write_discovery({**portal, **dict(options.params)})
    return 0


def _list(level: int) -> int:
    portals = database.discoveries()
    if level < 1:
        for address, port in portals:
            say(f"{records.portal_text(address, port)} via sendtargets")
        return 0 if portals else NO_OBJECTS
    known = database.nodes()
    total = 0
    say("SENDTARGETS:")
    for address, port in portals:
        say(f"DiscoveryAddress: {address},{port}")
        source = (address, str(port))
        here = [one for one in known if (one["node.discovery_address"], one["node.discovery_port"]) == source]
        printing.nodes(here, 1)
        total += 1
    if not portals:
        say("No targets found.")
    static = [one for one in known if one["node.discovery_type"] == "static"]
    for title, found in (("iSNS:", []), ("STATIC:", static), ("FIRMWARE:", [])):
        say(title)
        printing.nodes(found, 1)
        total += bool(found)
        if not found:
            say("No targets found.")
    return 0 if total else NO_OBJECTS


# -- asking the portal ------------------------------------------------------------------------------


def _discover(options: Options, portal: Record, *, remember: bool) -> int:
    """Ask, write the records (options.operations; without: new, update and delete), print, log in."""
    ifaces = _ifaces(options.ifaces)
    if remember:
        with database.locked():
            database.write_discovery(portal)
    found = []
    for iface in ifaces:
        initiator = iface["iface.initiatorname"] or database.initiator_name()
        if not initiator:
            raise Wrong("Cannot perform discovery. Initiatorname required.", code=DATABASE)
        for target, portals in _ask(portal, initiator):
            found += [
                database.new_node(
                    target, one.address, one.port, one.tpgt, iface,
                    discovery_address=portal["discovery.sendtargets.address"],
                    discovery_port=portal["discovery.sendtargets.port"],
                    discovery_type="send_targets",
                )
                for one in portals
            ]  # fmt: skip
    if not found:
        raise Wrong("No portals found", code=NO_OBJECTS)
    _write(found, set(options.operations) or {"new", "update", "delete"}, portal)
    printing.nodes(found, options.level)
    if "l" in options.flags:
        return session_mode.log_in(found, wait="W" not in options.flags, summary=False)
    return 0


def _ifaces(names: Sequence[str]) -> list[Record]:
    """Those that were named; else those that somebody made; else the default one."""
    made = [name for name in database.ifaces() if name not in ("default", "iser")]
    found = []
    for name in names or made or ("default",):
        iface = database.iface(name)
        if iface is None:
            error(
                f"Could not read iface info for {name}. Make sure an iface config with the file name and "
                f"iface.iscsi_ifacename {name} is in {database.root()}/ifaces."
            )
        else:
            found.append(iface)
    if not found:
        raise Wrong(code=NO_OBJECTS)
    return found


def _ask(portal: Record, initiator: str) -> list[tuple[str, list[ask.Portal]]]:
    address, port = portal["discovery.sendtargets.address"], int(portal["discovery.sendtargets.port"])
    chap = None
    if portal["discovery.sendtargets.auth.authmethod"] == "CHAP":
        chap = (portal["discovery.sendtargets.auth.username"], portal["discovery.sendtargets.auth.password"])
    retries = int(portal["discovery.sendtargets.reopen_max"])
    timeout = float(portal["discovery.sendtargets.timeo.login_timeout"]) or 15
    for left in range(retries, -1, -1):
        try:
            with wire.Connection(
                address, port, initiator=initiator, chap=chap, timeout=timeout
            ) as connection:
                return ask.targets(connection)
        except wire.Refused as refused:
            if refused.final:
                what = str(refused)
                if refused.code == wire.AUTH_FAILED:
                    what = f"discovery login to {address} rejected: initiator failed authorization"
                reason = printing.ERRORS.get(refused.code, "unknown error")
                raise Wrong(
                    what, f"Could not perform SendTargets discovery: {reason}", code=refused.code
                ) from None
            error(str(refused))
            if left:
                time.sleep(RETRY)
    raise Wrong(
        f"connection login retries (reopen_max) {retries} exceeded",
        f"Could not perform SendTargets discovery: {printing.ERRORS[PDU_TIMEOUT]}",
        code=PDU_TIMEOUT,
    )


def _write(found: Sequence[Record], operations: set[str], portal: Record) -> None:
    keys = ("node.name", "node.conn[0].address", "node.conn[0].port", "iface.iscsi_ifacename")
    source = (portal["discovery.sendtargets.address"], portal["discovery.sendtargets.port"])
    there = {tuple(record[key] for key in keys) for record in found}
    with database.locked():
        known = {tuple(record[key] for key in keys): record for record in database.nodes()}
        for name, record in known.items():
            ours = (record["node.discovery_address"], record["node.discovery_port"]) == source
            if "delete" in operations and ours and name not in there:
                node_mode.delete(record)
        for record in found:
            new = tuple(record[key] for key in keys) not in known
            if ("new" in operations and new) or "update" in operations:
                database.write_node(record)
