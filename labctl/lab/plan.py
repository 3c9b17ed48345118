"""From what is wanted and what is there to what must be done. Pure: no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from labctl.engine.base import State
from labctl.storage.base import TARGET

if TYPE_CHECKING:
    from labctl.lab.model import Lab, NodeSpec
    from labctl.lab.observe import Observed, StorageSeen


class Until(StrEnum):
    """How far `up` goes; each includes those before it."""

    NODES = "nodes"
    CLUSTER = "cluster"
    STORAGE = "storage"
    ALL = "all"

    @property
    def with_storage(self) -> bool:
        """Whether the nodes have their disks at the end."""
        return self in (Until.STORAGE, Until.ALL)


class Do(StrEnum):
    """The kinds of action, in the order of stages."""

    BUILD_IMAGE = "build-image"
    START_BUBBLE = "start-bubble"
    MAKE_NETWORKS = "make-networks"
    REMOVE_NODE = "remove-node"
    CREATE_NODE = "create-node"
    START_NODE = "start-node"
    THAW_NODE = "thaw-node"
    JOIN_CLUSTER = "join-cluster"
    START_CLUSTER = "start-cluster"
    START_PCSD = "start-pcsd"
    SERVE_DISKS = "serve-disks"
    UPDATE_TARGET = "update-target"
    LOG_IN = "log-in"


class Part(StrEnum):
    """How a node comes to its cluster configuration."""

    NONE = "none"
    FIRST = "first"  # a new cluster: with the first CIB
    JOIN = "join"  # one that lives: its corosync.conf, no CIB
    KEEP = "keep"  # it has its own


@dataclass(frozen=True)
class Action:
    """One step, for one node or (node "") for the lab, with the reason for it."""

    do: Do
    node: str = ""
    reason: str = ""
    part: Part = Part.NONE


def plan(lab: Lab, observed: Observed, until: Until) -> list[Action]:
    """The actions that take the lab from what is observed to what is wanted; none when it is there."""
    actions: list[Action] = []
    if not observed.image:
        actions.append(Action(Do.BUILD_IMAGE, reason=f"there is no up-to-date {lab.family} node image"))
    if not observed.bubble:
        actions.append(Action(Do.START_BUBBLE, reason="the lab's namespaces do not run"))
    if any(observed.state(node.name) is State.MISSING for node in lab.nodes):
        actions.append(Action(Do.MAKE_NETWORKS, reason="new nodes need the lab's networks"))
    surplus = sorted(set(observed.machines) - {node.name for node in lab.nodes})
    actions += [Action(Do.REMOVE_NODE, name, "the description has no such node") for name in surplus]
    if observed.storage.wanted:
        actions += _for_target(observed.storage)
    for node in lab.nodes:
        actions += _for_node(lab, node, observed, until)
    return actions


def _for_target(storage: StorageSeen) -> list[Action]:
    if storage.target is State.MISSING:
        return [Action(Do.SERVE_DISKS, TARGET, "there is no target yet")]
    if not storage.machine_current:
        return [Action(Do.SERVE_DISKS, TARGET, "the target's description changed")]
    if storage.target is not State.ON:
        return [Action(Do.SERVE_DISKS, TARGET, f"the target's machine is {storage.target}")]
    if not storage.config_current:
        return [Action(Do.UPDATE_TARGET, TARGET, "the lab's disks changed")]
    return []


def _for_node(lab: Lab, node: NodeSpec, observed: Observed, until: Until) -> list[Action]:
    machine = observed.machines.get(node.name)
    part = _part(node, observed, until)
    if machine is None:
        return [Action(Do.CREATE_NODE, node.name, "it does not exist", part)]
    if machine.spec_hash != node.spec_hash(lab):
        return [
            Action(Do.REMOVE_NODE, node.name, "its description changed"),
            Action(Do.CREATE_NODE, node.name, "its description changed", part),
        ]
    if machine.state is State.OFF:
        return [Action(Do.START_NODE, node.name, "it is switched off", Part.KEEP)]
    if machine.state is State.FROZEN:
        return [Action(Do.THAW_NODE, node.name, "it is frozen", Part.KEEP)]
    member = observed.members[node.name]
    if member.silent:
        return [Action(Do.START_NODE, node.name, f"it does not answer: {member.silent}", Part.KEEP)]
    if until is Until.NODES:
        return []
    actions = []
    if not member.conf and part is not Part.NONE:
        actions.append(Action(Do.JOIN_CLUSTER, node.name, "it is in no cluster", part))
    elif member.conf and not (member.corosync and member.pacemaker):
        actions.append(Action(Do.START_CLUSTER, node.name, "its cluster daemons do not run", Part.KEEP))
    if not member.pcsd:
        actions.append(Action(Do.START_PCSD, node.name, "pcsd does not run"))
    served = observed.storage.wanted and observed.storage.target is State.ON
    if served and member.booted and (lacking := observed.storage.lacking(lab, node.name)):
        actions.append(Action(Do.LOG_IN, node.name, f"it lacks {', '.join(lacking)}"))
    return actions


def _part(node: NodeSpec, observed: Observed, until: Until) -> Part:
    """A node joins the cluster that lives, if that counts it in; without any, all form a new one.

    A cluster that a learner built differently is theirs: nobody is pushed into it.
    """
    if until is Until.NODES:
        return Part.NONE
    configured = [member for member in observed.members.values() if member.conf]
    if configured:
        return Part.JOIN if any(node.hostname in member.nodelist for member in configured) else Part.NONE
    others = [name for name in observed.machines if name != node.name]
    off = [name for name in others if observed.machines[name].state is not State.ON]
    # Machines that are off may hold a configuration that we cannot see; they come up first.
    return Part.NONE if off else Part.FIRST
