"""Checks of the networks: addresses, reachability, the way outside, corosync's links."""

from __future__ import annotations

from labctl.checks.result import CheckResult, failed, judged, passed, skipped
from labctl.lab.model import Lab, NodeSpec
from labctl.probe.facts import Facts, NodeFacts


def addresses(lab: Lab, node: NodeSpec, facts: NodeFacts) -> CheckResult:
    """network.addresses: each interface is up and bears its address with the subnet's prefix."""
    problems = []
    for wanted in node.interfaces:
        right = f"{wanted.address}/{lab.network(wanted.network).subnet.prefixlen}"
        leg = facts.legs.get(wanted.name)
        if leg is None:
            problems.append(f"{wanted.name} ({wanted.network}) is missing")
        elif not leg.up:
            problems.append(f"{wanted.name} ({wanted.network}) is down")
        elif right not in leg.addresses:
            found = ", ".join(leg.addresses) or "no address"
            problems.append(f"{wanted.name} ({wanted.network}) should have {right} and has {found}")
    good = ", ".join(f"{leg.name} {leg.address}" for leg in node.interfaces) + "."
    hint = f"labctl exec {node.name} -- ip -br address"
    return judged("network.addresses", node.name, problems, good=good, hint=hint)


def reachable(facts: Facts, lab: Lab, node: NodeSpec, own: NodeFacts) -> CheckResult:
    """network.reachable: every running peer answers in every shared network.

    A node that does not run fails node.running; it is not counted here a second time.
    """
    shared = {leg.network for leg in node.interfaces}
    peers = [other for other in lab.nodes if other.name != node.name]
    running = [other for other in peers if isinstance(facts.get(other.name), NodeFacts)]
    targets = [(other, leg) for other in running for leg in other.interfaces if leg.network in shared]
    if not targets:
        return skipped("network.reachable", node.name, "No other node runs.")
    if not own.reach:
        return skipped("network.reachable", node.name, "The node may not send echo requests.")
    mute = [
        f"{other.name} does not answer on {leg.network} ({leg.address})"
        for other, leg in targets
        if not own.reach.get(str(leg.address), False)
    ]
    first = next((leg.address for _, leg in targets if not own.reach.get(str(leg.address), False)), "")
    good = f"{len(running)} other nodes answer on {len(shared)} networks."
    hint = f"labctl exec {node.name} -- ping -c1 {first}"
    return judged("network.reachable", node.name, mute, good=good, hint=hint)


def outside(lab: Lab, node: NodeSpec, facts: NodeFacts, why_not: str) -> CheckResult:
    """network.outside: where the host has a way out, so has the node. why_not: why the host has none."""
    check = "network.outside"
    if why_not:
        return skipped(check, node.name, f"Nothing to expect: {why_not}.")
    if all(lab.network(leg.network).internal for leg in node.interfaces):
        return skipped(check, node.name, "All its networks are internal ones.")
    hint = f"labctl exec {node.name} -- ip route"
    if not facts.gateway:
        return failed(check, node.name, "The node has no default route, though the host has one.", hint)
    if facts.outside is None:
        return skipped(check, node.name, f"Not tried; the default route leads to {facts.gateway}.")
    if facts.outside:
        return passed(check, node.name, f"A name server outside answers, by way of {facts.gateway}.")
    found = "A name server answers the host, but not the node."
    return failed(check, node.name, found, f"labctl exec {node.name} -- cat /etc/resolv.conf")


def links(lab: Lab, node: NodeSpec, facts: NodeFacts) -> CheckResult:
    """corosync.links: every link of every other member is connected."""
    hint = f"labctl exec {node.name} -- corosync-cfgtool -s"
    if facts.corosync is None or not facts.corosync.links:
        return failed("corosync.links", node.name, "corosync does not answer.", f"labctl logs {node.name}")
    names = {number: name for number, (name, _) in facts.corosync.nodelist.items()}
    problems = [
        f"link {link.number} to {names.get(peer, f'node {peer}')} is {state}"
        for link in facts.corosync.links
        for peer, state in link.peers.items()
        if state not in {"connected", "localhost"}
    ]
    have, want = len(facts.corosync.links), len(lab.cluster.links)
    if have < want:
        problems.append(f"{want} links are described and corosync has {have}")
    good = f"All peers are connected on {have} link{'s' if have > 1 else ''}."
    return judged("corosync.links", node.name, problems, good=good, hint=hint)


def members(lab: Lab, node: NodeSpec, facts: NodeFacts) -> CheckResult:
    """corosync.members: the membership is the lab's nodes, all of them and no other."""
    if facts.corosync is None:
        return failed("corosync.members", node.name, "corosync does not answer.", f"labctl logs {node.name}")
    wanted, found = {other.hostname for other in lab.nodes}, set(facts.corosync.members.values())
    problems = [f"{name} is not a member" for name in sorted(wanted - found)]
    problems += [f"{name} is a member and not in the lab's description" for name in sorted(found - wanted)]
    hint = f"labctl exec {node.name} -- corosync-quorumtool -s"
    good = f"All {len(wanted)} nodes are members."
    return judged("corosync.members", node.name, problems, good=good, hint=hint)


def internal_only(lab: Lab, node: NodeSpec, facts: NodeFacts) -> CheckResult:
    """corosync.internal-only: corosync is bound to the described networks' addresses and no others."""
    if facts.corosync is None or not facts.corosync.links:
        found = "corosync does not answer."
        return failed("corosync.internal-only", node.name, found, f"labctl logs {node.name}")
    wanted = {number: str(node.address(name)) for number, name in enumerate(lab.cluster.links)}
    problems = [
        f"link {link.number} should use {wanted.get(link.number, 'nothing')} and uses {link.address}"
        for link in facts.corosync.links
        if link.address != wanted.get(link.number)
    ]
    good = f"corosync uses {', '.join(lab.cluster.links)} only."
    hint = f"labctl exec {node.name} -- cat /etc/corosync/corosync.conf"
    return judged("corosync.internal-only", node.name, problems, good=good, hint=hint)
