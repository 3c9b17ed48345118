"""Probe all nodes at once: one command in each, started in parallel."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any

from labctl.engine.base import TIMEOUT_CODES, Engine, State
from labctl.errors import LabError
from labctl.lab.model import Lab, NodeSpec
from labctl.probe.facts import Facts, NodeFacts, ProbeFailure, parse_node
from labctl.probe.script import nameserver_answers

# Families call the two last ones by either name; the node shows those that it has.
UNITS = ("corosync", "pacemaker", "pcsd", "sshd", "ssh", "chronyd", "chrony")
HOST_DNS_TIMEOUT = 0.3
NOT_ON = {
    State.MISSING: "there is no such machine",
    State.OFF: "it is switched off",
    State.FROZEN: "it is frozen: every process stands still",
}


def gather(
    engine: Engine,
    lab: Lab,
    nodes: Iterable[str] | None = None,
    *,
    timeout: float,
    units: Iterable[str] = UNITS,
    outside: bool = False,
    hardware: bool = True,
) -> dict[str, NodeFacts | ProbeFailure]:
    """Facts of the named nodes (all when None), in the lab's order; never raises for a node's state.

    timeout: seconds for each node's probe; 8 or more, since a tool in a node that hangs is given
    up after 5 (it then counts as silent, and the rest of the facts are there).
    hardware: also ask the BMCs, and look at the shared disks, a block of each.
    outside: also ask whether a name server outside answers the nodes; only worth it where
    why_no_outside() is empty.
    """
    wanted = [node for node in lab.nodes if nodes is None or node.name in set(nodes)]
    try:
        machines = engine.observe()
    except LabError as error:
        return {node.name: ProbeFailure(node.name, "", error.message) for node in wanted}
    states = dict.fromkeys((node.name for node in lab.nodes), State.MISSING)
    states.update({name: machine.state for name, machine in machines.items() if name in states})
    on = [node for node in lab.nodes if states[node.name] is State.ON]
    source = script_source()
    documents = {
        node.name: {
            **request(lab, node, on, units=units, outside=outside, hardware=hardware),
            "pace": engine.pace,
        }
        for node in wanted
        if states[node.name] is State.ON
    }
    found: dict[str, NodeFacts | ProbeFailure] = {
        node.name: ProbeFailure(node.name, states[node.name].value, NOT_ON[states[node.name]])
        for node in wanted
        if node.name not in documents
    }
    with ThreadPoolExecutor(max(1, len(documents))) as threads:
        asked = {
            name: threads.submit(_probe, engine, name, source, document, timeout)
            for name, document in documents.items()
        }
        found.update({name: future.result() for name, future in asked.items()})
    return {node.name: found[node.name] for node in wanted}


def request(
    lab: Lab,
    node: NodeSpec,
    on: list[NodeSpec],
    *,
    units: Iterable[str] = UNITS,
    outside: bool = False,
    hardware: bool = True,
) -> dict[str, Any]:
    """The probe's argument for one node: what to ask, whom to reach, which BMCs are this node's to ask.

    on: the nodes that are on.  Each BMC is asked once, by the next node that is on and not its
    own: that is the way fencing goes.
    """
    names = [name for other in lab.nodes for name in (other.hostname, other.name, *other.aliases)]
    own = {leg.network for leg in node.interfaces}
    return {
        "units": list(units),
        "names": names,
        "ping": [
            str(leg.address)
            for other in lab.nodes
            if other.name != node.name
            for leg in other.interfaces
            if leg.network in own
        ],
        "outside": outside,
        "disks": [disk.name for disk in lab.storage.disks if hardware],
        "bmcs": [
            {
                "node": other.name,
                "address": str(lab.bmc_address),
                "port": other.bmc_port,
                "user": lab.fencing.user,
                "password": lab.fencing.password,
            }
            for other in lab.nodes
            if hardware and lab.fencing.enabled and _asker(lab, other, on) == node.name
        ],
    }


def why_no_outside(routes: Path = Path("/proc/net/route")) -> str:
    """Why nodes cannot be expected to reach the outside: the host itself does not; "" when it does."""
    try:
        rows = [line.split() for line in routes.read_text().splitlines()[1:]]
    except OSError:
        rows = []
    if not any(row[1] == "00000000" for row in rows if len(row) > 1):
        return "this host has no default route"
    if not nameserver_answers(HOST_DNS_TIMEOUT):
        return "no name server answers this host"
    return ""


def script_source() -> str:
    """The text of labctl.probe.script, which runs inside the nodes."""
    return resources.files("labctl.probe").joinpath("script.py").read_text(encoding="utf-8")


def _asker(lab: Lab, target: NodeSpec, on: list[NodeSpec]) -> str:
    after = [*lab.nodes[target.index :], *lab.nodes[: target.index]]
    names = {node.name for node in on} - {target.name}
    return next((node.name for node in after if node.name in names), "")


def _probe(
    engine: Engine, name: str, source: str, document: Mapping[str, Any], timeout: float
) -> NodeFacts | ProbeFailure:
    argv = ["python3", "-I", "-S", "-c", source, json.dumps(document)]
    before = time.time()
    try:
        result = engine.node(name).run(argv, timeout=timeout, check=False)
    except LabError as error:
        why = " ".join([error.message, *error.details.strip().splitlines()[-1:]])
        return ProbeFailure(name, State.ON.value, f"it does not answer: {why}")
    after = time.time()
    if not result.ok:
        last = (result.stderr.strip() or "no output").splitlines()[-1]
        slow = f" within {timeout:.0f} s" if result.rc in TIMEOUT_CODES else ""
        reason = f"the probe did not end well{slow} (exit code {result.rc}): {last}"
        return ProbeFailure(name, State.ON.value, reason)
    try:
        answer = json.loads(result.stdout)
        # The probe ran between these two readings of our clock, so the node's lies between those.
        clock = (float(answer["ended"]) - after, float(answer["started"]) - before)
        return parse_node(answer, clock=clock)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        return ProbeFailure(name, State.ON.value, f"the probe's answer makes no sense: {error!r}")


__all__ = ["UNITS", "Facts", "gather", "request", "script_source", "why_no_outside"]
