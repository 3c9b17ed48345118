"""What runs, as one document: `labctl status --json`, and the question whether the lab is well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from labctl.checks.cluster import best_view
from labctl.engine.base import Machine, State
from labctl.lab.model import Lab
from labctl.probe.facts import ClusterView, Facts, NodeFacts

LabState = Literal["up", "degraded", "nodes", "stopped", "absent"]


def status_document(
    lab: Lab, machines: Mapping[str, Machine], facts: Facts, storage: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The contract of `status --json` (DESIGN.md).

    machines: what the engine observes.  facts: of labctl.probe.gather.  storage: that part of
    the document, made by labctl.storage.  Nodes bear their short names, the cluster's part
    Pacemaker's names, which are the full ones.
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
            }
            for node in lab.nodes
        ],
        "cluster": _cluster(lab, view),
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
