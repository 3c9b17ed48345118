"""Checks of the cluster as a whole: quorum, DC, members, pcs, failed actions."""

from __future__ import annotations

from labctl.checks.result import CheckResult, failed, judged, skipped
from labctl.lab.model import Lab, NodeSpec
from labctl.probe.facts import ClusterView, Facts, NodeFacts

NO_CLUSTER = "Pacemaker answers on no node."


def views(lab: Lab, facts: Facts) -> dict[str, ClusterView]:
    """Node → what its Pacemaker sees, of those that see anything."""
    found = ((node.name, facts.get(node.name)) for node in lab.nodes)
    return {name: fact.cluster for name, fact in found if isinstance(fact, NodeFacts) and fact.cluster}


def best_view(lab: Lab, facts: Facts) -> ClusterView | None:
    """The DC's view, else one that has quorum, else any: the one to believe."""
    seen = views(lab, facts)
    ranked = sorted(
        seen.items(),
        key=lambda item: (lab.node(item[0]).hostname == item[1].dc, item[1].quorate, bool(item[1].dc)),
        reverse=True,
    )
    return ranked[0][1] if ranked else None


def quorum(lab: Lab, facts: Facts) -> CheckResult:
    """quorum: every node whose corosync runs has it, and one at least runs."""
    told = {
        node.name: fact.corosync
        for node in lab.nodes
        if isinstance(fact := facts.get(node.name), NodeFacts) and fact.corosync is not None
    }
    if not told:
        return failed("quorum", None, "corosync answers on no node.", "labctl up")
    problems = [
        f"{name} has no quorum ({found.total_votes} of {found.expected_votes} votes)"
        for name, found in told.items()
        if not found.quorate
    ]
    first = next(name for name, found in told.items() if not problems or not found.quorate)
    votes = max(found.total_votes for found in told.values())
    good = f"Quorate, with {votes} of {max(found.expected_votes for found in told.values())} votes."
    hint = f"labctl exec {first} -- corosync-quorumtool -s"
    return judged("quorum", None, problems, good=good, hint=hint)


def coordinator(lab: Lab, facts: Facts) -> CheckResult:
    """dc: there is one, and all running nodes name the same; one whose Pacemaker is mute does not."""
    seen = views(lab, facts)
    if not seen:
        return failed("dc", None, NO_CLUSTER, "labctl up")
    named = {name: view.dc for name, view in seen.items()}
    problems = [
        f"Pacemaker does not answer on {node.name} ({fact.silent.get('crm_mon', 'crm_mon says nothing')})"
        for node in lab.nodes
        if isinstance(fact := facts.get(node.name), NodeFacts) and fact.cluster is None
    ]
    if len({dc for dc in named.values() if dc}) > 1:
        told = ", ".join(f"{name} names {dc or 'none'}" for name, dc in named.items())
        problems.append(f"the nodes disagree: {told}")
    elif "" in named.values():
        problems += [f"{name} knows no DC" for name, dc in named.items() if not dc]
    hint = f"labctl exec {next(iter(seen))} -- crmadmin -D"
    return judged("dc", None, problems, good=f"{next(iter(named.values()))} is the DC.", hint=hint)


def online(lab: Lab, facts: Facts) -> CheckResult:
    """nodes.online: each node is online, clean, and neither standby nor in maintenance."""
    view = best_view(lab, facts)
    if view is None:
        return failed("nodes.online", None, NO_CLUSTER, "labctl up")
    known = {node.name: node for node in view.nodes}
    problems, hint = [], f"labctl exec {_any(lab, facts)} -- pcs status nodes"
    for spec in lab.nodes:
        node = known.get(spec.hostname)
        if node is None:
            problems.append(f"the cluster does not know {spec.hostname}")
            continue
        states = {
            "unclean": node.unclean,
            "pending": node.pending,
            "offline": not node.online,
            "standby": node.standby,
            "in maintenance": node.maintenance,
        }
        found = [word for word, so in states.items() if so]
        if found:
            problems.append(f"{spec.hostname} should be online and is {', '.join(found)}")
        if found == ["standby"]:
            hint = f"labctl exec {spec.name} -- pcs node unstandby {spec.hostname}"
    if view.maintenance:
        problems.append("the whole cluster is in maintenance mode")
    return judged("nodes.online", None, problems, good=f"All {len(lab.nodes)} nodes are online.", hint=hint)


def failed_resources(lab: Lab, facts: Facts) -> CheckResult:
    """resources.failed: no action has failed, and no resource is failed or blocked."""
    view = best_view(lab, facts)
    if view is None:
        return skipped("resources.failed", None, NO_CLUSTER)
    problems = [
        f"{action.task} of {action.resource} failed on {action.node} ({action.reason or action.status})"
        for action in view.failures
    ]
    told = {action.resource for action in view.failures}
    for resource in view.resources:
        words = [word for word, so in {"failed": resource.failed, "blocked": resource.blocked}.items() if so]
        if words and resource.id not in told:
            problems.append(f"{resource.id} is {' and '.join(words)}")
    hint = f"labctl exec {_any(lab, facts)} -- pcs resource cleanup"
    good = f"{len(view.resources)} resources, no failed action."
    return judged("resources.failed", None, problems, good=good, hint=hint)


def pcs_hosts(lab: Lab, node: NodeSpec, facts: NodeFacts) -> CheckResult:
    """pcs.hosts: the node's pcs knows, and has a token for, every node of the lab."""
    known = set(facts.pcs_hosts or ())
    missing = [other.hostname for other in lab.nodes if other.hostname not in known]
    problems = [f"pcs does not know {', '.join(missing)}"] if missing else []
    names = " ".join(other.hostname for other in lab.nodes)
    hint = f"labctl exec {node.name} -- pcs host auth -u hacluster {names}"
    return judged("pcs.hosts", node.name, problems, good=f"pcs knows all {len(lab.nodes)} hosts.", hint=hint)


def _any(lab: Lab, facts: Facts) -> str:
    return next(iter(views(lab, facts)), lab.nodes[0].name)
