"""Checks of fencing: enabled, a device for each node that another runs, BMCs that answer."""

from __future__ import annotations

from labctl.checks.cluster import best_view
from labctl.checks.result import CheckResult, failed, judged, passed, skipped
from labctl.lab.model import Lab, NodeSpec
from labctl.probe.facts import Facts, FenceDevice, FenceSetup, NodeFacts, ProbeFailure

WITHOUT = "The lab's description leaves fencing out."


def setup(lab: Lab, facts: Facts) -> tuple[str, FenceSetup] | None:
    """(node, its CIB's fencing part) of the DC, else of the first node that has one."""
    found = [
        (node.name, fact.fencing, fact.cluster is not None and fact.cluster.dc == node.hostname)
        for node in lab.nodes
        if isinstance(fact := facts.get(node.name), NodeFacts) and fact.fencing is not None
    ]
    first = sorted(found, key=lambda item: not item[2])
    return (first[0][0], first[0][1]) if first else None


def enabled(lab: Lab, facts: Facts) -> CheckResult:
    """fencing.enabled: the cluster property stonith-enabled is true."""
    if not lab.fencing.enabled:
        return skipped("fencing.enabled", None, WITHOUT)
    have = setup(lab, facts)
    if have is None:
        return failed("fencing.enabled", None, "No node shows its configuration (CIB).", "labctl up")
    node, cib = have
    problems = [] if cib.enabled else ["stonith-enabled should be true and is false"]
    hint = f"labctl exec {node} -- pcs property set stonith-enabled=true"
    return judged("fencing.enabled", None, problems, good="stonith-enabled is true.", hint=hint)


def devices(lab: Lab, facts: Facts, node: NodeSpec) -> CheckResult:
    """fencing.devices: the node has a topology level whose devices cover it and never run on it."""
    check = "fencing.devices"
    if not lab.fencing.enabled:
        return skipped(check, node.name, WITHOUT)
    have = setup(lab, facts)
    if have is None:
        return skipped(check, node.name, "No node shows its configuration (CIB).")
    asked, cib = have
    hint = f"labctl exec {asked} -- pcs stonith config"
    known = {device.id: device for device in cib.devices}
    levels = cib.topology.get(node.hostname, ())
    # A device without a list of hosts asks its agent for them, so it may cover any.
    if not any(not device.hosts or node.hostname in device.hosts for device in cib.devices):
        return failed(check, node.name, f"No fence device covers {node.hostname}.", hint)
    if not levels:
        found = f"The fencing topology has no level for {node.hostname}."
        return failed(check, node.name, found, f"labctl exec {asked} -- pcs stonith level")
    problems = [
        problem
        for level in levels
        for name in level
        for problem in _device_problems(node, name, known.get(name))
    ]
    good = f"{', '.join(name for level in levels for name in level)} fences it from another node."
    return judged(check, node.name, problems, good=good, hint=hint)


def _device_problems(node: NodeSpec, name: str, device: FenceDevice | None) -> list[str]:
    if device is None:
        return [f"the topology names {name}, which does not exist"]
    problems = []
    if device.hosts and node.hostname not in device.hosts:
        problems.append(f"{name} does not cover {node.hostname}")
    if len(device.hosts) == 1 and node.hostname not in device.banned:
        problems.append(f"{name} may run on {node.name} itself")
    return problems


def running(lab: Lab, facts: Facts) -> CheckResult:
    """fencing.running: each configured device is started, on a node that it is not there to fence."""
    check = "fencing.running"
    if not lab.fencing.enabled:
        return skipped(check, None, WITHOUT)
    view, have = best_view(lab, facts), setup(lab, facts)
    if view is None or have is None:
        return skipped(check, None, "Pacemaker answers on no node.")
    asked, cib = have
    state = {resource.id: resource for resource in view.resources}
    problems = []
    for device in cib.devices:
        found = state.get(device.id)
        if found is None or found.role != "Started" or not found.nodes:
            role = found.role if found else "unknown to Pacemaker"
            problems.append(f"{device.id} should be started and is {role}")
        elif found.failed:
            problems.append(f"{device.id} has failed")
        elif len(device.hosts) == 1 and device.hosts[0] in found.nodes:
            problems.append(f"{device.id} runs on {device.hosts[0]}, which it is to fence")
    if not cib.devices:
        problems.append("there is no fence device")
    problems += [f"{target} is being fenced" for target in view.fencing]
    hint = f"labctl exec {asked} -- pcs stonith status"
    return judged(check, None, problems, good=f"{len(cib.devices)} fence devices are started.", hint=hint)


def bmc(lab: Lab, facts: Facts, node: NodeSpec) -> CheckResult:
    """bmc.answers: the node's BMC answers another node and tells the power state that is true."""
    check = "bmc.answers"
    if not lab.fencing.enabled:
        return skipped(check, node.name, WITHOUT)
    askers = [
        (other.name, fact.power[node.name])
        for other in lab.nodes
        if isinstance(fact := facts.get(other.name), NodeFacts) and node.name in fact.power
    ]
    if not askers:
        return skipped(check, node.name, "No other node runs that could ask it.")
    own = facts.get(node.name)
    state = own.state if isinstance(own, ProbeFailure) else "on" if own is not None else ""
    wanted = {"on": "on", "frozen": "on", "off": "off", "missing": "off"}.get(state, "")
    where = f"{lab.bmc_address}:{node.bmc_port}"
    for asker, answer in askers:
        if answer not in {"on", "off"}:
            found = f"The BMC of {node.name} at {where} gives {asker} {answer}."
            return failed(check, node.name, found, "labctl up")
        if wanted and answer != wanted:
            found = f"The BMC of {node.name} at {where} says {answer}, but the node is {wanted}."
            return failed(check, node.name, found, "labctl up")
    return passed(check, node.name, f"{where} answers {askers[0][0]}: power is {askers[0][1]}.")
