"""Checks that ask the nodes something by a command that changes nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree as ET

from labctl.checks.cluster import views
from labctl.checks.result import CheckResult
from labctl.course.judge import Scene, result, silent
from labctl.course.kinds import Asked, Cib, Command, Login, PortOpen, Restored
from labctl.course.knock import knock
from labctl.course.place import Place
from labctl.engine.base import TIMEOUT_CODES
from labctl.errors import LabError
from labctl.run import Result
from labctl.words.errors import reworded

ASK_SECONDS = 15.0
CONNECT_SECONDS = 5.0  # for ssh's handshake, which two emulated machines take their time for
# pacemaker's CRM_EX_NOSUCH: nothing in the CIB fits the XPath (crm_error(8)).
NO_SUCH = 105
LONGEST = 300
SSH = (
    "ssh", "-n", "-o", "BatchMode=yes", "-o", "PreferredAuthentications=publickey",
    "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
    "-o", "ControlPath=none",
)  # fmt: skip


def ask(place: Place, scene: Scene, check: Asked) -> list[CheckResult]:
    """The results of one check. Raises nothing for what a lab may be like."""
    if isinstance(check, Cib):
        return [result(scene, check, None, _cib(place, scene, check))]
    if isinstance(check, Restored):
        return [result(scene, check, None, _restored(place, scene, check))]
    if isinstance(check, Command):
        return _each(scene, check, lambda name: _command(place, scene, check, name))
    if why := silent(scene, check.source):
        return [result(scene, check, check.source, [why])]
    if isinstance(check, Login):
        return _each(scene, check, lambda name: _login(place, scene, check, name))
    return _each(scene, check, lambda name: _port(place, scene, check, name))


def _each(scene: Scene, check: Asked, one: Callable[[str], list[str]]) -> list[CheckResult]:
    names = scene.targets(check)
    with ThreadPoolExecutor(len(names)) as pool:
        problems = pool.map(lambda name: [why] if (why := silent(scene, name)) else one(name), names)
        return [result(scene, check, name, found) for name, found in zip(names, problems, strict=True)]


def _command(place: Place, scene: Scene, check: Command, node: str) -> list[str]:
    command = place.fill(check.run)
    shown = command if "\n" not in command and len(command) <= 60 else ""
    began = time.monotonic()
    try:
        told = place.node(node).run(["bash", "-c", command], timeout=check.timeout, check=False)
    except LabError as error:
        return [scene.say("silent", node=node, reason=reworded(scene.lang, error.message))]
    if cut_off(told, time.monotonic() - began, check.timeout):
        seconds = f"{check.timeout * scene.pace:.0f}"
        # It says nothing about the lab, whatever the check takes such an end for.
        return [scene.say("too-late" if shown else "script-late", run=shown, seconds=seconds)]
    if check.rc is not None and told.rc != check.rc:
        return [_found(place, check, shown, told.stderr.strip() or told.stdout, told.rc)]
    return (
        [_found(place, check, shown, told.stdout, None)] if any(_differs(place, check, told.stdout)) else []
    )


def cut_off(told: Result, seconds: float, limit: float) -> bool:
    """Whether a command ended because its time was over, and not by a timeout(1) of its own before that."""
    return told.rc in TIMEOUT_CODES and seconds >= limit


def _wanted(place: Place, check: Command) -> str:
    """What the output should be or hold, where that is one line; else ""."""
    right = place.fill(check.contains or check.equals or "", shell=False).strip()
    return "" if "\n" in right else right


def _differs(place: Place, check: Command, output: str) -> Iterator[bool]:
    def filled(text: str) -> str:
        return place.fill(text, shell=False)

    if check.equals is not None:
        yield output.strip() != filled(check.equals).strip()
    if check.contains is not None:
        yield filled(check.contains) not in output
    if check.lacks is not None:
        yield filled(check.lacks) in output
    if check.matches is not None:
        yield re.search(filled(check.matches), output, re.DOTALL | re.MULTILINE) is None


def _found(place: Place, check: Command, shown: str, said: str, rc: int | None) -> str:
    if check.found is not None:
        return check.found.of(place.lang)
    text = " | ".join(said.strip().splitlines())
    text = text if len(text) <= LONGEST else f"…{text[-LONGEST:]}"
    if rc is not None:
        ended = f"{rc} ({text})" if text else rc
        return place.say("exit" if shown else "script-exit", run=shown, right=check.rc, found=ended)
    if shown and (right := _wanted(place, check)):
        return place.say("output-wanted", run=shown, right=right, found=text or place.say("nothing"))
    if text:
        return place.say("output" if shown else "script-output", run=shown, found=text)
    return place.say("no-output" if shown else "script-nothing", run=shown)


def _login(place: Place, scene: Scene, check: Login, name: str) -> list[str]:
    node, problems = scene.lab.node(name), []
    for word in (node.name, node.hostname):
        patience = f"ConnectTimeout={CONNECT_SECONDS * scene.pace:.0f}"
        argv = [*SSH, "-o", patience, f"{check.user}@{word}", "true"]
        try:
            told = place.node(check.source).run(argv, timeout=ASK_SECONDS, check=False)
        except LabError as error:
            reason = reworded(scene.lang, error.message)
            return [scene.say("silent", node=check.source, reason=reason)]
        if not told.ok:
            said = told.stderr.strip().splitlines()[-1:] or [str(told.rc)]
            problems.append(
                scene.say("login", user=check.user, name=word, source=check.source, found=said[0].strip())
            )
    return problems


def _port(place: Place, scene: Scene, check: PortOpen, name: str) -> list[str]:
    address = str(scene.lab.node(name).address(scene.lab.cluster.links[0]))
    source, target = place.node(check.source), place.node(name)
    state, why = knock(source, target, address, check.port, check.protocol, pace=scene.pace)
    found = reworded(scene.lang, why)
    words = {"protocol": check.protocol.upper(), "port": check.port, "source": check.source, "found": found}
    if state == "untried":
        return [scene.say("port-untried", **words)]
    if (state == "open") is check.open:
        return []
    return [scene.say("port-closed" if check.open else "port-open", **words)]


def _cib(place: Place, scene: Scene, check: Cib) -> list[str]:
    running = [name for name in views(scene.lab, scene.facts) if name in scene.targets(check)]
    if not running:
        return [scene.say("no-cluster", names=", ".join(scene.targets(check)))]
    xpath = place.fill(check.xpath, shell=False)
    argv = ["cibadmin", "--query", "--xpath", xpath]
    try:
        told = place.node(running[0]).run(argv, timeout=ASK_SECONDS, check=False)
    except LabError as error:
        return [scene.say("no-cib", found=reworded(scene.lang, error.message))]
    if told.rc not in (0, NO_SUCH):
        return [scene.say("no-cib", found=told.stderr.strip() or told.rc)]
    count = _count(told.stdout) if told.ok else 0
    if count == check.count or (check.count is None and count > 0):
        return []
    right = check.count if check.count is not None else scene.say("at-least-one")
    return [scene.say("cib-count", right=right, xpath=xpath, found=count)]


def _count(xml: str) -> int:
    """How many elements cibadmin shows: one as it is, more within <xpath-query>."""
    try:
        root = ET.fromstring(xml.strip())  # noqa: S314 - our own nodes' Pacemaker
    except ET.ParseError:
        return 0
    return len(root) if root.tag == "xpath-query" else 1


def _restored(place: Place, scene: Scene, check: Restored) -> list[str]:
    age = place.host.snapshots().get(check.snapshot)
    if age is None:
        return [scene.say("no-snapshot", name=check.snapshot)]
    last, since = place.host.restored()
    if last != check.snapshot or since >= age:
        return [scene.say("not-restored", name=check.snapshot)]
    return [why for name in scene.targets(check) if (why := silent(scene, name))]
