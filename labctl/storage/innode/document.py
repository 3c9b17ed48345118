"""The target's configuration: one document in the form of LIO's saveconfig.json (rtslib-fb, root.py dump()).

Here it is read, written, and turned into what tgtd is to have (Wanted).
"""

from __future__ import annotations

import contextlib
import copy
import fcntl
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from . import command

SAVED = "/etc/target/saveconfig.json"
STATE = "/run/labctl-target"  # gone after a reboot, as LIO's configfs is
RUNNING = f"{STATE}/running.json"
RAMDISKS = f"{STATE}/ramdisk"
TAG = 1
# What tgtd is told, as tgtd calls it; the values that measured best with libiscsi.
PARAMETERS = {
    "MaxRecvDataSegmentLength": "262144",
    "MaxXmitDataSegmentLength": "262144",
    "FirstBurstLength": "262144",
    "MaxBurstLength": "1048576",
    "InitialR2T": "No",
    "ImmediateData": "Yes",
    "MaxOutstandingR2T": "16",
}


class BadDocument(Exception):
    """The document cannot be read or is not of LIO's form; the text names file and place."""


class Disk(NamedTuple):
    """A LUN to be; size in bytes is the least its file may have (0: whatever it has)."""

    lun: int
    name: str
    plugin: str
    path: str
    size: int
    wwn: str
    write_back: bool
    readonly: bool


class Account(NamedTuple):
    """A CHAP user with its password."""

    user: str
    password: str


class WantedTarget(NamedTuple):
    """A target to be; locked: CHAP is asked for although nobody has credentials."""

    iqn: str
    disks: tuple[Disk, ...]
    initiators: tuple[str, ...]
    open_to_all: bool
    accounts: tuple[Account, ...]
    outgoing: Account | None
    locked: bool
    parameters: Mapping[str, str]


class Wanted(NamedTuple):
    """All that tgtd is to have; problems are parts of the document that it cannot have."""

    targets: tuple[WantedTarget, ...]
    portals: tuple[str, ...]
    problems: tuple[str, ...]


def empty() -> dict[str, Any]:
    return {"fabric_modules": [], "storage_objects": [], "targets": []}


def load(path: str) -> dict[str, Any]:
    """Read a document. Raises BadDocument."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        document = json.loads(text)
    except FileNotFoundError:
        raise BadDocument(f"there is no file {path}") from None
    except OSError as error:
        raise BadDocument(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise BadDocument(f"{path} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadDocument(f"{path} does not hold a target configuration: it begins with no {{")
    return _completed({**empty(), **document}, path)


def _completed(document: dict[str, Any], path: str) -> dict[str, Any]:
    """With all parts of every portal group there, be they empty."""
    parts: dict[str, Any] = {
        "attributes": {}, "enable": True, "luns": [], "node_acls": [], "parameters": {}, "portals": []
    }  # fmt: skip
    try:
        for target in document["targets"]:
            for tpg in target["tpgs"]:
                for name, nothing in copy.deepcopy(parts).items():
                    tpg.setdefault(name, nothing)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadDocument(f"{path} is not of LIO's form: {type(error).__name__} {error}") from None
    return document


def running() -> dict[str, Any]:
    """The configuration that was last applied since boot, or an empty one."""
    return load(RUNNING) if Path(RUNNING).exists() else empty()


def store(path: str, document: Mapping[str, Any]) -> None:
    """Write a document; it may hold passwords, so only root reads it."""
    command.write_atomic(path, json.dumps(document, indent=2, sort_keys=True) + "\n", mode=0o600)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """The one lock over the running configuration: one change at a time."""
    Path(STATE).mkdir(mode=0o700, parents=True, exist_ok=True)
    with Path(STATE, "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def wanted(document: Mapping[str, Any]) -> Wanted:
    """What the document asks for. Raises BadDocument when it is not of LIO's form."""
    problems: list[str] = []
    portals: dict[str, None] = {}
    try:
        stores = {f"/backstores/{so['plugin']}/{so['name']}": so for so in document["storage_objects"]}
        targets = [_target(target, stores, portals, problems) for target in document["targets"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadDocument(f"the configuration is not of LIO's form: {type(error).__name__} {error}") from None
    return Wanted(tuple(targets), tuple(portals), (*problems, *_clashes(targets)))


def _target(
    target: Mapping[str, Any],
    stores: Mapping[str, Mapping[str, Any]],
    portals: dict[str, None],
    problems: list[str],
) -> WantedTarget:
    iqn = str(target["wwn"])
    one = "tgtd has one portal group per target"
    problems += [f"{iqn} tpg{extra['tag']} is left out: {one}" for extra in target["tpgs"][1:]]
    tpg: Mapping[str, Any] = target["tpgs"][0] if target["tpgs"] else {}
    attributes, parameters = tpg.get("attributes", {}), tpg.get("parameters", {})
    open_to_all = int(attributes.get("generate_node_acls", 0)) == 1
    protect = open_to_all and int(attributes.get("demo_mode_write_protect", 1)) == 1
    disks = [_disk(lun, stores, protect) for lun in tpg.get("luns", ())]
    first = "LUN 0 is tgtd's controller, disks begin at 1"
    problems += [f"{iqn} lun 0 ({disk.name}) is left out: {first}" for disk in disks if disk.lun == 0]
    enabled = bool(tpg.get("enable", True)) and bool(tpg)
    acls = list(tpg.get("node_acls", ())) if enabled else []
    if enabled:
        for portal in tpg.get("portals", ()):
            portals[f"{portal['ip_address']}:{portal['port']}"] = None
    problems.extend(_unmappable(iqn, {disk.lun for disk in disks}, acls))
    if protect and acls:
        problems.append(f"{iqn}: tgtd cannot write-protect its LUNs from initiators without ACL alone")
    holders = [tpg, *acls]
    accounts = dict.fromkeys(filter(None, (_account(holder, "chap_") for holder in holders)))
    backs = list(dict.fromkeys(filter(None, (_account(holder, "chap_mutual_") for holder in holders))))
    if len(backs) > 1:
        one = "tgtd has one per target"
        problems.append(f"{iqn}: of several mutual CHAP users only {backs[0].user} counts: {one}")
    return WantedTarget(
        iqn=iqn,
        disks=tuple(disk for disk in disks if disk.lun),
        initiators=tuple(str(acl["node_wwn"]) for acl in acls),
        open_to_all=enabled and open_to_all,
        accounts=tuple(accounts),
        outgoing=backs[0] if backs else None,
        locked=not accounts
        and (int(attributes.get("authentication", 0)) == 1 or parameters.get("AuthMethod") == "CHAP"),
        parameters={name: str(parameters.get(name, value)) for name, value in PARAMETERS.items()},
    )


def sweep(config: Mapping[str, Any]) -> None:
    """Give back the memory of ramdisks that are no more."""
    kept = {str(so["name"]) for so in config["storage_objects"] if so["plugin"] == "ramdisk"}
    if Path(RAMDISKS).is_dir():
        for path in Path(RAMDISKS).iterdir():
            if path.name not in kept:
                path.unlink()


def _disk(lun: Mapping[str, Any], stores: Mapping[str, Mapping[str, Any]], protect: bool) -> Disk:
    place = str(lun["storage_object"])
    if place not in stores:
        raise ValueError(f"LUN {lun['index']} names {place}, which is not among the storage objects")
    so = stores[place]
    plugin, name = str(so["plugin"]), str(so["name"])
    return Disk(
        lun=int(lun["index"]),
        name=name,
        plugin=plugin,
        path=f"{RAMDISKS}/{name}" if plugin == "ramdisk" else str(so["dev"]),
        size=int(so.get("size", 0)),
        wwn=str(so["wwn"]),
        write_back=bool(so.get("write_back", True)),
        readonly=protect or bool(so.get("readonly", False)),
    )


def _account(holder: Mapping[str, Any], prefix: str) -> Account | None:
    user, password = holder.get(f"{prefix}userid"), holder.get(f"{prefix}password")
    return Account(str(user), str(password)) if user and password else None


def _unmappable(iqn: str, luns: set[int], acls: list[Any]) -> Iterator[str]:
    """tgtd shows every disk of a target to every initiator that may log in."""
    for acl in acls:
        mapped = {int(lun["tpg_lun"]): lun for lun in acl["mapped_luns"]}
        if set(mapped) != luns or any(int(lun["index"]) != number for number, lun in mapped.items()):
            yield f"{iqn} {acl['node_wwn']}: tgtd maps every LUN to every initiator, with its own number"
        if any(lun.get("write_protect") for lun in mapped.values()):
            yield f"{iqn} {acl['node_wwn']}: tgtd cannot protect a LUN from one initiator alone"


def _clashes(targets: list[WantedTarget]) -> Iterator[str]:
    """Accounts belong to all of tgtd: one user has one password."""
    known: dict[str, str] = {}
    for target in targets:
        for account in (*target.accounts, *([target.outgoing] if target.outgoing else [])):
            if known.setdefault(account.user, account.password) != account.password:
                way = "tgtd knows one per user; empty the other ACLs' first: set auth userid= password="
                yield f"{target.iqn}: CHAP user {account.user} has two passwords; {way}"


def fault(disk: Disk) -> str:
    """Why the disk's file cannot be served, as a sentence with its path; "" when it can."""
    path = Path(disk.path)
    try:
        about = path.stat()
    except FileNotFoundError:
        return f"{disk.name}: its image {path} does not exist"
    except OSError as error:
        return f"{disk.name}: its image {path} cannot be reached: {error.strerror}"
    if stat.S_ISBLK(about.st_mode):
        kind = "block"
    elif stat.S_ISREG(about.st_mode):
        kind = "file"
    else:
        return f"{disk.name}: {path} is neither a file nor a block device"
    if disk.plugin == "block" and kind != "block":
        return f"{disk.name}: {path} is not a block device"
    try:
        number = os.open(path, os.O_RDONLY if disk.readonly else os.O_RDWR)
    except OSError as error:
        return f"{disk.name}: its image {path} cannot be opened: {error.strerror}"
    try:
        size = os.lseek(number, 0, os.SEEK_END)
    finally:
        os.close(number)
    if size < max(disk.size, 512):
        return f"{disk.name}: its image {path} has {size} bytes, {max(disk.size, 512)} are needed"
    return ""
