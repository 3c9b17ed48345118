"""All the checks behind `labctl validate`: pure, from facts to results, every failure collected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from labctl.checks import cluster, fencing, network, nodes
from labctl.checks import storage as disks
from labctl.checks.result import CheckResult, skipped
from labctl.lab.model import Lab, NodeSpec
from labctl.probe.facts import Facts, NodeFacts, StorageFacts

Stage = Literal["nodes", "cluster", "storage", "all"]
OfNode = Callable[[NodeSpec, NodeFacts], CheckResult]

CLUSTER_OF_NODE = ("corosync.links", "corosync.members", "corosync.internal-only", "pcs.hosts")
CLUSTER_OF_LAB = ("quorum", "dc", "nodes.online", "resources.failed", "fencing.enabled", "fencing.running")
FENCING_OF_NODE = ("fencing.devices", "bmc.answers")


def validate(
    lab: Lab,
    facts: Facts,
    *,
    stage: Stage = "all",
    no_outside: str = "the way outside was not tried",
    storage: StorageFacts | None = None,
) -> list[CheckResult]:
    """Every check's result, in a fixed order: node by node, then the cluster, then fencing.

    facts: of labctl.probe.gather.gather; a lab's node without an entry is skipped.
    stage: how far the lab was brought up; what comes later is skipped with that reason.
    storage: of labctl.lab.storage.look; None counts as a lab without shared disks.
    no_outside: why the host itself has no way out; "" when it has and the probe asked for it.
    """
    results = [nodes.running(node, facts.get(node.name)) for node in lab.nodes]
    for name, check in _of_node(lab, facts, stage, no_outside).items():
        results += [_apply(name, check, node, facts) for node in lab.nodes]
    if stage == "nodes":
        why = "The lab is up to its nodes only (--until nodes); the cluster is yours to make."
        of_node = [*CLUSTER_OF_NODE, *FENCING_OF_NODE]
        results += [skipped(name, node.name, why) for name in of_node for node in lab.nodes]
        results += [skipped(name, None, why) for name in CLUSTER_OF_LAB]
        return results + _storage(lab, facts, stage, storage)
    results += [
        cluster.quorum(lab, facts),
        cluster.coordinator(lab, facts),
        cluster.online(lab, facts),
        cluster.failed_resources(lab, facts),
        fencing.enabled(lab, facts),
        *(fencing.devices(lab, facts, node) for node in lab.nodes),
        fencing.running(lab, facts),
        *(fencing.bmc(lab, facts, node) for node in lab.nodes),
    ]
    return results + _storage(lab, facts, stage, storage)


def _storage(lab: Lab, facts: Facts, stage: Stage, storage: StorageFacts | None) -> list[CheckResult]:
    if stage in ("nodes", "cluster"):
        why = f"The lab is up without its shared disks (--until {stage}); they are yours to make."
        return disks.none(lab, why)
    if storage is None or storage.driver == "none":
        why = f"The lab has no shared disks: {storage.reason if storage else 'none were looked for'}."
        return disks.none(lab, why)
    return disks.every(lab, facts, storage)


def _of_node(lab: Lab, facts: Facts, stage: Stage, no_outside: str) -> dict[str, OfNode]:
    """Check id → the check of one node that answered its probe."""
    with_cluster = stage != "nodes"
    found: dict[str, OfNode] = {
        "node.units": nodes.units,
        "daemons": lambda node, own: nodes.daemons(node, own, cluster=with_cluster),
        "names.hostname": nodes.hostname,
        "names.resolve": lambda node, own: nodes.resolve(lab, node, own),
        "time.source": lambda node, own: nodes.time_source(lab, node, own),
        "time.agree": lambda node, own: nodes.time_agree(lab, facts, node, own),
        "disk.room": nodes.disk_room,
        "network.addresses": lambda node, own: network.addresses(lab, node, own),
        "network.reachable": lambda node, own: network.reachable(facts, lab, node, own),
        "network.outside": lambda node, own: network.outside(lab, node, own, no_outside),
    }
    if with_cluster:
        found |= {
            "corosync.links": lambda node, own: network.links(lab, node, own),
            "corosync.members": lambda node, own: network.members(lab, node, own),
            "corosync.internal-only": lambda node, own: network.internal_only(lab, node, own),
            "pcs.hosts": lambda node, own: cluster.pcs_hosts(lab, node, own),
        }
    return found


def _apply(name: str, check: OfNode, node: NodeSpec, facts: Facts) -> CheckResult:
    own = facts.get(node.name)
    if isinstance(own, NodeFacts):
        return check(node, own)
    return skipped(name, node.name, f"{node.name} gives no facts, see node.running.")
