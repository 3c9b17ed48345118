"""The lio driver: the kernel's target and the kernel's initiator, one session per node under its own name.

docs/adr/0010-storage-drivers.md tells how it is put together.  Everything here runs on the host; the
lab's daemon uses lio_link alone.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from labctl.engine.base import Appliance, Engine, File
from labctl.errors import ActionFailed, HostLacks, LabError
from labctl.places import lab_places
from labctl.probe.facts import TargetSeen
from labctl.storage import asked, lio_host, lio_kernel, lio_node, saveconfig
from labctl.storage.base import CONFIG, LIO, PORT, PROGRAM, TARGET, NodeDisks
from labctl.storage.lio_host import Claim
from labctl.storage.lio_link import FILE, Link, Plan
from labctl.storage.lio_session import LOOPBACK, Account, Initiator
from labctl.storage.userspace import Userspace

if TYPE_CHECKING:
    from labctl.lab.model import Lab, NodeSpec
    from labctl.places import LabPlaces

STATE_FILE = f"{lio_node.STATE}/sessions/{lio_node.FILE}.json"


class Lio:
    """labctl.storage.base.Driver with the kernel's own target and initiator."""

    name = LIO
    disks_on_host = True

    def prepare(self, lab: Lab, places: LabPlaces) -> None:
        """Claim the kernel's one target of this name, load the modules, have iscsid run. Can be repeated.

        Before the target's machine starts.  Raises HostLacks, CommandFailed.
        """
        found = lio_host.lacks(lio_host.look(lab.name, places.root, lab.storage.target))
        if found:
            raise HostLacks(
                "The storage driver lio cannot run here.",
                details="\n".join(lack.what for lack in found),
                mend=found[0].mend,
            )
        lio_host.load_modules()
        before = _claim(lab.name, places)
        document = saveconfig.document(lab)
        claim = Claim(
            lab=lab.name,
            root=str(places.root),
            targets=tuple(target["wwn"] for target in document["targets"]),
            serials=_also(before.serials if before else (), document),
            port=before.port if before else _free_port(),
            started_iscsid=before.started_iscsid if before else not lio_host.iscsid_runs(),
            made_fabric=before.made_fabric if before else not lio_kernel.has_fabric(),
        )
        claim.save()
        lio_host.keep_udev_away(lab.name, claim.port)
        lio_host.start_iscsid()
        places.conf.mkdir(mode=0o700, parents=True, exist_ok=True)
        plan(lab, places, claim.port).save()

    def appliance(self, lab: Lab, places: LabPlaces) -> Appliance:
        return asked.machine(lab, places)

    def appliance_files(self, places: LabPlaces) -> list[File]:  # noqa: ARG002 (they are mounted)
        source = resources.files("labctl.storage").joinpath("lio_target.py").read_bytes()
        return [File(PROGRAM, b"#!/usr/bin/python3 -I\n" + source, mode=0o755)]

    def node_files(self, lab: Lab, node: NodeSpec, *, login: bool) -> list[File]:
        """For the lab's own disks nothing: it logs its nodes in from outside.

        What learners build by hand runs in user space inside the nodes: the kernel's initiator cannot be
        reached from there. CentOS has not got the programs for it.
        """
        del login
        return Userspace().node_files(lab, node, login=False) if lab.family == "debian" else []

    def update(self, engine: Engine, lab: Lab, places: LabPlaces) -> None:
        """Bring the running target to its configuration; nodes that are logged in see new disks."""
        self.prepare(lab, places)
        engine.node(TARGET).run(["labctl-target", "apply", CONFIG], timeout=60)
        link = _link(lab)
        for node in lab.nodes:
            if engine.is_on(node.name):
                link.rescan(engine, node.name)

    def started(self, engine: Engine, lab: Lab, node: NodeSpec) -> None:
        """Hand the node its devices: /dev is empty after each start."""
        _link(lab).attach(engine, node.name)

    def log_in(self, engine: Engine, lab: Lab, node: NodeSpec) -> None:
        _link(lab).attach(engine, node.name)

    def in_use(self, engine: Engine, lab: Lab, node: NodeSpec) -> list[str]:
        return asked.in_use(engine.node(node.name), lab.storage.target)

    def log_out(self, engine: Engine, lab: Lab, node: NodeSpec) -> None:
        _link(lab).detach(engine, node.name)

    def show(self, engine: Engine, lab: Lab) -> TargetSeen:
        return asked.target(engine, lab.storage.target)

    def last_words(self, engine: Engine, node: str) -> str:
        """The host's sessions: a node knows nothing of its own."""
        del engine
        ours = [one for one in lio_kernel.sessions() if one.iface.endswith(f".{node}")]
        return (
            "\n".join(f"{one.initiator}: {one.state}, {len(one.luns)} disks" for one in ours) or "no session"
        )

    def question(self, lab: Lab) -> str:
        """Configured is a node that was handed its disks in its present boot."""
        del lab
        return (
            f"[ -e {STATE_FILE} ] && echo 'storage configured'\n"
            f'for disk in $(grep -o \'"name": *"sd[a-z]*"\' {STATE_FILE} 2>/dev/null | cut -d\\" -f4); do\n'
            '  [ -b "/dev/$disk" ] && blockdev --getsize64 "/dev/$disk" >/dev/null 2>&1 '
            '&& echo "storage disk $disk"\n'
            "done\n"
        )

    def answered(self, lines: Sequence[str]) -> NodeDisks:
        return asked.node_disks(lines)


def host_lacks(lab: Lab, places: LabPlaces) -> str:
    """Why this host cannot run the driver for this lab; "" when it can. Changes nothing."""
    found = lio_host.lacks(lio_host.look(lab.name, places.root, lab.storage.target))
    return "; ".join(lack.what for lack in found)


def plan(lab: Lab, places: LabPlaces, port: int) -> Plan:
    """What linking the lab's nodes takes. port: of the portal on 127.0.0.1."""
    chap = lab.storage.chap
    return Plan(
        lab=lab.name,
        conf=str(places.conf),
        target=lab.storage.target,
        portal=f"{lab.storage.address}:{PORT}",
        port=port,
        names=tuple(disk.name for disk in lab.storage.disks),
        initiators={node.name: node.initiator for node in lab.nodes},
        chap=Account(chap.userid, chap.password, chap.mutual_userid or "", chap.mutual_password or "")
        if chap
        else None,
    )


def cut_all(lab: str, places: LabPlaces) -> None:
    """Cut off all nodes of a lab, before its processes are ended. Raises ActionFailed when one hangs on."""
    found = _plan(places)
    if found is None or _claim(lab, places) is None:
        return
    link = Link(found, Initiator())
    for node in found.initiators:
        link.cut(node)


def cleanup(lab: str, places: LabPlaces, *, sys: Path = lio_kernel.SYS) -> None:
    """Leave nothing of a lab in the kernel and in the host's records. After its processes have ended.

    Needs nothing of the lab to be whole; does nothing, quickly, for a lab with another driver.
    Raises ActionFailed with what could not be removed.
    """
    claim = _claim(lab, places)
    if claim is None and any(other.lab == lab for other in lio_host.read_claims()):
        return  # what is there belongs to a lab of the same name below another folder
    host = Initiator(sys=sys)
    problems: list[str] = []
    for iface in host.ifaces(lab):
        for session in lio_kernel.sessions(sys):
            if session.iface == iface:
                try:
                    host.end(session)
                except LabError as error:
                    problems.append(str(error))
        host.forget(iface)
    if claim is not None:
        for target in claim.targets:
            problems += lio_kernel.remove_target(target, sys)
        problems += lio_kernel.remove_stores(claim.serials, sys)
        if claim.made_fabric and not problems:
            problems += lio_kernel.remove_fabric(sys)
    if problems:
        raise ActionFailed(f"Not all of lab {lab} is out of the kernel.", details="\n".join(problems),
                           mend=f"labctl down --lab {lab}")  # fmt: skip
    lio_host.let_udev_near(lab)
    if claim is not None:
        claim.drop()
        if claim.started_iscsid:
            lio_host.stop_iscsid()


def _claim(lab: str, places: LabPlaces) -> Claim | None:
    mine = (lab, str(places.root))
    return next((claim for claim in lio_host.read_claims() if (claim.lab, claim.root) == mine), None)


def _plan(places: LabPlaces) -> Plan | None:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return Plan.load(places.conf)
    return None


def _link(lab: Lab) -> Link:
    """The lab's link on the host. Raises ActionFailed before prepare()."""
    places = lab_places(lab.name)
    claim = _claim(lab.name, places)
    if claim is None:
        raise ActionFailed(f"Lab {lab.name} has no claim on the kernel's target.",
                           mend=f"labctl up --lab {lab.name}")  # fmt: skip
    return Link(plan(lab, places, claim.port), Initiator())


def _also(known: Sequence[str], document: Mapping[str, object]) -> tuple[str, ...]:
    """Serials known before, and those of the document: one that goes is removed at the end, too."""
    stores = document["storage_objects"]
    assert isinstance(stores, list)  # noqa: S101 (saveconfig.document's own form)
    return tuple(dict.fromkeys((*known, *(str(store["wwn"]) for store in stores))))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


__all__ = ["FILE", "Lio", "cleanup", "cut_all", "host_lacks", "plan"]
