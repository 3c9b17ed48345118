"""Checks judged from the probe's facts alone: pure, every problem collected, in the learner's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from labctl.checks.cluster import views
from labctl.checks.nodes import ENABLED
from labctl.checks.result import CheckResult, Status
from labctl.course.kinds import (
    Address,
    Base,
    Cluster,
    FromFacts,
    Hostname,
    Links,
    PcsHosts,
    Resolve,
    TimeSource,
    UnitState,
)
from labctl.lab.model import Lab, NodeSpec
from labctl.places import lab_flag
from labctl.probe.facts import ClusterNode, ClusterView, Facts, NodeFacts, ProbeFailure
from labctl.words.errors import reworded
from labctl.words.lang import Lang
from labctl.words.phrases import say

MOST_TOLD = 4
SWITCHED_OFF = "it is switched off"  # as labctl.probe.gather says it


@dataclass(frozen=True)
class Scene:
    """What judging needs beside the check.

    nodes: those that the exercise is about.  units: logical names to the family's unit names.
    pace: how much longer its machines may take (Engine.pace).
    """

    lab: Lab
    nodes: tuple[str, ...]
    facts: Facts
    lang: Lang
    units: Mapping[str, str]
    pace: float = 1.0

    def say(self, key: str, **words: object) -> str:
        return say(self.lang, key, **words)

    def targets(self, check: Base) -> tuple[str, ...]:
        return self.nodes if check.on in (None, ("all",)) else check.on or ()


def result(scene: Scene, check: Base, node: str | None, problems: list[str]) -> CheckResult:
    """Passed with the point, or failed with the point and all that was found."""
    point = check.point.of(scene.lang)
    if not problems:
        return CheckResult(check.id, node, Status.PASSED, point)
    look = check.look.replace("{node}", node or scene.targets(check)[0])
    hint = of_lab(scene.lab.name, "labctl up" if _is_off(scene, node) else look)
    told = [problem.rstrip(".") for problem in problems[:MOST_TOLD]]
    if more := len(problems) - len(told):
        told.append(scene.say("more", count=more))
    return CheckResult(
        check.id, node, Status.FAILED, f"{point.rstrip('.')}: {'; '.join(told)}.".replace("?.", "?"), hint
    )


def of_lab(lab: str, command: str) -> str:
    """A labctl command with the option that names the lab, unless that is the default one."""
    if not command.startswith("labctl ") or command.endswith("--help"):  # a group has no --lab of its own
        return command
    before, dashes, after = command.partition(" -- ")
    return f"{before}{lab_flag(lab)}{dashes}{after}"


def silent(scene: Scene, node: str) -> str:
    """Why nothing is known of a node, "" when it answered."""
    facts = scene.facts.get(node)
    if isinstance(facts, NodeFacts):
        return ""
    reason = facts.reason if isinstance(facts, ProbeFailure) else scene.say("unknown")
    return scene.say("silent", node=node, reason=reworded(scene.lang, reason))


def _is_off(scene: Scene, node: str | None) -> bool:
    """Whether looking into a node is in vain: it has to be switched on first."""
    facts = scene.facts.get(node) if node else None
    return isinstance(facts, ProbeFailure) and facts.reason == SWITCHED_OFF


def judge(scene: Scene, check: FromFacts) -> list[CheckResult]:
    """The results of one check: one for each node, or one for the lab (node None)."""
    if isinstance(check, Cluster):
        return [result(scene, check, None, list(_cluster(scene, check)))]
    results = []
    for name in scene.targets(check):
        facts = scene.facts.get(name)
        problems = (
            list(_of_node(scene, check, scene.lab.node(name), facts))
            if isinstance(facts, NodeFacts)
            else [silent(scene, name)]
        )
        results.append(result(scene, check, name, problems))
    return results


def _of_node(scene: Scene, check: FromFacts, node: NodeSpec, facts: NodeFacts) -> Iterator[str]:
    if isinstance(check, Hostname):
        if facts.hostname != node.hostname:
            what = scene.say("hostname")
            yield scene.say("should", what=what, right=node.hostname, found=facts.hostname)
    elif isinstance(check, Resolve):
        yield from _resolve(scene, check, node, facts)
    elif isinstance(check, Address):
        yield from _address(scene, check, node, facts)
    elif isinstance(check, UnitState):
        yield from _units(scene, check, facts)
    elif isinstance(check, TimeSource):
        yield from _time(scene, check, facts)
    elif isinstance(check, PcsHosts):
        wanted = [scene.lab.node(name).hostname for name in check.hosts]
        missing = [name for name in wanted if name not in (facts.pcs_hosts or ())]
        if missing:
            found = ", ".join(facts.pcs_hosts or ())
            yield scene.say("pcs-knows" if found else "pcs-unknown", names=", ".join(missing), found=found)
    elif isinstance(check, Links):
        yield from _links(scene, check, node, facts)


def _resolve(scene: Scene, check: Resolve, node: NodeSpec, facts: NodeFacts) -> Iterator[str]:
    network = scene.lab.cluster.links[0]
    for name in scene.nodes:
        other = scene.lab.node(name)
        right = str(other.address(network))
        for word in (other.hostname, other.name, *other.aliases):
            found = facts.names.get(word, ())
            if found != (right,):
                key = "resolves" if found else "resolves-not"
                yield scene.say(key, what=word, right=right, found=", ".join(found))
        if check.reach and other.name != node.name and not facts.reach.get(right, False):
            yield scene.say("no-echo", name=other.name, address=right)


def _address(scene: Scene, check: Address, node: NodeSpec, facts: NodeFacts) -> Iterator[str]:
    for wanted in node.interfaces:
        if wanted.network not in check.networks:
            continue
        right = f"{wanted.address}/{scene.lab.network(wanted.network).subnet.prefixlen}"
        leg = facts.legs.get(wanted.name)
        if leg is None:
            yield scene.say("no-interface", name=wanted.name)
        elif not leg.up:
            yield scene.say("interface-down", name=wanted.name)
        elif right not in leg.addresses:
            key = "should" if leg.addresses else "no-address"
            yield scene.say(key, what=wanted.name, right=right, found=", ".join(leg.addresses))


def _units(scene: Scene, check: UnitState, facts: NodeFacts) -> Iterator[str]:
    for logical in check.units:
        name = scene.units.get(logical, logical).removesuffix(".service")
        unit = facts.units.get(name)
        if unit is None:
            yield scene.say("no-unit" if facts.units else "units-unread", unit=name)
            continue
        if check.active is not None and (unit.active == "active") is not check.active:
            right = "active" if check.active else "inactive"
            yield scene.say("unit-state", unit=name, right=right, found=unit.active)
        if check.enabled is not None and (unit.enabled in ENABLED) is not check.enabled:
            right = "enabled" if check.enabled else "disabled"
            yield scene.say("unit-boot", unit=name, right=right, found=unit.enabled or "disabled")


def _time(scene: Scene, check: TimeSource, facts: NodeFacts) -> Iterator[str]:
    daemon, server = facts.unit("chronyd", "chrony"), scene.lab.node(check.server)
    if daemon is None or daemon.active != "active" or facts.tracking is None:
        yield scene.say("no-chrony")
        return
    # A time server answers in the cluster's network only (labctl.cluster.files.chrony_conf).
    address = str(server.address(scene.lab.cluster.links[0]))
    source = next((source for source in facts.sources if source.address == address), None)
    if source is None:
        found = ", ".join(other.address for other in facts.sources) or scene.say("nothing")
        yield scene.say("no-source", server=server.hostname, address=address, found=found)
    elif source.state != "*":
        key = "no-answer-yet" if source.state == "?" else "not-selected"
        yield scene.say(key, server=server.hostname, found=source.state)


def _links(scene: Scene, check: Links, node: NodeSpec, facts: NodeFacts) -> Iterator[str]:
    if facts.corosync is None or not facts.corosync.links:
        yield scene.say("no-corosync")
        return
    found = {link.number: link.address for link in facts.corosync.links}
    for number, network in enumerate(check.networks):
        right = str(node.address(network))
        if found.get(number) != right:
            told = found.get(number) or scene.say("nothing")
            yield scene.say("should", what=scene.say("link", number=number), right=right, found=told)
    for number, address in found.items():
        if number >= len(check.networks):
            yield scene.say("link-more", number=number, found=address)


def _cluster(scene: Scene, check: Cluster) -> Iterator[str]:
    for name in check.members:
        if why := silent(scene, name):
            yield why
    seen = {name: view for name, view in views(scene.lab, scene.facts).items() if name in check.members}
    if not seen:
        yield scene.say("no-cluster", names=", ".join(check.members))
        return
    view = best(scene.lab, seen)
    yield from _cluster_name(scene, check)
    if not view.quorate:
        yield scene.say("no-quorum")
    if not view.dc:
        yield scene.say("no-dc")
    dcs = sorted({one.dc for one in seen.values() if one.dc})
    if len(dcs) > 1:
        yield scene.say("two-dcs", names=", ".join(dcs))
    known = {node.name: node for node in view.nodes}
    wanted = [scene.lab.node(name).hostname for name in check.members]
    for name in wanted:
        node = known.pop(name, None)
        short = name.partition(".")[0]
        if node is None and short in known:
            del known[short]
            yield scene.say("short-member", name=name, short=short)
        elif node is None:
            yield scene.say("not-member", name=name)
        elif state := _trouble(node):
            yield scene.say("not-online", name=name, found=state)
    for name in known:
        yield scene.say("too-many", name=name)


def _cluster_name(scene: Scene, check: Cluster) -> Iterator[str]:
    if check.name is not None:
        own = [
            fact.corosync for name in check.members if isinstance(fact := scene.facts.get(name), NodeFacts)
        ]
        names = sorted({one.cluster_name for one in own if one is not None and one.cluster_name})
        if names != [check.name]:
            told = ", ".join(names) or scene.say("unknown")
            yield scene.say("should", what=scene.say("cluster-name"), right=check.name, found=told)


def best(lab: Lab, seen: Mapping[str, ClusterView]) -> ClusterView:
    """The DC's view before one with quorum before any."""
    return max(seen.items(), key=lambda item: (lab.node(item[0]).hostname == item[1].dc, item[1].quorate))[1]


def _trouble(node: ClusterNode) -> str:
    states = {
        "unclean": node.unclean,
        "pending": node.pending,
        "offline": not node.online,
        "standby": node.standby,
        "maintenance": node.maintenance,
    }
    return ", ".join(word for word, so in states.items() if so)
