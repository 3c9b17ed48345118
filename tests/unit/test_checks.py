"""Each check is seen passing on a recorded lab that is well, and failing on one that is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from labctl.checks.lab_checks import validate
from labctl.checks.result import CheckResult, Status
from labctl.lab.load import load_lab
from labctl.lab.model import Lab
from labctl.probe.facts import FailedAction, NodeFacts, ProbeFailure, Unit
from tests.fakes import recorded
from tests.fakes.recorded import Edit, Table, edited, part, view

NO_WAY = "this host has no default route"


@pytest.fixture(scope="module")
def lab() -> Lab:
    return load_lab("spike", environment={})


def failing(results: list[CheckResult]) -> set[tuple[str, str | None]]:
    return {(result.id, result.node) for result in results if result.failed}


def member(name: str, **changes: Any) -> Edit:
    def edit(own: NodeFacts) -> NodeFacts:
        assert own.cluster is not None
        nodes = tuple(replace(node, **changes) if node.name == name else node for node in own.cluster.nodes)
        return view(nodes=nodes)(own)

    return edit


def resource(name: str, **changes: Any) -> Edit:
    def edit(own: NodeFacts) -> NodeFacts:
        assert own.cluster is not None
        found = tuple(replace(item, **changes) if item.id == name else item for item in own.cluster.resources)
        return view(resources=found)(own)

    return edit


def device(name: str, **changes: Any) -> Edit:
    def edit(own: NodeFacts) -> NodeFacts:
        assert own.fencing is not None
        found = tuple(replace(item, **changes) if item.id == name else item for item in own.fencing.devices)
        return replace(own, fencing=replace(own.fencing, devices=found))

    return edit


def cib(**changes: Any) -> Edit:
    return part("fencing", **changes)


def corosync(**changes: Any) -> Edit:
    return part("corosync", **changes)


def rebound(own: NodeFacts) -> NodeFacts:
    assert own.corosync is not None
    return corosync(links=(replace(own.corosync.links[0], address="192.168.122.110"),))(own)


def with_unit(unit: Unit) -> Edit:
    return lambda own: replace(own, units={**own.units, unit.name: unit})


def with_leg(**changes: Any) -> Edit:
    return lambda own: replace(own, legs={**own.legs, "eth2": replace(own.legs["eth2"], **changes)})


def with_stratum(stratum: int) -> Edit:
    def edit(own: NodeFacts) -> NodeFacts:
        assert own.tracking is not None
        return replace(own, tracking=replace(own.tracking, stratum=stratum))

    return edit


def unheard(own: NodeFacts) -> NodeFacts:
    return replace(own, sources=tuple(replace(source, reach=0) for source in own.sources))


def mute(address: str) -> Edit:
    return lambda own: replace(own, reach={**own.reach, address: False})


def bmcs_say(answer: str) -> Edit:
    return lambda own: replace(own, power=dict.fromkeys(own.power, answer))


def test_a_healthy_lab_passes_every_check(lab: Lab) -> None:
    results = validate(lab, recorded.facts("healthy"), no_outside=NO_WAY)
    assert failing(results) == set()
    # The shared disks have a file of their own: test_checks_storage.py.
    skipped = {result.id for result in results if result.status is Status.SKIPPED}
    assert {check for check in skipped if not check.startswith("storage.")} == {"network.outside"}
    assert all(result.message for result in results)


N3 = "node3.example.com"
BROKEN: list[tuple[str, str | None, Edit, tuple[str, ...]]] = [
    ("node.units", "node2", lambda own: replace(own, failed_units=("httpd.service",)), ("node2",)),
    ("daemons", "node2", with_unit(Unit("pcsd", "inactive", "dead", "enabled")), ("node2",)),
    ("daemons", "node2", with_unit(Unit("pacemaker", "active", "running", "disabled")), ("node2",)),
    ("daemons", "node2", lambda own: replace(own, units={}), ("node2",)),
    ("names.hostname", "node1", lambda own: replace(own, hostname="localhost"), ("node1",)),
    ("names.resolve", "node1", lambda own: replace(own, names={**own.names, "cli": ()}), ("node1",)),
    ("names.resolve", "node1", lambda own: replace(own, names={**own.names, N3: ("10.0.0.1",)}), ("node1",)),
    ("time.source", "node1", lambda own: replace(own, sources=()), ("node1",)),
    ("time.source", "node1", unheard, ("node1",)),
    ("time.source", "node4", lambda own: replace(own, tracking=None), ("node4",)),
    ("time.source", "node4", with_stratum(0), ("node4",)),
    ("time.agree", "node2", lambda own: replace(own, clock=(7.0, 7.1)), ("node2",)),
    ("time.agree", "node2", lambda own: replace(own, clock=(-7.1, -7.0)), ("node2",)),
    ("disk.room", "node3", lambda own: replace(own, disk_free=100_000_000), ("node3",)),
    ("network.addresses", "node3", lambda own: replace(own, legs={}), ("node3",)),
    ("network.addresses", "node3", with_leg(addresses=()), ("node3",)),
    ("network.addresses", "node3", with_leg(up=False), ("node3",)),
    ("network.reachable", "node3", mute("192.168.90.110"), ("node3",)),
    ("corosync.links", "node1", corosync(links=()), ("node1",)),
    ("corosync.members", "node1", corosync(members={1: "node1.example.com"}), ("node1",)),
    ("corosync.internal-only", "node1", rebound, ("node1",)),
    ("pcs.hosts", "node4", lambda own: replace(own, pcs_hosts=None), ("node4",)),
    ("pcs.hosts", "node4", lambda own: replace(own, pcs_hosts=("node1.example.com",)), ("node4",)),
    ("quorum", None, corosync(quorate=False), ("node1",)),
    ("quorum", None, lambda own: replace(own, corosync=None), ()),
    ("dc", None, view(dc=""), ("node1",)),
    ("dc", None, view(dc="node4.example.com"), ("node4",)),
    ("dc", None, lambda own: replace(own, cluster=None), ()),
    ("dc", None, lambda own: replace(own, cluster=None), ("node3",)),
    ("nodes.online", None, member(N3, online=False), ()),
    ("nodes.online", None, member(N3, unclean=True), ()),
    ("nodes.online", None, member(N3, pending=True), ()),
    ("nodes.online", None, member(N3, standby=True), ()),
    ("nodes.online", None, view(nodes=()), ()),
    ("nodes.online", None, view(maintenance=True), ()),
    ("resources.failed", None, view(failures=(FailedAction("web", "start", N3, "error", ""),)), ()),
    ("resources.failed", None, resource("fence-node1", blocked=True), ()),
    ("fencing.enabled", None, cib(enabled=False), ()),
    ("fencing.enabled", None, lambda own: replace(own, fencing=None), ()),
    ("fencing.devices", "node1", cib(devices=()), ()),
    ("fencing.devices", "node1", cib(topology={}), ()),
    ("fencing.devices", "node1", cib(topology={"node1.example.com": (("none",),)}), ()),
    ("fencing.devices", "node1", cib(topology={"node1.example.com": (("fence-node2",),)}), ()),
    ("fencing.devices", "node1", device("fence-node1", banned=()), ()),
    ("fencing.running", None, resource("fence-node1", role="Stopped", nodes=()), ()),
    ("fencing.running", None, resource("fence-node1", nodes=("node1.example.com",)), ()),
    ("fencing.running", None, resource("fence-node1", failed=True), ()),
    ("fencing.running", None, view(fencing=(N3,)), ()),
    ("bmc.answers", "node1", bmcs_say("no answer: timeout"), ()),
    ("bmc.answers", "node1", bmcs_say("off"), ()),
]  # fmt: skip


@pytest.mark.parametrize(("check", "node", "edit", "nodes"), BROKEN)
def test_each_check_is_seen_failing(
    lab: Lab, check: str, node: str | None, edit: Edit, nodes: tuple[str, ...]
) -> None:
    results = validate(lab, edited(edit, *nodes), no_outside=NO_WAY)
    assert (check, node) in failing(results)
    assert all(result.hint.startswith("labctl ") for result in results if result.failed)


def test_no_check_is_left_out_of_the_failing_ones(lab: Lab) -> None:
    ids = {result.id for result in validate(lab, recorded.facts("healthy"))}
    ids = {check for check in ids if not check.startswith("storage.")}
    # These two have tests of their own below.
    assert ids - {check for check, *_ in BROKEN} == {"node.running", "network.outside"}


@pytest.mark.parametrize("check", ["names.resolve", "disk.room", "pcs.hosts"])
def test_a_fault_of_one_node_is_told_of_that_node_alone(lab: Lab, check: str) -> None:
    table = edited(lambda own: replace(own, names={}, disk_free=0, pcs_hosts=()), "node2")
    found = failing(validate(lab, table))
    assert {node for name, node in found if name == check} == {"node2"}


REAL: dict[str, set[tuple[str, str | None]]] = {
    "corosync-failed": {
        ("node.units", "node2"), ("daemons", "node2"),
        ("corosync.links", "node1"), ("corosync.links", "node2"),
        ("corosync.members", "node3"), ("corosync.internal-only", "node2"), ("nodes.online", None),
    },
    "node3-stopped": {
        ("daemons", "node3"), ("names.resolve", "node3"), ("time.source", "node3"),
        ("corosync.members", "node1"), ("nodes.online", None),
    },
    "fence-device-broken": {("resources.failed", None), ("fencing.running", None)},
    "node2-cut-off": {
        ("network.addresses", "node2"), ("network.reachable", "node1"), ("network.reachable", "node2"),
        ("corosync.links", "node4"),
    },
    "node4-off": {("node.running", "node4"), ("corosync.members", "node1"), ("nodes.online", None)},
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in recorded.NAMES if name != "healthy"])
def test_a_lab_that_was_really_broken_fails(lab: Lab, name: str) -> None:
    results = validate(lab, recorded.facts(name), no_outside=NO_WAY)
    assert REAL[name] <= failing(results)
    well = {"disk.room", "time.agree", "fencing.enabled", "quorum"}
    assert not {check for check, _ in failing(results)} & well


def test_a_node_that_is_off_fails_once_and_skips_the_rest(lab: Lab) -> None:
    results = validate(lab, recorded.facts("node4-off"), no_outside=NO_WAY)
    of_node = {result.id: result.status for result in results if result.node == "node4"}
    assert of_node.pop("node.running") is Status.FAILED
    assert of_node.pop("fencing.devices") is Status.PASSED
    assert of_node.pop("bmc.answers") is Status.PASSED  # it says that the power is off
    assert set(of_node.values()) == {Status.SKIPPED}


def test_with_all_nodes_off_everything_is_judged(lab: Lab) -> None:
    table: Table = {node.name: ProbeFailure(node.name, "off", "it is switched off") for node in lab.nodes}
    found = {check for check, _ in failing(validate(lab, table))}
    assert found == {"node.running", "quorum", "dc", "nodes.online", "fencing.enabled"}


def test_a_lab_of_nodes_only_skips_the_cluster_with_the_reason(lab: Lab) -> None:
    def without_cluster(own: NodeFacts) -> NodeFacts:
        units = {name: unit for name, unit in own.units.items() if name in {"ssh", "chrony"}}
        return replace(own, corosync=None, cluster=None, fencing=None, pcs_hosts=None, units=units)

    results = validate(lab, edited(without_cluster), stage="nodes", no_outside=NO_WAY)
    assert failing(results) == set()
    whole = validate(lab, recorded.facts("healthy"))
    assert {(r.id, r.node) for r in results} == {(r.id, r.node) for r in whole}
    of_cluster = {"quorum", "dc", "fencing.devices", "pcs.hosts"}
    reasons = {result.message for result in results if result.id in of_cluster}
    assert len(reasons) == 1
    assert "--until nodes" in reasons.pop()


def test_chrony_that_has_just_started_is_not_judged_yet(lab: Lab) -> None:
    young = with_unit(Unit("chrony", "active", "running", "enabled", age=3.0))
    table = edited(lambda own: young(replace(own, sources=())), "node1")
    (result,) = [r for r in validate(lab, table) if (r.id, r.node) == ("time.source", "node1")]
    assert result.status is Status.SKIPPED
    assert "starting" in result.message


@pytest.mark.parametrize(
    ("gateway", "answered", "status"),
    [
        ("192.168.122.1", True, Status.PASSED),
        ("192.168.122.1", False, Status.FAILED),
        ("192.168.122.1", None, Status.SKIPPED),
        ("", False, Status.FAILED),
    ],
)
def test_the_way_outside(lab: Lab, gateway: str, answered: bool | None, status: Status) -> None:
    table = edited(lambda own: replace(own, gateway=gateway, outside=answered))
    results = validate(lab, table, no_outside="")
    assert {result.status for result in results if result.id == "network.outside"} == {status}


def test_a_lab_without_fencing_skips_its_checks(lab: Lab) -> None:
    without = lab.model_copy(update={"fencing": lab.fencing.model_copy(update={"enabled": False})})
    results = validate(without, edited(cib(enabled=False, devices=(), topology={})))
    ids = {"fencing.enabled", "fencing.devices", "fencing.running", "bmc.answers"}
    assert {result.status for result in results if result.id in ids} == {Status.SKIPPED}
