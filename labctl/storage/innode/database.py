"""The node's own store of records: nodes, interfaces, discovery portals, and the lock over them.

Laid out as open-iscsi lays it out (usr/idbm.c), so that its own iscsiadm reads what we write:
nodes/TARGET/ADDR,PORT,TPGT/IFACE, send_targets/ADDR,PORT/st_config with a link per record found, ifaces/NAME.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

from . import records
from .command import write_atomic
from .records import Record

CONFIG = Path("/etc/iscsi")  # iscsid.conf and initiatorname.iscsi, in every family
LOCK = Path("/run/labctl-iscsi/records.lock")


def root() -> Path:
    """Where this distribution keeps the records."""
    family = "debian" if Path("/etc/debian_version").exists() else "centos"
    return Path(records.ROOTS[family])


@contextlib.contextmanager
def locked(path: Path | None = None) -> Iterator[None]:
    """Hold a lock that all of us share, by default the one over the records; waits for it."""
    path = path or LOCK
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read(path: Path) -> Record:
    """The keys of a file; none when it is not there."""
    try:
        return records.parse(path.read_text(encoding="utf-8", errors="replace"))
    except (FileNotFoundError, NotADirectoryError):
        return {}


def settings() -> Record:
    """iscsid.conf: what new records start with."""
    return read(CONFIG / "iscsid.conf")


def initiator_name() -> str:
    """This node's IQN, or nothing."""
    return read(CONFIG / "initiatorname.iscsi").get("InitiatorName", "")


# -- nodes --------------------------------------------------------------------------------------


def new_node(target: str, address: str, port: int, tpgt: int, iface: Record, **more: str) -> Record:
    """A record with iscsid.conf's settings. more: discovery_address, discovery_port, discovery_type."""
    conf = settings()
    own = {
        "node.name": target,
        "node.tpgt": str(tpgt),
        "node.conn[0].address": address,
        "node.conn[0].port": str(port),
        # iscsid.conf names node.startup alone; the connection's follows it.
        "node.conn[0].startup": conf.get("node.conn[0].startup", conf.get("node.startup", "manual")),
        **{f"node.{name}": value for name, value in more.items()},
    }
    return records.complete(records.NODE, conf, iface, own)


def node_file(record: Record) -> Path:
    """Where a record lies. One whose portal group was never told is a file, as the original has it."""
    where = f"{record['node.conn[0].address']},{record['node.conn[0].port']}"
    target = root() / "nodes" / record["node.name"]
    if record["node.tpgt"] == "-1":
        return target / where
    return target / f"{where},{record['node.tpgt']}" / record["iface.iscsi_ifacename"]


def nodes() -> list[Record]:
    """Every node record, by target, portal and interface."""
    found = []
    for path in sorted((root() / "nodes").glob("*/*")):
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            record = records.complete(records.NODE, read(file))
            if record["node.name"] and record["node.conn[0].address"]:
                found.append(record)
    return found


def write_node(record: Record) -> None:
    """Write a record; its discovery portal gets the link to it."""
    file = node_file(record)
    _private(file.parent)
    write_atomic(str(file), records.render(record), 0o600)
    if link := _link(record):
        _private(link.parent)
        link.unlink(missing_ok=True)
        link.symlink_to(file if file.parent.name == record["node.name"] else file.parent)


def delete_node(record: Record) -> None:
    """Remove a record, its link, and the folders that are empty then."""
    file = node_file(record)
    file.unlink(missing_ok=True)
    if link := _link(record):
        link.unlink(missing_ok=True)
    for folder in (file.parent, file.parent.parent):
        if folder.name != "nodes":
            with contextlib.suppress(OSError):  # not empty: another record is there
                folder.rmdir()


def _link(record: Record) -> Path | None:
    if record["node.discovery_type"] != "send_targets":
        return None
    portal = f"{record['node.discovery_address']},{record['node.discovery_port']}"
    keys = ("node.name", "node.conn[0].address", "node.conn[0].port", "node.tpgt", "iface.iscsi_ifacename")
    return root() / "send_targets" / portal / ",".join(record[key] for key in keys)


def _private(folder: Path) -> None:
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(mode=0o700, exist_ok=True)


# -- interfaces ---------------------------------------------------------------------------------


def iface(name: str) -> Record | None:
    """An interface's record, None when there is none of this name."""
    if name == "default":
        return dict(records.IFACE)
    found = read(root() / "ifaces" / name)
    return records.complete(records.IFACE, found) if found else None


def ifaces() -> list[str]:
    """The names of the interfaces that somebody made, then the built-in ones."""
    made = sorted(path.name for path in (root() / "ifaces").glob("[!.]*"))
    return [*made, "default", "iser"]


def write_iface(record: Record) -> None:
    file = root() / "ifaces" / record["iface.iscsi_ifacename"]
    _private(file.parent)
    write_atomic(str(file), records.render(record), 0o600)


def delete_iface(name: str) -> None:
    (root() / "ifaces" / name).unlink(missing_ok=True)


# -- discovery portals --------------------------------------------------------------------------


def discovery(address: str, port: int) -> Record | None:
    """A discovery portal's record, None when there is none."""
    found = read(root() / "send_targets" / f"{address},{port}" / "st_config")
    return records.complete(records.DISCOVERY, found) if found else None


def new_discovery(address: str, port: int) -> Record:
    own = {"discovery.sendtargets.address": address, "discovery.sendtargets.port": str(port)}
    return records.complete(records.DISCOVERY, settings(), own)


def write_discovery(record: Record) -> None:
    where = f"{record['discovery.sendtargets.address']},{record['discovery.sendtargets.port']}"
    folder = root() / "send_targets" / where
    _private(folder)
    write_atomic(str(folder / "st_config"), records.render(record), 0o600)


def delete_discovery(address: str, port: int) -> None:
    """Remove a discovery portal and the node records that came from it."""
    for record in nodes():
        if (record["node.discovery_address"], record["node.discovery_port"]) == (address, str(port)):
            delete_node(record)
    shutil.rmtree(root() / "send_targets" / f"{address},{port}", ignore_errors=True)


def discoveries() -> list[tuple[str, int]]:
    """Address and port of every discovery portal on record."""
    found = []
    for path in sorted((root() / "send_targets").glob("*,*")):
        address, _, port = path.name.rpartition(",")
        found.append((address, int(port)))
    return found
