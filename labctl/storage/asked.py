"""What both drivers have alike: the target's machine, and what is asked of it and of nodes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from labctl.engine.base import Appliance, Engine, Node
from labctl.errors import LabError
from labctl.probe.facts import TargetSeen
from labctl.storage.base import CONFIG, CONFIG_INSIDE, DISKS_INSIDE, PROGRAM, TARGET, NodeDisks

if TYPE_CHECKING:
    from labctl.lab.model import Lab
    from labctl.places import LabPlaces

SESSIONS = "/run/labctl-iscsi/sessions"
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


def node_disks(lines: Sequence[str]) -> NodeDisks:
    """From the lines "storage configured" and "storage disk NAME"."""
    words = [line.split() for line in lines if line.startswith("storage ")]
    return NodeDisks(
        configured=["storage", "configured"] in words,
        disks=frozenset(word[2] for word in words if word[1] == "disk" and len(word) == 3),
    )
