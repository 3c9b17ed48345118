"""The checks of the shared disks: a healthy lab passes each, and each is seen failing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from labctl.checks.lab_checks import validate
from labctl.checks.result import CheckResult, Status
from labctl.checks.storage import OF_LAB, OF_NODE
from labctl.lab.load import load_lab
from labctl.lab.model import Chap, Lab
from labctl.probe.facts import DiskSeen, Facts, NodeFacts, StorageFacts, TargetSeen, TrialSeen
from tests.fakes import recorded

GIB2 = 2 * 1024**3
NAMES = ("sdb", "sdc", "sdd")


@pytest.fixture
def lab() -> Lab:
    return load_lab("spike")


def facts() -> dict[str, NodeFacts]:
    disks = {name: DiskSeen(name, GIB2, f"wwn-0x{name}") for name in NAMES}
    healthy = recorded.facts("healthy")
    return {name: replace(own, disks=disks) for name, own in healthy.items() if isinstance(own, NodeFacts)}


def storage(lab: Lab) -> StorageFacts:
    return StorageFacts(
        "userspace",
        "asked for",
        TargetSeen(
            luns=dict.fromkeys(NAMES, GIB2),
            acls=tuple(node.initiator for node in lab.nodes),
            sessions=tuple((node.initiator, str(node.address("storage"))) for node in lab.nodes),
        ),
        TrialSeen(writer="node1", reader="node2"),
    )


def judge(lab: Lab, seen: Facts, about: StorageFacts | None, stage: str = "all") -> dict[str, CheckResult]:
    """Results of the shared disks, by id, or by id and node."""
    results = validate(lab, seen, storage=about, stage=stage)  # type: ignore[arg-type]
    found = [result for result in results if result.id.startswith("storage.")]
    return {result.id + (f" {result.node}" if result.node else ""): result for result in found}


def test_a_healthy_lab_passes_all(lab: Lab) -> None:
    results = judge(lab, facts(), storage(lab))
    assert {key.partition(" ")[0] for key in results} == {*OF_LAB, *OF_NODE}
    assert {result.status for result in results.values()} == {Status.PASSED}


@pytest.mark.parametrize("stage", ["nodes", "cluster"])
def test_a_lab_that_was_brought_up_without_them_is_skipped_with_the_reason(lab: Lab, stage: str) -> None:
    results = judge(lab, facts(), storage(lab), stage)
    assert {result.status for result in results.values()} == {Status.SKIPPED}
    assert all(f"--until {stage}" in result.message for result in results.values())


def test_a_lab_without_a_driver_is_skipped_with_the_reason(lab: Lab) -> None:
    results = judge(lab, facts(), StorageFacts("none", "no /dev/fuse"))
    assert {result.status for result in results.values()} == {Status.SKIPPED}
    assert all("no /dev/fuse" in result.message for result in results.values())


Edit = Callable[[StorageFacts], StorageFacts]


def of_target(**changes: object) -> Edit:
    return lambda about: replace(about, target=replace(about.target, **changes))  # type: ignore[arg-type]


def of_trial(**changes: object) -> Edit:
    return lambda about: replace(about, trial=replace(about.trial, **changes))  # type: ignore[arg-type]


NODE1 = "iqn.2023-02.com.example:node1.init"


@pytest.mark.parametrize(
    ("check", "edit", "word"),
    [
        ("storage.target", of_target(trouble="it is off"), "it is off"),
        ("storage.target", of_target(luns={"sdb": GIB2, "sdc": GIB2}), "sdd is not served"),
        ("storage.target", of_target(luns={**dict.fromkeys(NAMES, GIB2), "sdb": GIB2 // 2}), "1024"),
        ("storage.access", of_target(acls=(NODE1,)), "node2"),
        ("storage.access", of_target(chap=True), "CHAP should be off"),
        ("storage.session node1", of_target(sessions=()), "not logged in"),
        ("storage.session node1", of_target(sessions=((NODE1, "10.0.0.9"),)), "10.0.0.9"),
        ("storage.stranger", of_trial(stranger="x.stranger could log in and read"), "could log in"),
        ("storage.data", of_trial(written="I/O error"), "node1 cannot write: I/O error"),
        ("storage.data", of_trial(read="Pattern verification failed"), "node2 does not read"),
    ],
)
def test_each_fault_of_the_target_is_seen(lab: Lab, check: str, edit: Edit, word: str) -> None:
    result = judge(lab, facts(), edit(storage(lab)))[check]
    assert result.failed
    assert word in result.message
    assert result.hint.startswith("labctl ")


def test_a_name_too_many_on_the_list_is_seen(lab: Lab) -> None:
    about = storage(lab)
    more = (*about.target.acls, "iqn.2023-02.com.example:spy")
    result = judge(lab, facts(), of_target(acls=more)(about))["storage.access"]
    assert result.failed
    assert "spy may log in and is no node's" in result.message


def test_missing_chap_is_seen(lab: Lab) -> None:
    with_chap = lab.storage.model_copy(update={"chap": Chap(userid="username", password="password")})  # noqa: S106
    result = judge(lab.model_copy(update={"storage": with_chap}), facts(), storage(lab))["storage.access"]
    assert result.failed
    assert "CHAP should be on" in result.message


@pytest.mark.parametrize(
    ("seen", "word"),
    [
        (None, "there is no /dev/sdb"),
        (DiskSeen("sdb", GIB2 // 2, "wwn-0xsdb"), "should have 2048 MiB and has 1024"),
        (DiskSeen("sdb", GIB2, "wwn-0xsdb", "no answer within 5 s"), "cannot be read: no answer"),
    ],
)
def test_each_fault_of_a_nodes_disk_is_seen(lab: Lab, seen: DiskSeen | None, word: str) -> None:
    table = facts()
    others = {name: disk for name, disk in table["node3"].disks.items() if name != "sdb"}
    table["node3"] = replace(table["node3"], disks={**others, **({"sdb": seen} if seen else {})})
    results = judge(lab, table, storage(lab))
    assert results["storage.disks node3"].failed
    assert word in results["storage.disks node3"].message
    assert not results["storage.disks node1"].failed


@pytest.mark.parametrize("wwn", ["", "wwn-0xanother"])
def test_another_disk_under_the_same_name_is_seen(lab: Lab, wwn: str) -> None:
    table = facts()
    table["node2"] = replace(
        table["node2"], disks={**table["node2"].disks, "sdc": DiskSeen("sdc", GIB2, wwn)}
    )
    result = judge(lab, table, storage(lab))["storage.same"]
    assert result.failed
    assert "node2" in result.message


def swapped(table: dict[str, NodeFacts], node: str, **sizes: int) -> dict[str, NodeFacts]:
    """sdb and sdd of this node stand for each other."""
    disks = {
        name: DiskSeen(name, sizes.get(other, GIB2), f"wwn-0x{other}")
        for name, other in zip(NAMES, reversed(NAMES), strict=True)
    }
    return {**table, node: replace(table[node], disks=disks)}


def test_a_machines_kernel_may_name_the_same_disks_otherwise(lab: Lab) -> None:
    with_machines = lab.with_mode("vm")
    result = judge(with_machines, swapped(facts(), "node3"), storage(with_machines))["storage.same"]
    assert result.status is Status.PASSED
    assert "wwn-0xsdd on node3" in result.message
    assert "/dev/disk/by-id" in result.message
    assert judge(lab, swapped(facts(), "node3"), storage(lab))["storage.same"].failed, (
        "containers' names are ours"
    )
    mixed = lab.model_copy(update={"nodes": (with_machines.nodes[0], *lab.nodes[1:])})
    assert not judge(mixed, swapped(facts(), "node1"), storage(mixed))["storage.same"].failed
    assert judge(mixed, swapped(facts(), "node2"), storage(mixed))["storage.same"].failed


def test_a_machine_with_a_disk_of_another_lab_is_seen(lab: Lab) -> None:
    lab, table = lab.with_mode("vm"), facts()
    table["node2"] = replace(
        table["node2"], disks={**table["node2"].disks, "sdc": DiskSeen("sdc", GIB2, "wwn-0xanother")}
    )
    assert judge(lab, table, storage(lab))["storage.same"].failed


def test_a_machines_disks_may_change_names_but_not_sizes(lab: Lab) -> None:
    lab = lab.with_mode("vm")
    first, *rest = lab.storage.disks
    larger = lab.storage.model_copy(update={"disks": (first.model_copy(update={"size": 4096}), *rest)})
    lab = lab.model_copy(update={"storage": larger})
    found = judge(lab, swapped(facts(), "node3", sdb=2 * GIB2), storage(lab))
    assert not found["storage.disks node3"].failed
    assert found["storage.disks node1"].failed, "sdb is too small there"


def test_what_cannot_be_judged_is_skipped_and_says_so(lab: Lab) -> None:
    table: dict[str, NodeFacts] = {}
    results = judge(lab, table, of_target(trouble="it is off")(storage(lab)))
    assert results["storage.disks node1"].status is Status.SKIPPED
    assert results["storage.access"].status is Status.SKIPPED
    assert results["storage.same"].status is Status.SKIPPED
