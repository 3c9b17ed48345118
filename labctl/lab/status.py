"""What runs, as one document: `labctl status --json`, and the question whether the lab is well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from labctl.checks.cluster import best_view
from labctl.engine.base import Machine, State
from labctl.lab.model import Lab, NodeSpec
from labctl.probe.facts import ClusterView, Facts, NodeFacts

LabState = Literal["up", "degraded", "nodes", "stopped", "absent"]


def status_document(
    lab: Lab, machines: Mapping[str, Machine], facts: Facts, storage: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The contract of `status --json` (DESIGN.md).

    machines: what the engine observes.  facts: of labctl.probe.gather.  storage: that part of
    the document, made by labctl.storage.  Nodes bear their short names, the cluster's part
    Pacemaker's names, which are the full ones.

    A node's addresses and the cluster's name are as the lab's description plans them. What the nodes
    have of that stands beside: addresses_set (None: the node was not asked, or does not answer),
    configured (None: no node answers) and found, the name that a cluster that runs tells.
    """
    view = best_view(lab, facts)
    return {
        "lab": lab.name,
        "mode": lab.nodes[0].mode,
        "family": lab.family,
        "state": lab_state(lab, machines, facts),
        "nodes": [
            {
                "name": node.name,
                "hostname": node.hostname,
                "state": machine_state(machines, node.name).value,
                "addresses": {leg.network: str(leg.address) for leg in node.interfaces},
                "addresses_set": _addresses_set(node, machine_state(machines, node.name), facts),
            }
            for node in lab.nodes
        ],
        "cluster": _cluster(lab, view) | _cluster_found(lab, facts),
        "storage": dict(storage) if storage else {"driver": None, "disks": []},
    }


def lab_state(lab: Lab, machines: Mapping[str, Machine], facts: Facts) -> LabState:
    """absent: no machine.  stopped: none on.  nodes: all on, none a cluster member by its files.
    up: all on, answering and online in one quorate cluster with a DC.  degraded: all else.
    """
    states = [machine_state(machines, node.name) for node in lab.nodes]
    if all(state is State.MISSING for state in states):
        return "absent"
    if all(state in {State.MISSING, State.OFF} for state in states):
        return "stopped"
    own = [facts.get(node.name) for node in lab.nodes]
    known = [fact for fact in own if isinstance(fact, NodeFacts)]
    if len(known) < len(own) or any(state is not State.ON for state in states):
        return "degraded"
    if not any(fact.corosync_conf or fact.cluster for fact in known):
        return "nodes"
    view = best_view(lab, facts)
    answered = all(fact.cluster is not None for fact in known)
    return "up" if view is not None and answered and _well(lab, view) else "degraded"


def machine_state(machines: Mapping[str, Machine], name: str) -> State:
    """A machine's state; MISSING when the engine does not know it."""
    return machines[name].state if name in machines else State.MISSING


def _addresses_set(node: NodeSpec, state: State, facts: Facts) -> dict[str, bool | None]:
    """Whether the node has each of its addresses, by network."""
    own = facts.get(node.name)
    if state is not State.ON or not isinstance(own, NodeFacts):
        unknown = None if state in {State.ON, State.FROZEN} else False
        return {leg.network: unknown for leg in node.interfaces}
    return {
        leg.network: leg.name in own.legs
        and str(leg.address) in {address.partition("/")[0] for address in own.legs[leg.name].addresses}
        for leg in node.interfaces
    }


def _cluster_found(lab: Lab, facts: Facts) -> dict[str, Any]:
    known = [fact for node in lab.nodes if isinstance(fact := facts.get(node.name), NodeFacts)]
    configured = any(fact.corosync_conf or fact.cluster for fact in known) if known else None
    by_corosync = [fact.corosync.cluster_name for fact in known if fact.corosync]
    by_pacemaker = [fact.fencing.cluster_name for fact in known if fact.cluster and fact.fencing]
    return {"configured": configured, "found": next(filter(None, by_corosync + by_pacemaker), None)}


def _well(lab: Lab, view: ClusterView) -> bool:
    well = {node.name for node in view.nodes if node.online and not (node.unclean or node.pending)}
    return bool(view.quorate and view.dc) and all(node.hostname in well for node in lab.nodes)


def _cluster(lab: Lab, view: ClusterView | None) -> dict[str, Any]:
    online = list(view.online) if view else []
    return {
        "name": lab.cluster.name,
        "quorate": view.quorate if view else False,
        "dc": (view.dc or None) if view else None,
        "online": online,
        "offline": [node.hostname for node in lab.nodes if node.hostname not in online],
        "fencing": "enabled" if view and view.stonith else "disabled",
        "resources": [
            {
                "id": resource.id,
                "agent": resource.agent,
                "role": resource.role,
                "nodes": list(resource.nodes),
                "managed": resource.managed,
                "failed": resource.failed,
            }
            for resource in (view.resources if view else ())
        ],
    }
