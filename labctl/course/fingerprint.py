"""What of a node's facts tells two states of a lab apart: all that does not change by itself."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from labctl.cluster.state import LATE
from labctl.probe.facts import Facts, NodeFacts, Unit


def fingerprint(facts: Facts) -> dict[str, dict[str, Any]]:
    """By node: names, units, addresses, time sources, cluster, mounts. No times, sizes or ids of a boot.

    A node that is silent has only its reason's place.
    """
    return {
        name: _of_node(fact) if isinstance(fact, NodeFacts) else {"silent": True}
        for name, fact in facts.items()
    }


def _of_node(fact: NodeFacts) -> dict[str, Any]:
    view, corosync = fact.cluster, fact.corosync
    return {
        "hostname": fact.hostname,
        **{f"unit {name}": _unit(fact, name, unit) for name, unit in sorted(fact.units.items())},
        "failed": sorted(fact.failed_units),
        "legs": {name: (leg.up, sorted(leg.addresses)) for name, leg in sorted(fact.legs.items())},
        "gateway": fact.gateway,
        "names": {name: list(found) for name, found in sorted(fact.names.items())},
        "sources": sorted(source.address for source in fact.sources),
        "mounts": sorted(point for point in fact.mounts if not point.startswith(("/proc", "/sys", "/run"))),
        # A container sees every loop device of the host, other labs' as well.
        "blocks": {name: size for name, size in sorted(fact.blocks.items()) if not name.startswith("loop")},
        "corosync_conf": fact.corosync_conf,
        "nodelist": sorted(name for name, _ in corosync.nodelist.values()) if corosync else [],
        "online": sorted(view.online) if view else [],
        "resources": sorted(resource.id for resource in view.resources) if view else [],
        "pcs_hosts": list(fact.pcs_hosts or ()),
    }


def _unit(fact: NodeFacts, name: str, unit: Unit) -> str:
    """What starts last counts as there while it is on its way: nobody has to wait for it."""
    coming = f"{name}.service" in LATE.intersection(fact.jobs)
    return f"{'active' if coming else unit.active}, {unit.enabled}"


def digest(facts: Facts) -> str:
    """One word for all of it and the cluster's configuration; "" when a node is silent."""
    if not facts or not all(isinstance(fact, NodeFacts) for fact in facts.values()):
        return ""
    whole = [fingerprint(facts), sorted({fact.cib for fact in facts.values() if isinstance(fact, NodeFacts)})]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def differences(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> list[str]:
    """Each value that differs: node, what, before, after."""
    return [
        f"{node}: {what} was {before.get(node, {}).get(what)!r} and is {after.get(node, {}).get(what)!r}"
        for node in sorted({*before, *after})
        for what in sorted({*before.get(node, {}), *after.get(node, {})})
        if before.get(node, {}).get(what) != after.get(node, {}).get(what)
    ]
