"""iscsiadm -m iface: interfaces here give sessions an initiator name of their own, and no more."""

from __future__ import annotations

from collections.abc import Sequence

from . import database, login, node_mode, printing, records
from .options import INVALID, Options, Wrong
from .printing import error
from .voice import say

SESSION_EXISTS, NO_OBJECTS = 15, 21
# QEMU's initiator connects as the node's routes say; it can be bound to nothing.
_BINDING = ("iface.net_ifacename", "iface.ipaddress", "iface.hwaddress")


def run(options: Options) -> int:
    """Interface mode. The exit code; raises Wrong."""
    operation = options.operations[-1] if options.operations else ""
    name = options.ifaces[0] if options.ifaces else ""
    if options.submode or operation in ("apply", "applyall"):
        raise Wrong("this iscsiadm has no network cards of its own to set up or to ping from")
    if operation in ("", "show"):
        return _show(name, options.level)
    if not name:
        what = {"new": "add interface", "delete": "delete interface"}.get(operation)
        raise Wrong(
            f"Could not {what}. No interface passed in."
            if what
            else "Update requires name, value, and iface."
        )
    with database.locked():
        if operation == "new":
            return _new(name, options.params)
        if operation == "delete":
            return _delete(name)
        if operation == "update":
            if not options.params:
                raise Wrong("Update requires name, value, and iface.")
            return _update(name, options.params)
    raise Wrong("operation is not supported.")


def _show(name: str, level: int) -> int:
    if level not in (-1, 0, 1):
        raise Wrong(f"Invalid info level {level}. Try 0 - 1.")
    if name and database.iface(name) is None:
        raise Wrong(f"Could not read iface info for {name}.", code=6)
    if level == 1:
        known = database.nodes()
        for one in [name] if name else database.ifaces() if known else []:
            say(f"Iface: {one}")
            here = [record for record in known if record["iface.iscsi_ifacename"] == one]
            printing.nodes(here, 1, indent="\t", ifaces=False)
        return 0
    if name:
        say(records.show(database.iface(name) or {}, secrets=True).rstrip("\n"))
        return 0
    for one in database.ifaces():
        record = database.iface(one) or {"iface.transport_name": "iser"}
        parts = [record["iface.transport_name"]]
        parts += [record.get(f"iface.{key}") or records.EMPTY for key in _FLAT]
        say(f"{one} {','.join(parts)}")
    return 0


_FLAT = ("hwaddress", "ipaddress", "net_ifacename", "initiatorname")


def _new(name: str, params: Sequence[tuple[str, str]]) -> int:
    if name in ("default", "iser") or "/" in name:
        raise Wrong(f"Could not create new interface {name}.")
    if _used(name):
        raise Wrong(f"Could not create new interface {name}.", code=SESSION_EXISTS)
    database.write_iface({**records.IFACE, "iface.iscsi_ifacename": name})
    _update(name, params)
    say(f"New interface {name} added")
    return 0


def _used(name: str) -> bool:
    return any(
        login.sessions_of(record) for record in database.nodes() if record["iface.iscsi_ifacename"] == name
    )


def _update(name: str, params: Sequence[tuple[str, str]]) -> int:
    iface = database.iface(name)
    if iface is None or name == "default":
        raise Wrong(
            f"Could not read iface info for {name}.", f"Could not update iface {name}: invalid parameter"
        )
    changes = {key: "" if value == records.EMPTY else value for key, value in params}
    for key, value in changes.items():
        fault = records.fault(records.IFACE, key, value)
        if key == "iface.iscsi_ifacename":
            fault = "Can not update iface.iscsi_ifacename. Delete it, and then create a new one."
        elif key in _BINDING and value:
            fault = f"{key}: sessions here cannot be bound to a network card or address; routes decide"
        if fault:
            raise Wrong(*fault.splitlines(), f"Could not update iface {name}: invalid parameter")
    if _used(name):
        error(
            "Updating iface while iscsi sessions are using it. You must logout the running sessions then "
            "log back in for the new settings to take affect."
        )
    database.write_iface({**iface, **changes})
    for record in database.nodes():
        if record["iface.iscsi_ifacename"] == name:
            database.write_node({**record, **changes})
    say(f"{name} updated.")
    return 0


def _delete(name: str) -> int:
    failed = f"Could not delete iface {name}: "
    if name == "default" or database.iface(name) is None:
        raise Wrong(f"Could not read iface info for {name}.", f"{failed}invalid parameter", code=INVALID)
    for record in database.nodes():
        if record["iface.iscsi_ifacename"] == name:
            code = node_mode.delete(record)
            if code:
                raise Wrong(failed + printing.ERRORS[code], code=code)
    database.delete_iface(name)
    say(f"{name} unbound and deleted.")
    return 0
