"""What `validate --json`, `--junit` and `status --json` write."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from junitparser import JUnitXml

from labctl.checks.lab_checks import validate
from labctl.checks.report import as_json, write_junit
from labctl.cli.look import _headline, _node_table
from labctl.engine.base import Machine, State
from labctl.lab.load import load_lab
from labctl.lab.model import Lab
from labctl.lab.status import status_document
from labctl.probe.facts import Facts, NodeFacts, ProbeFailure, parse_node
from tests.fakes import recorded


@pytest.fixture(scope="module")
def lab() -> Lab:
    return load_lab("spike", environment={})


def machines(*states: State) -> dict[str, Machine]:
    rows = {f"node{number}": state for number, state in enumerate(states, start=1)}
    return {name: Machine(name, state) for name, state in rows.items() if state is not State.MISSING}


ON = (State.ON,) * 4


def test_json_counts_and_keeps_every_check(lab: Lab) -> None:
    results = validate(lab, recorded.facts("node4-off"), no_outside="it is a test")
    document = json.loads(json.dumps(as_json(results)))
    assert list(document) == ["passed", "failed", "skipped", "checks"]
    counts = document["passed"] + document["failed"] + document["skipped"]
    assert counts == len(results) == len(document["checks"])
    first = {"id": "node.running", "node": "node4", "status": "failed", "hint": "labctl up"}
    assert {**first, "message": "node4 should run, but it is switched off."} in document["checks"]
    assert {"quorum": None}.items() <= {check["id"]: check["node"] for check in document["checks"]}.items()


def test_junit_has_a_case_for_every_check(lab: Lab, tmp_path: Path) -> None:
    results = validate(lab, recorded.facts("fence-device-broken"), no_outside="it is a test")
    path = tmp_path / "validate.xml"
    write_junit(results, path, "labctl.validate")
    (suite,) = JUnitXml.fromfile(str(path))
    counts = as_json(results)
    assert (suite.tests, suite.failures, suite.skipped) == (len(results), counts["failed"], counts["skipped"])
    bad = {case.name: case.result[0] for case in suite if case.result and case.result[0].message}
    assert "start of broken failed" in bad["resources.failed"].message
    assert "labctl exec" in (bad["resources.failed"].text or "")
    assert bad["network.outside"].message == "Nothing to expect: it is a test."


def test_status_of_a_healthy_lab_holds_to_the_contract(lab: Lab) -> None:
    document = json.loads(json.dumps(status_document(lab, machines(*ON), recorded.facts("healthy"))))
    assert {"lab", "mode", "family", "state", "nodes", "cluster", "storage"} <= set(document)
    assert (document["lab"], document["mode"], document["state"]) == ("spike", "container", "up")
    assert document["nodes"][1] == {
        "name": "node2",
        "hostname": "node2.example.com",
        "state": "on",
        "addresses": {
            "default": "192.168.122.120",
            "internal": "192.168.90.120",
            "storage": "192.168.100.120",
        },
        "addresses_set": {"default": True, "internal": True, "storage": True},
    }
    cluster = document["cluster"]
    assert {"name", "quorate", "dc", "online", "offline", "fencing", "resources"} <= set(cluster)
    assert (cluster["name"], cluster["quorate"], cluster["fencing"]) == ("ha_cluster_lab", True, "enabled")
    assert cluster["dc"] in cluster["online"]
    assert len(cluster["online"]) == 4
    assert cluster["offline"] == []
    assert (cluster["configured"], cluster["found"]) == (True, "ha_cluster_lab")
    assert {resource["role"] for resource in cluster["resources"]} == {"Started"}
    assert {"driver", "disks"} <= set(document["storage"])


def test_status_keeps_what_the_storage_layer_says(lab: Lab) -> None:
    document = status_document(lab, {}, {}, {"driver": "lio", "disks": ["sdb"], "why": "configfs is there"})
    assert document["storage"] == {"driver": "lio", "disks": ["sdb"], "why": "configfs is there"}


def without(state: State) -> Facts:
    return {name: ProbeFailure(name, state.value, "a test") for name in ("node1", "node2", "node3", "node4")}


@pytest.mark.parametrize(
    ("states", "facts", "expected"),
    [
        ((State.MISSING,) * 4, {}, "absent"),
        ((State.OFF,) * 4, without(State.OFF), "stopped"),
        ((State.OFF, State.MISSING, State.OFF, State.OFF), without(State.OFF), "stopped"),
        (ON, recorded.facts("healthy"), "up"),
        (ON, recorded.facts("node3-stopped"), "degraded"),
        (ON, recorded.facts("corosync-failed"), "degraded"),
        (ON, without(State.ON), "degraded"),
        ((*ON[:3], State.OFF), recorded.facts("node4-off"), "degraded"),
        ((*ON[:3], State.FROZEN), recorded.facts("healthy"), "degraded"),
    ],
)
def test_the_state_in_one_word(lab: Lab, states: tuple[State, ...], facts: Facts, expected: str) -> None:
    document = status_document(lab, machines(*states), facts)
    assert document["state"] == expected
    assert [node["state"] for node in document["nodes"]] == [state.value for state in states]


def test_a_lab_whose_pacemaker_is_mute_on_one_node_is_not_up(lab: Lab) -> None:
    table = recorded.facts("healthy")
    own = table["node2"]
    assert isinstance(own, NodeFacts)
    table["node2"] = replace(own, cluster=None)
    assert status_document(lab, machines(*ON), table)["state"] == "degraded"


def test_running_nodes_without_a_cluster_are_called_nodes(lab: Lab) -> None:
    table = {}
    for node, told in recorded.raw("healthy").items():
        document = told["document"]
        document["corosync_conf"] = False
        for name in ("links", "quorum", "cmap", "crm_mon", "cib", "controller"):
            document["commands"][name] = {"rc": 1, "out": "", "err": "no daemon"}
        table[node] = parse_node(document)
    document = status_document(lab, machines(*ON), table)
    assert document["state"] == "nodes"
    assert (document["cluster"]["quorate"], document["cluster"]["dc"]) == (False, None)
    assert len(document["cluster"]["offline"]) == 4
    assert (document["cluster"]["configured"], document["cluster"]["found"]) == (False, None)


def test_planned_addresses_are_told_from_those_that_are_set(lab: Lab) -> None:
    table = recorded.facts("node4-off")
    own = table["node2"]
    assert isinstance(own, NodeFacts)
    table["node2"] = replace(own, legs={name: leg for name, leg in own.legs.items() if name != "eth1"})
    table["node3"] = ProbeFailure("node3", "on", "a test")
    document = status_document(lab, machines(State.ON, State.ON, State.ON, State.OFF), table)
    told = [node["addresses_set"] for node in document["nodes"]]
    assert told[0] == {"default": True, "internal": True, "storage": True}
    assert told[1] == {"default": True, "internal": False, "storage": True}
    assert set(told[2].values()) == {None}, "nobody knows"
    assert set(told[3].values()) == {False}
    assert document["nodes"][1]["addresses"]["internal"] == "192.168.90.120", "as planned, all the same"
    _, rows = _node_table(document)
    assert "(192.168.90.120)" in rows[1][3]
    assert "(192.168.122.120)" not in rows[1][3]
    assert rows[3][3].count("(") == 3


def test_a_cluster_is_named_as_the_nodes_name_it(lab: Lab) -> None:
    table = recorded.facts("healthy")
    for name, own in table.items():
        assert isinstance(own, NodeFacts)
        assert own.corosync
        table[name] = replace(own, corosync=replace(own.corosync, cluster_name="mine"))
    document = status_document(lab, machines(*ON), table)
    assert (document["cluster"]["name"], document["cluster"]["found"]) == ("ha_cluster_lab", "mine")
    assert "cluster mine" in _headline(document)


def test_a_cluster_that_does_not_run_is_not_named(lab: Lab) -> None:
    document = status_document(lab, machines(*ON), without(State.ON))
    assert "ha_cluster_lab" not in _headline(document)
    assert "no node answers" in _headline(document)
    table = recorded.facts("healthy")
    for name, own in table.items():
        assert isinstance(own, NodeFacts)
        table[name] = replace(own, corosync=None, cluster=None)
    assert "does not run" in _headline(status_document(lab, machines(*ON), table))
