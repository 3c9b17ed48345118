"""The program of the target's machine under the lio driver: rtslib, told by one saveconfig.json document.

It is put into the machine as one file and runs there with the node image's Python and rtslib-fb, so it
imports nothing of labctl.  It touches what the document names and never what else the kernel serves.
Parses on Python 3.9.

    labctl-target serve [--config FILE]   serve until SIGTERM; portals are bound in this network namespace
    labctl-target apply FILE              bring the running target to the document
    labctl-target cut ADDRESS …           end what these have under way; 0 when nothing is left
    labctl-target show                    what is served, as JSON

--own-disks, after serve or apply: make the files of disks that are not there yet.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import importlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CONFIG = "/etc/target/saveconfig.json"
LOCK = "/run/labctl-target.lock"
FABRIC = "iscsi"
OWN_DISKS = "--own-disks"
CUT_SECONDS = 10.0
SESSIONS = "/sys/kernel/config/target/iscsi/*/tpgt_*/acls/*/info"


class Refused(Exception):
    """The kernel has, or does, something that does not go with the document."""


def main(words: list[str]) -> int:
    """The program. Exit code 0, 1 for a refusal (stderr says which), 2 for wrong words."""
    verb, rest = (words[0], words[1:]) if words else ("", [])
    own = OWN_DISKS in rest
    rest = [word for word in rest if word != OWN_DISKS]
    config = rest[-1] if rest else CONFIG
    try:
        if own and verb in ("serve", "apply"):
            make_disks(load(config))
        if verb == "serve":
            return serve(config)
        if verb == "apply" and rest:
            with held():
                bring(load(config), portals=False)
            return 0
        if verb == "cut" and rest:
            return cut(rest)
        if verb == "show":
            sys.stdout.write(json.dumps(shown(load(CONFIG))) + "\n")
            return 0
    except (Refused, OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"labctl-target: {error}\n")
        return 1
    sys.stderr.write((__doc__ or "") + "\n")
    return 2


@contextlib.contextmanager
def held() -> Iterator[None]:
    """One change at a time."""
    with Path(LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def load(path: str) -> dict[str, Any]:
    """The document. Raises OSError, ValueError."""
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{path} is no target configuration")
    return found


def rtslib() -> Any:
    """rtslib-fb under either of its names. Raises Refused."""
    for name in ("rtslib_fb", "rtslib"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    raise Refused("rtslib-fb is not installed in the node image")


def serve(config: str) -> int:
    """Serve until SIGTERM; then close the portals and all sessions, as a target that shuts down."""
    # The last is what the node image names as its stop signal: systemd's.
    stops = {signal.SIGTERM, signal.SIGINT, signal.SIGRTMIN + 3}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    with held():
        bring(load(config), portals=True)
    sys.stderr.write("labctl-target: serving\n")
    sys.stderr.flush()
    signal.sigwait(stops)
    with held():
        rest(load(config))
    return 0


# -- bringing the kernel to the document ---------------------------------------------------


def bring(document: dict[str, Any], *, portals: bool) -> None:
    """Make the kernel serve the document; portals: bind them (anew) in this network namespace.

    Nobody is let in before everything is in place.  Raises Refused.
    """
    rts = rtslib()
    with translated(rts):
        root = rts.RTSRoot()
        _stores(root, document["storage_objects"])
        if portals:
            # All of them first: targets share a portal's socket, and one that is left keeps the old one.
            _close(rts, document)
        for target in document["targets"]:
            _target(rts, target)
        if portals:
            for _, tpg, entry in _served(rts, document):
                for address, port in sorted(_portals(entry)):
                    rts.NetworkPortal(tpg, address, port)


def _stores(root: Any, wanted: list[dict[str, Any]]) -> None:
    there = {(so.plugin, so.name): so for so in root.storage_objects}
    for entry in wanted:
        found = there.get((entry["plugin"], entry["name"]))
        if found is None:
            for problem in root.restore({"storage_objects": [entry]}):
                raise Refused(str(problem))
        elif found.wwn != entry["wwn"]:
            raise Refused(
                f"the kernel has a backstore {found.plugin}/{found.name} already, and it is not this lab's"
            )


def _target(rts: Any, wanted: dict[str, Any]) -> None:
    target = rts.Target(rts.FabricModule(FABRIC), wanted["wwn"])
    for entry in wanted["tpgs"]:
        tpg = rts.TPG(target, entry["tag"])
        rts.utils.set_attributes(tpg, entry.get("attributes", {}), _refuse)
        rts.utils.set_parameters(tpg, entry.get("parameters", {}), _refuse)
        _credentials(tpg, entry)
        gone = _luns(rts, tpg, entry["luns"])
        _acls(rts, tpg, entry["node_acls"])
        for store in gone:
            if not any(True for _ in store.attached_luns):
                store.delete()
        if bool(tpg.enable) != bool(entry.get("enable", True)):
            tpg.enable = entry.get("enable", True)


def _luns(rts: Any, tpg: Any, wanted: list[dict[str, Any]]) -> list[Any]:
    """Bring the LUNs to the wanted ones; the storage objects of those that went."""
    names = {entry["index"]: entry["storage_object"] for entry in wanted}
    gone, kept = [], set()
    for lun in list(tpg.luns):
        store = lun.storage_object
        if names.get(lun.lun) == f"/backstores/{store.plugin}/{store.name}":
            kept.add(lun.lun)
            continue
        lun.delete()
        gone.append(store)
    stores = {f"/backstores/{so.plugin}/{so.name}": so for so in rts.RTSRoot().storage_objects}
    for index, name in names.items():
        if index not in kept:
            if name not in stores:
                raise Refused(f"LUN {index} names {name}, which is not there")
            rts.LUN(tpg, index, storage_object=stores[name])
    return gone


def _acls(rts: Any, tpg: Any, wanted: list[dict[str, Any]]) -> None:
    names = {entry["node_wwn"] for entry in wanted}
    for acl in list(tpg.node_acls):
        if acl.node_wwn not in names:
            acl.delete()
    luns = {lun.lun: lun for lun in tpg.luns}
    for entry in wanted:
        acl = rts.NodeACL(tpg, entry["node_wwn"])
        rts.utils.set_attributes(acl, entry.get("attributes", {}), _refuse)
        _credentials(acl, entry)
        mapped = {lun["index"]: lun for lun in entry["mapped_luns"]}
        there = {lun.mapped_lun: lun for lun in acl.mapped_luns}
        for index, lun in there.items():
            if index not in mapped or lun.tpg_lun.lun != mapped[index]["tpg_lun"]:
                lun.delete()
        have = {lun.mapped_lun for lun in acl.mapped_luns}
        for index, lun in mapped.items():
            if index not in have:
                rts.MappedLUN(acl, index, luns[lun["tpg_lun"]], bool(lun.get("write_protect")))


def _credentials(holder: Any, entry: dict[str, Any]) -> None:
    """CHAP of a portal group or of an ACL; rtslib writes "NULL" for an empty value, which clears it."""
    for name in ("chap_userid", "chap_password", "chap_mutual_userid", "chap_mutual_password"):
        value = entry.get(name) or ""
        if (getattr(holder, name) or "") != value:
            setattr(holder, name, value)


def _portals(entry: dict[str, Any]) -> set[tuple[str, int]]:
    """A portal group's addresses and ports in the document."""
    return {(portal["ip_address"], int(portal["port"])) for portal in entry["portals"]}


def _close(rts: Any, document: dict[str, Any]) -> None:
    """Close the document's portals: those that are there belong to the namespace they were made in."""
    for _, tpg, entry in _served(rts, document):
        for portal in list(tpg.network_portals):
            if (portal.ip_address, int(portal.port)) in _portals(entry):
                portal.delete()


def rest(document: dict[str, Any]) -> None:
    """Disable what the document serves, which ends all its sessions, and close its portals."""
    rts = rtslib()
    with translated(rts):
        for _, tpg, _ in _served(rts, document):
            tpg.enable = False
        _close(rts, document)


def make_disks(document: dict[str, Any]) -> None:
    """Sparse files for the disks that have none yet. Raises OSError."""
    for entry in document["storage_objects"]:
        path = Path(entry["dev"])
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            aside = path.with_name(f".{path.name}.new")  # at once or not at all, as labctl.storage.disks
            with aside.open("wb") as image:
                image.truncate(entry["size"])
            aside.replace(path)


def cut(addresses: list[str]) -> int:
    """Close every connection from these addresses, and wait until none of their sessions is left.

    LIO gives a session up only when what it had under way has ended (iscsit_close_connection()).
    """
    for address in addresses:
        # ss(8) -K; the command is there with iproute2, the kernel's part with INET_DIAG_DESTROY.
        argv = ["ss", "--kill", "--no-header", "--tcp", "dst", address]
        subprocess.run(argv, check=False, capture_output=True, timeout=CUT_SECONDS)
    deadline = time.monotonic() + CUT_SECONDS
    while left := _connected(addresses):
        if time.monotonic() > deadline:
            sys.stderr.write(f"labctl-target: still connected: {', '.join(left)}\n")
            return 1
        time.sleep(0.05)
    return 0


def _connected(addresses: list[str]) -> list[str]:
    """Those of the addresses that a session of the kernel's target names."""
    found = set()
    for name in glob.glob(SESSIONS):  # noqa: PTH207
        with contextlib.suppress(OSError):
            words = Path(name).read_text(encoding="utf-8").split()
            found |= {address for address in addresses if address in words}
    return sorted(found)


# -- looking -------------------------------------------------------------------------------


def shown(document: dict[str, Any]) -> dict[str, Any]:
    """What the kernel serves of the document: targets, LUNs, ACLs and sessions."""
    rts = rtslib()
    with translated(rts):
        return {"targets": [_shown(target, tpg) for target, tpg, _ in _served(rts, document)]}


def _shown(target: Any, tpg: Any) -> dict[str, Any]:
    sessions = []
    for acl in tpg.node_acls:
        if acl.session:
            links = acl.session["connections"]
            sessions.append(
                {
                    "initiator": acl.node_wwn,
                    "address": links[0]["address"] if links else "",
                    "connections": len(links),
                }
            )
    return {
        "iqn": target.wwn,
        "enabled": bool(tpg.enable),
        "portals": sorted(f"{portal.ip_address}:{portal.port}" for portal in tpg.network_portals),
        "luns": [
            {
                "lun": lun.lun,
                "name": lun.storage_object.name,
                "path": lun.storage_object.udev_path,
                "size": lun.storage_object.size,
                "online": lun.storage_object.status == "activated",
            }
            for lun in sorted(tpg.luns, key=lambda one: int(one.lun))
        ],
        "acls": sorted(acl.node_wwn for acl in tpg.node_acls),
        "chap": tpg.get_attribute("authentication") == "1",
        "sessions": sessions,
    }


def _served(rts: Any, document: dict[str, Any]) -> list[tuple[Any, Any, dict[str, Any]]]:
    """(target, portal group, its entry in the document) for all of the document that is there."""
    entries = {(target["wwn"], tpg["tag"]): tpg for target in document["targets"] for tpg in target["tpgs"]}
    return [
        (target, tpg, entries[target.wwn, tpg.tag])
        for target in rts.RTSRoot().targets
        for tpg in target.tpgs
        if (target.wwn, tpg.tag) in entries
    ]


@contextlib.contextmanager
def translated(rts: Any) -> Iterator[None]:
    """rtslib's errors, and those of its parts, as Refused."""
    try:
        yield
    except rts.RTSLibError as error:
        raise Refused(str(error)) from error


def _refuse(problem: str) -> None:
    raise Refused(problem)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
