"""Grading: look, judge, wait while the lab is still at work, then the proofs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from labctl.checks.cluster import views
from labctl.checks.result import CheckResult, Status, skipped
from labctl.cluster.state import LATE
from labctl.course.ask import ask, cut_off
from labctl.course.form import Exercise
from labctl.course.judge import Scene, best, judge, result
from labctl.course.kinds import Again, Asked, Check, Cluster, Command, TimeSource, UnitState, asks_pcsd
from labctl.course.place import Place
from labctl.errors import LabError, TimedOut
from labctl.probe.facts import Facts, NodeFacts
from labctl.probe.gather import gather
from labctl.wait import wait_until
from labctl.words.errors import reworded

PROBE_SECONDS = 15.0
SETTLE_SECONDS, SETTLE_AT_MOST = 150.0, 600.0
BOOT_SECONDS = 180.0
# How long after its start a thing may still change by itself, where nothing is emulated.
CLUSTER_STARTS, CHRONY_STARTS, NODE_STARTS = 60.0, 20.0, 40.0

AT_ONCE = 6
READABLE = 80
# How often a node is looked at whose tools do not answer in time, and how the probe says that.
LOOKS, GIVEN_UP = 4, "no answer within"

Say = Callable[[str], None]


def look(place: Place, exercise: Exercise, nodes: Iterable[str] | None = None) -> Scene:
    """The facts of the exercise's nodes, right now."""
    facts = gathered(place, exercise.nodes if nodes is None else nodes)
    return Scene(place.lab, exercise.nodes, facts, place.lang, place.units, place.engine.pace)


def gathered(place: Place, nodes: Iterable[str]) -> Facts:
    """The facts of these nodes, with every unit that the family has a name for."""
    units = [name.removesuffix(".service") for name in place.units.values() if "@" not in name]
    return gather(place.engine, place.lab, tuple(nodes), timeout=PROBE_SECONDS, units=units, hardware=False)


def grade(
    place: Place, exercise: Exercise, *, proofs: bool = True, patient: bool = True, say: Say = lambda _: None
) -> list[CheckResult]:
    """Every check's results, in the exercise's order.

    proofs: also do what changes the lab for a while (reboots); they are skipped while a check that
    they build upon fails.  patient: wait for a lab that is still at work before calling it wrong.
    """
    say(place.say("grading"))
    plain = [check for check in exercise.checks if not isinstance(check, Again)]
    found = _settled(place, exercise, plain, say) if patient else _once(place, exercise, plain)[1]
    results: list[CheckResult] = []
    for check in exercise.checks:
        if not isinstance(check, Again):
            results += [one for one in found if one.id == check.id]
        elif missing := _missing(results, (*check.requires, *check.checks)):
            results.append(skipped(check.id, None, place.say("requires", names=", ".join(missing))))
        elif not proofs:
            results.append(skipped(check.id, None, place.say("quick")))
        else:
            results.append(_prove(place, exercise, check, say))
    # A check's point and `found` stand in the message; they may name variables, as `look` may.
    return [
        replace(one, message=place.fill(one.message, shell=False), hint=place.fill(one.hint, shell=False))
        for one in results
    ]


def passed(results: Iterable[CheckResult]) -> bool:
    """Whether the exercise is done: nothing failed, and nothing was left out."""
    return all(one.status is Status.PASSED for one in results)


def _missing(results: list[CheckResult], names: Iterable[str]) -> list[str]:
    bad = {one.id for one in results if one.status is not Status.PASSED}
    return [name for name in dict.fromkeys(names) if name in bad]


def _once(place: Place, exercise: Exercise, checks: Sequence[Check]) -> tuple[Scene, list[CheckResult]]:
    """Look, and judge every check once: all at once whose required ones are judged, then the next."""
    scene = look(place, exercise)
    found: dict[str, list[CheckResult]] = {}
    left = list(checks)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while left:
            waited_for = {check.id for check in left}
            ready = [check for check in left if not waited_for.intersection(check.requires)]
            known = [one for results in found.values() for one in results]
            judged = pool.map(lambda check, known=known: _one(place, scene, check, known), ready)
            found |= dict(zip((check.id for check in ready), judged, strict=True))
            left = [check for check in left if check.id not in found]
    return scene, [one for check in checks for one in found[check.id]]


def _one(place: Place, scene: Scene, check: Check, known: list[CheckResult]) -> list[CheckResult]:
    if missing := _missing(known, check.requires):
        return [skipped(check.id, None, place.say("requires", names=", ".join(missing)))]
    if isinstance(check, Asked):
        return ask(place, scene, check)
    if isinstance(check, Cluster) and check.name is not None:
        check = check.model_copy(update={"name": place.fill(check.name, shell=False)})
    return [] if isinstance(check, Again) else judge(scene, check)


def _settled(place: Place, exercise: Exercise, checks: Sequence[Check], say: Say) -> list[CheckResult]:
    """Judge until all is right, or until nothing is on its way any more."""
    results: list[CheckResult] = []
    told = ""
    looks = 0

    def at_rest() -> bool:
        nonlocal results, told, looks
        looks += 1
        scene, results = _once(place, exercise, checks)
        wrong = {one.id for one in results if one.failed}
        reason = ""
        if wrong:
            failing = [check for check in checks if check.id in wrong]
            reason = unsettled(scene, failing)
            if not reason and looks < LOOKS and (slow := too_slow(scene)):
                reason = place.say("settle-slow", node=", ".join(slow))
        if reason and reason != told:
            say(place.say("settling", reason=reason))
            told = reason
        return not reason

    with contextlib.suppress(TimedOut):  # then it is judged as it is
        wait_until(
            "the lab to come to rest",
            at_rest,
            timeout=min(SETTLE_SECONDS * place.engine.pace, SETTLE_AT_MOST),
            every=0.3,
        )
    return results


def too_slow(scene: Scene) -> list[str]:
    """Nodes where a tool was given up by the probe before it answered: busy, or hung for good."""
    return [
        name
        for name, fact in scene.facts.items()
        if isinstance(fact, NodeFacts) and any(GIVEN_UP in why for why in fact.silent.values())
    ]


def concerns_pcsd(check: Check) -> bool:
    """Whether a check may fail because pcsd, which starts last and takes seconds, is not there yet."""
    if isinstance(check, UnitState):
        return "pcsd" in check.units
    return isinstance(check, Command) and asks_pcsd(check.run)


def still_booting(scene: Scene, *, late: bool) -> list[str]:
    """Those of the nodes that were switched on a moment ago and have not started everything yet.

    late: pcsd counts, too.
    """
    return [
        name
        for name, fact in scene.facts.items()
        if isinstance(fact, NodeFacts)
        and fact.uptime < NODE_STARTS * scene.pace
        and set(fact.jobs).difference(() if late else LATE)
    ]


def unsettled(scene: Scene, wrong: Sequence[Check]) -> str:
    """What in the lab is still on its way, in words; "" when it is at rest."""
    known = {name: fact for name, fact in scene.facts.items() if isinstance(fact, NodeFacts)}
    if booting := still_booting(scene, late=any(map(concerns_pcsd, wrong))):
        return scene.say("settle-boot", node=", ".join(booting))
    seen = views(scene.lab, scene.facts)
    for view in seen.values():
        controllers = [
            fact.controller for name, fact in known.items() if scene.lab.node(name).hostname == view.dc
        ]
        if any(state not in ("S_IDLE", "") for state in controllers) or any(
            node.pending for node in view.nodes
        ):
            return scene.say("settle-cluster")
    if any(_joining(scene, fact) for fact in known.values()):
        return scene.say("settle-cluster")
    servers = [check.server for check in wrong if isinstance(check, TimeSource)]
    addresses = {str(scene.lab.node(name).address(scene.lab.cluster.links[0])) for name in servers}
    for fact in known.values():
        daemon = fact.unit("chronyd", "chrony")
        # A source that it has not got will not come by waiting.
        coming = any(source.address in addresses and source.state != "*" for source in fact.sources)
        if coming and daemon is not None and daemon.age < CHRONY_STARTS * scene.pace:
            return scene.say("settle-time")
    return ""


def _joining(scene: Scene, fact: NodeFacts) -> bool:
    """Whether a node's Pacemaker was started a moment ago, or is about to be, and it is not online yet."""
    daemon = fact.unit("pacemaker")
    if daemon is None:
        return False
    if daemon.active not in ("active", "activating"):
        return (
            fact.corosync_conf and daemon.enabled == "enabled" and fact.uptime < CLUSTER_STARTS * scene.pace
        )
    if daemon.active == "active" and daemon.age >= CLUSTER_STARTS * scene.pace:
        return False
    own = views(scene.lab, scene.facts)
    seen = best(scene.lab, own) if own else None
    return seen is None or not seen.dc or fact.hostname not in seen.online


def _prove(place: Place, exercise: Exercise, check: Again, say: Say) -> CheckResult:
    """Do what the proof says, judge its checks again, and put back what the doing took away."""
    wanted = [each for each in exercise.checks if each.id in check.checks]
    nodes = check.on or ()
    scene = Scene(place.lab, exercise.nodes, {}, place.lang, place.units)
    problems: list[str] = []
    try:
        for node in nodes:
            if trouble := _disturb(place, check, node, say):
                return result(scene, check, None, [trouble])
        after = _after(place, check)
        problems = [f"{after}: {told}" for told in _alike(_settled(place, exercise, wanted, say))]
    finally:
        if check.undo:
            for node in nodes:
                with contextlib.suppress(LabError):
                    place.node(node).run(["bash", "-c", place.fill(check.undo)], timeout=check.timeout)
    return result(scene, check, None, list(dict.fromkeys(problems)))


def _alike(results: Iterable[CheckResult]) -> list[str]:
    """What failed, each thing once with the nodes that it is so on."""
    nodes: dict[str, list[str]] = {}
    for one in results:
        if one.failed:
            nodes.setdefault(one.message.rstrip("."), []).extend([one.node] if one.node else [])
    return [f"{told} ({', '.join(on)})" if on else told for told, on in nodes.items()]


def _disturb(place: Place, check: Again, node: str, say: Say) -> str:
    """Reboot the node, or run the proof's command there; what went wrong."""
    if check.reboot:
        say(place.say("rebooting", node=node))
        try:
            reboot(place, node)
        except LabError as error:
            return place.say("no-return", node=node, found=reworded(place.lang, error.message))
        return ""
    command = place.fill(check.run or "")
    short = _short(command)
    point = check.point.of(place.lang)
    say(place.say("running", run=short, node=node) if short else place.say("proving", point=point))
    began = time.monotonic()
    try:
        told = place.node(node).run(["bash", "-c", command], timeout=check.timeout, check=False)
    except LabError as error:
        found = reworded(place.lang, error.message)
    else:
        if told.ok:
            return ""
        found = told.stderr.strip()[-300:]
        if cut_off(told, time.monotonic() - began, check.timeout):
            late = place.say("proof-late", seconds=f"{check.timeout * place.engine.pace:.0f}")
            found = f"{late}; {found}" if found else late
    if check.found is not None:
        said = check.found.of(place.lang)
        return f"{node}: {said} ({found})" if found else f"{node}: {said}"
    return place.say("proof-failed", run=short, node=node, found=found) if short else f"{node}: {found}"


def _short(command: str) -> str:
    """A proof's command where a learner can read it at a glance; "" for a script."""
    return command if "\n" not in command and len(command) <= READABLE else ""


def _after(place: Place, check: Again) -> str:
    if check.reboot:
        return place.say("after-reboot", node=", ".join(check.on or ()))
    short = _short(place.fill(check.run or ""))
    return place.say("after-run", run=short) if short else place.say("after-proof")


def reboot(place: Place, node: str) -> None:
    """An orderly reboot, until the node has booted again. Raises TimedOut."""
    began = time.monotonic()
    with contextlib.suppress(LabError):  # the way in goes down with the node
        place.node(node).run(["systemctl", "reboot"], timeout=20, check=False)

    def back() -> bool:
        facts = gathered(place, [node])[node]
        return isinstance(facts, NodeFacts) and facts.uptime < time.monotonic() - began

    wait_until(
        f"{node} to come back", back, timeout=BOOT_SECONDS * place.engine.pace, every=0.5, mend="labctl up"
    )
    booted(place, node)


def booted(place: Place, node: str) -> None:
    """Wait until systemd has started everything on a node, whether or not all of it went well."""
    place.node(node).run(["systemctl", "is-system-running", "--wait"], timeout=BOOT_SECONDS, check=False)
