"""Checks of each node by itself: it runs, its units, names, time and disk."""

from __future__ import annotations

from labctl.checks.result import CheckResult, failed, judged, passed, skipped
from labctl.lab.model import Lab, NodeSpec
from labctl.probe.facts import Facts, NodeFacts, ProbeFailure, TimeSource

NODE_DAEMONS = (("sshd", "ssh"), ("chronyd", "chrony"))
CLUSTER_DAEMONS = (("corosync",), ("pacemaker",), ("pcsd",))
# These come at a boot, by themselves or by what needs them (systemctl(1), is-enabled): "enabled-runtime" is
# gone by then, and "linked" makes a unit known, no more.
ENABLED = frozenset({"enabled", "alias", "static", "generated"})
LEAST_ROOM = 512 * 1024 * 1024
# Nodes and BMC logs are compared by the second, and TLS and tokens bear no more either.
MOST_APART = 1.0
# chronyd's iburst needs a few seconds, four exchanges two seconds apart, after the server's own start.
CHRONY_STARTS = 20.0


def running(node: NodeSpec, facts: NodeFacts | ProbeFailure | None) -> CheckResult:
    """node.running: the node answered its probe."""
    if isinstance(facts, NodeFacts):
        return passed("node.running", node.name, f"{node.hostname} is up for {facts.uptime:.0f} s.")
    if facts is None:
        return skipped("node.running", node.name, f"{node.name} was not looked at.")
    hint = f"labctl logs {node.name}" if facts.state == "on" else "labctl up"
    return failed("node.running", node.name, f"{node.name} should run, but {facts.reason}.", hint)


def units(node: NodeSpec, facts: NodeFacts) -> CheckResult:
    """node.units: no systemd unit has failed."""
    broken = [f"{unit} has failed" for unit in facts.failed_units]
    hint = f"labctl exec {node.name} -- systemctl status {' '.join(facts.failed_units)}"
    return judged("node.units", node.name, broken, good="No unit has failed.", hint=hint)


def daemons(node: NodeSpec, facts: NodeFacts, *, cluster: bool) -> CheckResult:
    """daemons: all active, and enabled at boot; those of the cluster only where one is wanted."""
    wanted = [*NODE_DAEMONS, *(CLUSTER_DAEMONS if cluster else ())]
    problems, culprit = [], ""
    for names in wanted:
        unit = facts.unit(*names)
        if unit is None:
            problems.append(f"{names[0]} is not installed")
        elif unit.active != "active":
            problems.append(f"{unit.name} should be active and is {unit.active}")
        elif unit.enabled not in ENABLED:
            problems.append(f"{unit.name} runs, but is {unit.enabled or 'not enabled'} at boot")
        else:
            continue
        culprit = culprit or (unit.name if unit else names[0])
    good = f"{', '.join(names[0] for names in wanted)}: active and enabled."
    hint = f"labctl exec {node.name} -- systemctl enable --now {culprit}"
    return judged("daemons", node.name, problems, good=good, hint=hint)


def hostname(node: NodeSpec, facts: NodeFacts) -> CheckResult:
    """names.hostname: the node bears its full name, which is its name in the cluster."""
    problems = []
    if facts.hostname != node.hostname:
        problems.append(f"the host name should be {node.hostname} and is {facts.hostname}")
    hint = f"labctl exec {node.name} -- hostnamectl set-hostname {node.hostname}"
    return judged("names.hostname", node.name, problems, good=f"It is {node.hostname}.", hint=hint)


def resolve(lab: Lab, node: NodeSpec, facts: NodeFacts) -> CheckResult:
    """names.resolve: each name leads to its node's address on the first cluster link, there alone."""
    problems = []
    for other in lab.nodes:
        right = str(other.address(lab.cluster.links[0]))
        for name in (other.hostname, other.name, *other.aliases):
            found = facts.names.get(name, ())
            if found != (right,):
                problems.append(f"{name} should be {right} and is {', '.join(found) or 'unknown'}")
    count = sum(2 + len(other.aliases) for other in lab.nodes)
    hint = f"labctl exec {node.name} -- cat /etc/hosts"
    return judged("names.resolve", node.name, problems, good=f"All {count} names resolve.", hint=hint)


def time_source(lab: Lab, node: NodeSpec, facts: NodeFacts) -> CheckResult:
    """time.source: the lab's server keeps its own clock, every other node follows the server."""
    check, hint = "time.source", f"labctl exec {node.name} -- chronyc sources"
    daemon, server = facts.unit("chronyd", "chrony"), lab.node(lab.time.server)
    if daemon is None or daemon.active != "active" or facts.tracking is None:
        return failed(check, node.name, "chronyd does not answer.", f"labctl logs {node.name}")
    if node.name == server.name:
        stratum = facts.tracking.stratum
        if 0 < stratum < 16:
            return passed(check, node.name, f"It serves time to the lab (stratum {stratum}).")
        return failed(check, node.name, "It should serve time to the lab, but has none to serve.", hint)
    addresses = {str(leg.address) for leg in server.interfaces}
    source = next((source for source in facts.sources if source.address in addresses), None)
    if source is not None and source.reach > 0:
        return passed(check, node.name, f"It hears {server.hostname} ({_choice(source)}).")
    if daemon.age < CHRONY_STARTS:
        return skipped(check, node.name, f"chronyd is starting ({daemon.age:.0f} s old), too early to judge.")
    found = "has not heard it" if source else f"is not told of it ({len(facts.sources)} other sources)"
    return failed(check, node.name, f"chronyd should follow {server.hostname} and {found}.", hint)


def _choice(source: TimeSource) -> str:
    return "selected" if source.state == "*" else f"not selected yet, state {source.state}"


def time_agree(lab: Lab, facts: Facts, node: NodeSpec, own: NodeFacts) -> CheckResult:
    """time.agree: the clock is not more than a second from the time server's.

    Each clock is known to lie within an interval (NodeFacts.clock); only what lies outside any
    doubt counts.  Without the server's, labctl's own clock is the measure.
    """
    server = facts.get(lab.time.server)
    base, whose = (server.clock, lab.time.server) if isinstance(server, NodeFacts) else ((0.0, 0.0), "labctl")
    ahead, behind = own.clock[0] - base[1], base[0] - own.clock[1]
    apart = max(ahead, behind, 0.0)
    doubt = (own.clock[1] - own.clock[0] + base[1] - base[0]) / 2
    problems = []
    if apart > MOST_APART:
        way = "ahead of" if ahead > behind else "behind"
        problems.append(f"the clock is at least {apart:.1f} s {way} that of {whose}")
    good = f"No difference to {whose}'s clock beyond the measure's {max(apart, doubt):.2f} s."
    hint = f"labctl exec {node.name} -- chronyc makestep"
    return judged("time.agree", node.name, problems, good=good, hint=hint)


def disk_room(node: NodeSpec, facts: NodeFacts) -> CheckResult:
    """disk.room: half a gibibyte is free, enough for logs and the cluster's own files."""
    free = f"{facts.disk_free / 2**30:.1f} GiB"
    problems = [f"only {free} are free on /, 0.5 are wanted"] if facts.disk_free < LEAST_ROOM else []
    hint = "labctl doctor" if node.mode == "container" else f"labctl exec {node.name} -- df -h /"
    return judged("disk.room", node.name, problems, good=f"{free} are free on /.", hint=hint)
