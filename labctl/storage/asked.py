"""What both drivers have alike: the target's machine, and what is asked of it and of nodes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from labctl.engine.base import Appliance, Engine, File, Node
from labctl.errors import ActionFailed, LabError
from labctl.probe.facts import TargetSeen
from labctl.storage.base import CONFIG, CONFIG_INSIDE, DISKS_INSIDE, PORT, PROGRAM, TARGET, NodeDisks
from labctl.storage.innode.records import ROOTS, record_path, record_text

if TYPE_CHECKING:
    from labctl.lab.model import Lab
    from labctl.places import LabPlaces

SESSIONS = "/run/labctl-iscsi/sessions"
LOGIN_SECONDS = 60.0
SESSION_EXISTS = 15  # iscsiadm(8)
# Exclusive opening fails for what is mounted, or held by LVM, md or swap (open(2), O_EXCL).
_IN_USE = """\
import errno, glob, json, os, sys
mounts = dict(line.split()[:2] for line in open("/proc/mounts"))
for state in glob.glob(sys.argv[2] + "/*.json"):
    session = json.load(open(state))
    if session["target"] != sys.argv[1]:
        continue
    for disk in session["disks"]:
        for path in sorted(glob.glob("/dev/" + disk["name"] + "*")):
            try:
                os.close(os.open(path, os.O_RDONLY | os.O_EXCL))
            except OSError as error:
                if error.errno == errno.EBUSY:
                    print(path, "mounted at " + mounts[path] if path in mounts else "held by a program")
"""


def machine(lab: Lab, places: LabPlaces) -> Appliance:
    """The target's machine: PROGRAM serves what CONFIG says, from the files of places.disks."""
    domain = lab.nodes[0].hostname.partition(".")[2]
    return Appliance(
        name=TARGET,
        hostname=f"{TARGET}.{domain}" if domain else TARGET,
        argv=(PROGRAM, "serve", "--config", CONFIG),
        network=lab.storage.network,
        address=str(lab.storage.address),
        prefix=lab.network(lab.storage.network).subnet.prefixlen,
        mounts=((str(places.disks), DISKS_INSIDE), (str(places.target), CONFIG_INSIDE)),
    )


def target(engine: Engine, iqn: str) -> TargetSeen:
    """What the target says of itself (`labctl-target show --json`); never raises for what it does."""
    try:
        answer = engine.node(TARGET).run(["labctl-target", "show", "--json"], timeout=15)
        found = next(each for each in json.loads(answer.stdout)["targets"] if each["iqn"] == iqn)
        return TargetSeen(
            luns={str(lun["name"]): int(lun["size"]) for lun in found["luns"] if lun["online"]},
            acls=tuple(found["acls"]),
            chap=bool(found["chap"]),
            sessions=tuple((each["initiator"], each["address"]) for each in found["sessions"]),
        )
    except StopIteration:
        return TargetSeen(trouble=f"it has no {iqn}")
    except (LabError, ValueError, KeyError, TypeError) as error:
        return TargetSeen(trouble=str(error))


def in_use(node: Node, iqn: str) -> list[str]:
    """Which disks of a target a running node holds, a phrase each, by the state files of its sessions."""
    return node.run(["python3", "-IS", "-c", _IN_USE, iqn, SESSIONS], timeout=30).stdout.splitlines()


def record_file(lab: Lab) -> str:
    """Where a node keeps the record of the lab's target."""
    return record_path(lab.storage.target, _portal(lab), root=ROOTS[lab.family])


def login_record(lab: Lab) -> str:
    """That record: log in at every boot, with the lab's CHAP."""
    chap = lab.storage.chap
    return record_text(
        lab.storage.target,
        _portal(lab),
        startup="automatic",
        chap=(chap.userid, chap.password) if chap else None,
    )


def log_in(node: Node, lab: Lab, files: Sequence[File]) -> None:
    """Put the files of a login into a running node and log in, now. Raises ActionFailed."""
    node.put(files)
    node.run(["systemctl", "daemon-reload"], timeout=30)
    done = node.run(["iscsiadm", *_record(lab), "--login"], timeout=LOGIN_SECONDS, check=False)
    if done.rc in (0, SESSION_EXISTS):  # for one that was there, to see new disks
        done = node.run(["iscsiadm", *_record(lab), "--rescan"], timeout=LOGIN_SECONDS, check=False)
    if not done.ok:
        raise ActionFailed(
            f"{node.name} could not log in to {lab.storage.target}.",
            details=done.describe(),
            mend=f"labctl logs {node.name} --lab {lab.name}, then labctl up --lab {lab.name}",
        )


def log_out(node: Node, lab: Lab) -> None:
    """End a running node's session with the lab's target. Raises CommandFailed."""
    node.run(["iscsiadm", *_record(lab), "--logout"], timeout=LOGIN_SECONDS)


def journal(node: Node, *units: str) -> str:
    """The last lines of these units; a node that does not answer gives its reason."""
    which = [word for unit in units for word in ("-u", unit)]
    argv = ["journalctl", "--no-pager", "-n", "8", "-o", "cat", *which]
    try:
        return node.run(argv, timeout=15).stdout.strip()
    except LabError as error:
        return error.message


def _portal(lab: Lab) -> str:
    return f"{lab.storage.address}:{PORT}"


def _record(lab: Lab) -> list[str]:
    return ["-m", "node", "-T", lab.storage.target, "-p", _portal(lab)]


def node_disks(lines: Sequence[str]) -> NodeDisks:
    """From the lines "storage configured" and "storage disk NAME"."""
    words = [line.split() for line in lines if line.startswith("storage ")]
    return NodeDisks(
        configured=["storage", "configured"] in words,
        disks=frozenset(word[2] for word in words if word[1] == "disk" and len(word) == 3),
    )
