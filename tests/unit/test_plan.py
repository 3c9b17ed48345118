"""From what is wanted and what is there to what must be done: no I/O, every case by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labctl.cluster.state import Member
from labctl.engine.base import Machine, State
from labctl.lab.load import load_lab
from labctl.lab.model import Lab
from labctl.lab.observe import Observed, StorageSeen
from labctl.lab.plan import Action, Do, Part, Until, plan
from labctl.storage.base import NodeDisks

NAMES = ("node1", "node2", "node3", "node4")


@pytest.fixture(scope="module")
def lab() -> Lab:
    return load_lab("plan").model_copy(update={"family": "debian"})


def conf(lab: Lab, *names: str) -> str:
    nodes = "".join(f"    node {{\n        name: {lab.node(name).hostname}\n    }}\n" for name in names)
    return f"totem {{\n    cluster_name: x\n}}\nnodelist {{\n{nodes}}}\n"


def machine(lab: Lab, name: str, state: State = State.ON, spec: str | None = None) -> Machine:
    return Machine(name, state, spec_hash=spec if spec is not None else lab.node(name).spec_hash(lab))


def healthy(lab: Lab, **changed: Member) -> Observed:
    member = Member(conf=conf(lab, *NAMES), booted=True, corosync=True, pacemaker=True, pcsd=True)
    return Observed(
        image="i",
        bubble=True,
        machines={name: machine(lab, name) for name in NAMES},
        members={name: changed.get(name, member) for name in NAMES},
    )


def does(actions: list[Action]) -> list[tuple[Do, str, Part]]:
    return [(action.do, action.node, action.part) for action in actions]


def test_nothing_to_do_on_a_healthy_lab(lab: Lab) -> None:
    assert plan(lab, healthy(lab), Until.ALL) == []


def test_from_nothing_every_node_is_made_into_a_new_cluster(lab: Lab) -> None:
    actions = plan(lab, Observed(image="", bubble=False), Until.ALL)
    assert does(actions) == [
        (Do.BUILD_IMAGE, "", Part.NONE),
        (Do.START_BUBBLE, "", Part.NONE),
        (Do.MAKE_NETWORKS, "", Part.NONE),
        *((Do.CREATE_NODE, name, Part.FIRST) for name in NAMES),
    ]
    assert all(action.reason for action in actions)


def test_until_nodes_makes_no_cluster(lab: Lab) -> None:
    actions = plan(lab, Observed(image="i", bubble=True), Until.NODES)
    assert {action.part for action in actions} == {Part.NONE}


def test_bare_nodes_are_joined_into_a_new_cluster_later(lab: Lab) -> None:
    bare = Member(booted=True, pcsd=True)
    observed = healthy(lab, **dict.fromkeys(NAMES, bare))
    assert does(plan(lab, observed, Until.ALL)) == [(Do.JOIN_CLUSTER, name, Part.FIRST) for name in NAMES]
    assert plan(lab, observed, Until.NODES) == []


def test_a_removed_node_joins_the_cluster_that_lives(lab: Lab) -> None:
    whole = healthy(lab)
    observed = Observed(
        image="i",
        bubble=True,
        machines={name: whole.machines[name] for name in NAMES[:3]},
        members={name: whole.members[name] for name in NAMES[:3]},
    )
    assert does(plan(lab, observed, Until.ALL)) == [
        (Do.MAKE_NETWORKS, "", Part.NONE),
        (Do.CREATE_NODE, "node4", Part.JOIN),
    ]


def test_a_cluster_built_by_hand_is_left_alone(lab: Lab) -> None:
    three = Member(conf=conf(lab, *NAMES[:3]), booted=True, corosync=True, pacemaker=True, pcsd=True)
    observed = healthy(lab, **dict.fromkeys(NAMES[:3], three), node4=Member(booted=True, pcsd=True))
    assert plan(lab, observed, Until.ALL) == []


def test_no_new_cluster_while_a_machine_that_is_off_may_hold_the_old_one(lab: Lab) -> None:
    observed = Observed(
        image="i",
        bubble=True,
        machines={"node1": machine(lab, "node1", State.OFF)},
        members={},
    )
    actions = plan(lab, observed, Until.ALL)
    assert (Do.START_NODE, "node1", Part.KEEP) in does(actions)
    created = [action for action in actions if action.do is Do.CREATE_NODE]
    assert [action.part for action in created] == [Part.NONE] * 3


@pytest.mark.parametrize(("state", "expected"), [(State.OFF, Do.START_NODE), (State.FROZEN, Do.THAW_NODE)])
def test_a_machine_that_is_not_on_comes_back(lab: Lab, state: State, expected: Do) -> None:
    whole = healthy(lab)
    members = {name: member for name, member in whole.members.items() if name != "node2"}
    machines = {**whole.machines, "node2": machine(lab, "node2", state)}
    actions = plan(lab, Observed("i", bubble=True, machines=machines, members=members), Until.ALL)
    assert does(actions) == [(expected, "node2", Part.KEEP)]


def test_daemons_that_do_not_run_are_started(lab: Lab) -> None:
    stopped = Member(conf=conf(lab, *NAMES), booted=True, corosync=True, pacemaker=False, pcsd=False)
    assert does(plan(lab, healthy(lab, node3=stopped), Until.ALL)) == [
        (Do.START_CLUSTER, "node3", Part.KEEP),
        (Do.START_PCSD, "node3", Part.NONE),
    ]


def test_a_silent_node_is_power_cycled(lab: Lab) -> None:
    [action] = plan(lab, healthy(lab, node1=Member(silent="no answer")), Until.ALL)
    assert (action.do, action.node) == (Do.START_NODE, "node1")
    assert "no answer" in action.reason


def test_a_changed_description_makes_the_node_anew(lab: Lab) -> None:
    whole = healthy(lab)
    machines = {**whole.machines, "node2": machine(lab, "node2", spec="old")}
    actions = plan(lab, Observed("i", bubble=True, machines=machines, members=whole.members), Until.ALL)
    assert does(actions) == [
        (Do.REMOVE_NODE, "node2", Part.NONE),
        (Do.CREATE_NODE, "node2", Part.JOIN),
    ]


def test_a_machine_that_is_not_described_goes(lab: Lab) -> None:
    whole = healthy(lab)
    machines = {**whole.machines, "node9": Machine("node9", State.ON)}
    actions = plan(lab, Observed("i", bubble=True, machines=machines, members=whole.members), Until.ALL)
    assert does(actions) == [(Do.REMOVE_NODE, "node9", Part.NONE)]


# -- shared disks ----------------------------------------------------------------------------

ALL_DISKS = NodeDisks(configured=True, disks=frozenset({"sdb", "sdc", "sdd"}))


def with_disks(lab: Lab, **changed: object) -> Observed:
    seen = StorageSeen(wanted=True, target=State.ON, nodes=dict.fromkeys(NAMES, ALL_DISKS))
    return replace(healthy(lab), storage=replace(seen, **changed))  # type: ignore[arg-type]


def test_nothing_to_do_where_every_node_has_its_disks(lab: Lab) -> None:
    assert plan(lab, with_disks(lab), Until.ALL) == []


def test_from_nothing_the_target_is_served_along_with_the_nodes(lab: Lab) -> None:
    nothing = Observed(image="i", bubble=True, storage=StorageSeen(wanted=True))
    actions = plan(lab, nothing, Until.ALL)
    assert does(actions) == [
        (Do.MAKE_NETWORKS, "", Part.NONE),
        (Do.SERVE_DISKS, "target", Part.NONE),
        *((Do.CREATE_NODE, name, Part.FIRST) for name in NAMES),
    ]


@pytest.mark.parametrize(
    ("changed", "do"),
    [
        ({"target": State.MISSING}, Do.SERVE_DISKS),
        ({"target": State.OFF}, Do.SERVE_DISKS),
        ({"target": State.FROZEN}, Do.SERVE_DISKS),
        ({"machine_current": False}, Do.SERVE_DISKS),
        ({"config_current": False}, Do.UPDATE_TARGET),
    ],
)
def test_a_target_that_is_not_as_wanted_is_mended(lab: Lab, changed: dict[str, object], do: Do) -> None:
    actions = [
        action for action in plan(lab, with_disks(lab, **changed), Until.ALL) if action.node == "target"
    ]
    assert [action.do for action in actions] == [do]
    assert actions[0].reason


def test_a_node_that_lacks_a_disk_logs_in(lab: Lab) -> None:
    some = NodeDisks(configured=True, disks=frozenset({"sdb"}))
    observed = with_disks(lab, nodes={**dict.fromkeys(NAMES, ALL_DISKS), "node3": some})
    [action] = plan(lab, observed, Until.ALL)
    assert (action.do, action.node) == (Do.LOG_IN, "node3")
    assert action.reason == "it lacks sdc, sdd"


def test_nobody_logs_in_to_a_target_that_is_off(lab: Lab) -> None:
    observed = with_disks(lab, target=State.OFF, nodes={})
    assert [action.do for action in plan(lab, observed, Until.ALL)] == [Do.SERVE_DISKS]
