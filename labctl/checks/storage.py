"""Checks of the shared disks: target, access, sessions, devices, and that what is written is read."""

from __future__ import annotations

from labctl.checks.result import CheckResult, judged, skipped
from labctl.lab.model import Lab, NodeSpec
from labctl.probe.facts import DiskSeen, Facts, NodeFacts, StorageFacts

OF_LAB = ("storage.target", "storage.access", "storage.stranger", "storage.same", "storage.data")
OF_NODE = ("storage.session", "storage.disks")
MIB = 1024 * 1024


def target(lab: Lab, storage: StorageFacts) -> CheckResult:
    """storage.target: it answers and serves every disk in its right size."""
    check, problems = "storage.target", []
    if storage.target.trouble:
        problems.append(f"the target does not answer: {storage.target.trouble}")
    else:
        served = storage.target.luns or {}
        for disk in lab.storage.disks:
            size = served.get(disk.name)
            if size is None:
                problems.append(f"{disk.name} is not served")
            elif size != disk.size * MIB:
                problems.append(f"{disk.name} should have {disk.size} MiB and has {size / MIB:.0f}")
    good = f"{lab.storage.target} serves {', '.join(disk.name for disk in lab.storage.disks)}."
    return judged(check, None, problems, good=good, hint=_target_hint(lab))


def access(lab: Lab, storage: StorageFacts) -> CheckResult:
    """storage.access: every node's initiator may log in, nobody else; CHAP as the lab's file says."""
    problems = []
    wanted = {node.initiator: node.name for node in lab.nodes}
    seen = set(storage.target.acls)
    problems += [f"{name} ({wanted[name]}) may not log in" for name in sorted(set(wanted) - seen)]
    problems += [f"{name} may log in and is no node's" for name in sorted(seen - set(wanted))]
    if storage.target.chap != bool(lab.storage.chap):
        problems.append(f"CHAP should be {'on' if lab.storage.chap else 'off'}")
    good = f"{len(wanted)} initiators may log in{', with CHAP' if lab.storage.chap else ''}."
    return judged("storage.access", None, problems, good=good, hint=_target_hint(lab))


def session(lab: Lab, storage: StorageFacts, node: NodeSpec) -> CheckResult:
    """storage.session: the target sees the node under its own name, from its own address."""
    own = {str(leg.address) for leg in node.interfaces if leg.network == lab.storage.network}
    found = {address for name, address in storage.target.sessions if name == node.initiator}
    problems = []
    if not found:
        problems.append(f"{node.initiator} is not logged in")
    elif storage.driver == "userspace" and not found <= own:
        problems.append(f"{node.initiator} is logged in from {', '.join(sorted(found - own))}")
    hint = f"labctl exec {node.name} -- iscsiadm -m session"
    return judged("storage.session", node.name, problems, good=f"Logged in as {node.initiator}.", hint=hint)


def disks(lab: Lab, node: NodeSpec, facts: NodeFacts) -> CheckResult:
    """storage.disks: the node has every disk by its name, in its size, and can read it now."""
    problems = []
    right = {disk.name: disk.size * MIB for disk in lab.storage.disks}
    if node.mode == "vm" and sorted(right.values()) == sorted(seen.size for seen in facts.disks.values()):
        right = {name: seen.size for name, seen in facts.disks.items()}  # its kernel chose the names
    for disk in lab.storage.disks:
        seen = facts.disks.get(disk.name)
        if seen is None:
            problems.append(f"there is no /dev/{disk.name}")
        elif seen.size != right[disk.name]:
            problems.append(f"/dev/{disk.name} should have {disk.size} MiB and has {seen.size / MIB:.0f}")
        elif seen.trouble:
            problems.append(f"/dev/{disk.name} cannot be read: {seen.trouble}")
    good = f"{', '.join('/dev/' + disk.name for disk in lab.storage.disks)}: there, and readable."
    hint = f"labctl exec {node.name} -- iscsiadm -m session -P 3"
    return judged("storage.disks", node.name, problems, good=good, hint=hint)


def same(lab: Lab, facts: Facts) -> CheckResult:
    """storage.same: a name leads to the same disk on every node, by its world-wide name.

    The kernel of a virtual machine names disks as it finds them, side by side (sd(4) probes asynchronously);
    there it is enough that the same disks are there.
    """
    seen = {disk.name: _seen(lab, facts, disk.name) for disk in lab.storage.disks}
    if not any(len(found) > 1 for found in seen.values()):
        return skipped("storage.same", None, "No two nodes have a disk to compare, see storage.disks.")
    of_node: dict[str, set[str]] = {}
    for found in seen.values():
        for node, disk in found:
            of_node.setdefault(node, set()).add(disk.wwn)
    same_disks = all(disks == next(iter(of_node.values())) for disks in of_node.values())
    containers = {node.name for node in lab.nodes if node.mode == "container"}
    problems, otherwise = [], []
    for name, found in seen.items():
        nodes_of: dict[str, list[str]] = {}
        for node, disk in found:
            nodes_of.setdefault(disk.wwn, []).append(node)
        told = "; ".join(f"{wwn} on {', '.join(nodes)}" for wwn, nodes in sorted(nodes_of.items()))
        containers_agree = len({disk.wwn for node, disk in found if node in containers}) < 2
        if "" in nodes_of:
            problems.append(f"{name} has no /dev/disk/by-id/wwn- link on {', '.join(nodes_of[''])}")
        elif len(nodes_of) > 1 and same_disks and containers_agree:
            otherwise.append(f"{name} is {told}")
        elif len(nodes_of) > 1:
            problems.append(f"{name} is not the same disk everywhere: {told}")
    hint = f"labctl exec {lab.nodes[0].name} -- ls -l /dev/disk/by-id"
    good = "Every name leads to one disk, on all nodes."
    if otherwise:
        good = (
            f"The same disks on all nodes, under other names ({'; '.join(otherwise)}): use /dev/disk/by-id."
        )
    return judged("storage.same", None, problems, good=good, hint=hint)


def stranger(lab: Lab, storage: StorageFacts) -> CheckResult:
    """storage.stranger: a name that is on no list cannot log in."""
    trial = storage.trial
    if trial.untried:
        return skipped("storage.stranger", None, f"Not tried: {trial.untried}.")
    problems = [trial.stranger] if trial.stranger else []
    good = "An initiator that is on no list is sent away."
    return judged("storage.stranger", None, problems, good=good, hint=_target_hint(lab))


def data(lab: Lab, storage: StorageFacts) -> CheckResult:
    """storage.data: what one node writes another reads, on the lab's own scratch disk."""
    trial = storage.trial
    if trial.untried:
        return skipped("storage.data", None, f"Not tried: {trial.untried}.")
    problems = []
    if trial.written:
        problems.append(f"{trial.writer} cannot write: {trial.written}")
    elif trial.read:
        problems.append(f"{trial.reader} does not read what {trial.writer} wrote: {trial.read}")
    good = f"{trial.reader} reads what {trial.writer} wrote."
    return judged("storage.data", None, problems, good=good, hint=_target_hint(lab))


def none(lab: Lab, reason: str) -> list[CheckResult]:
    """All of them, skipped for one reason."""
    results = [skipped(check, node.name, reason) for check in OF_NODE for node in lab.nodes]
    return results + [skipped(check, None, reason) for check in OF_LAB]


def every(lab: Lab, facts: Facts, storage: StorageFacts) -> list[CheckResult]:
    """All checks of the shared disks."""
    results = [target(lab, storage), access(lab, storage)] if not storage.target.trouble else [
        target(lab, storage),
        skipped("storage.access", None, "The target does not answer, see storage.target."),
    ]  # fmt: skip
    for node in lab.nodes:
        own = facts.get(node.name)
        if not isinstance(own, NodeFacts):
            why = f"{node.name} gives no facts, see node.running."
            results += [skipped(check, node.name, why) for check in OF_NODE]
            continue
        if storage.target.trouble:
            why = "The target does not answer, see storage.target."
            results.append(skipped("storage.session", node.name, why))
        else:
            results.append(session(lab, storage, node))
        results.append(disks(lab, node, own))
    return [*results, same(lab, facts), stranger(lab, storage), data(lab, storage)]


def _seen(lab: Lab, facts: Facts, disk: str) -> list[tuple[str, DiskSeen]]:
    found = [(node.name, facts.get(node.name)) for node in lab.nodes]
    return [
        (name, own.disks[disk]) for name, own in found if isinstance(own, NodeFacts) and disk in own.disks
    ]


def _target_hint(lab: Lab) -> str:
    return f"labctl podman --lab {lab.name} logs target"
