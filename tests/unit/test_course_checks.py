"""Each kind of check seen passing and failing: on recorded facts, and against a fake engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter

from labctl.checks.result import CheckResult, Status
from labctl.course.ask import ask
from labctl.course.fingerprint import differences, fingerprint
from labctl.course.grade import unsettled
from labctl.course.judge import MOST_TOLD, Scene, judge, of_lab
from labctl.course.kinds import Check
from labctl.course.place import Place
from labctl.course.variables import of_lab as variables_of
from labctl.engine.base import State
from labctl.errors import ActionFailed
from labctl.lab.load import load_lab
from labctl.lab.model import Lab
from labctl.probe.facts import NodeFacts, ProbeFailure, TimeSource, Unit
from labctl.probe.gather import NOT_ON
from labctl.run import Result
from labctl.words.lang import Lang
from tests.fakes import recorded
from tests.fakes.course import FakeHost
from tests.fakes.engine import FakeEngine
from tests.fakes.recorded import Edit, edited, view

LAB: Lab = load_lab("spike", environment={})
ALL = ("node1", "node2", "node3", "node4")
UNITS = {"chrony": "chrony.service", "corosync": "corosync.service", "firewalld": "firewalld.service"}
CHECK: TypeAdapter[Any] = TypeAdapter(Check)
TEXT = {"en": "The point", "ko": "항목"}


def check(kind: str, **words: object) -> Any:
    base = {"id": "it", "type": kind, "point": TEXT, "look": "labctl exec {node} -- true"}
    return CHECK.validate_python(base | words)


def scene(facts: Mapping[str, NodeFacts | ProbeFailure] | None = None, lang: Lang = "en") -> Scene:
    return Scene(LAB, ALL, recorded.facts("healthy") if facts is None else facts, lang, UNITS)


def failing(results: Sequence[CheckResult]) -> list[str]:
    return [one.message for one in results if one.status is Status.FAILED]


# -- from facts -------------------------------------------------------------------------------------

GOOD = [
    check("hostname"),
    check("resolve"),
    check("address", networks=["internal", "storage"]),
    check("unit", units=["chrony", "corosync"], active=True, enabled=True),
    check("time", server="node4", on=["node1", "node2", "node3"]),
    check("pcs_hosts", hosts=list(ALL)),
    check("cluster", members=list(ALL), name=LAB.cluster.name),
    check("links", networks=["internal"]),
]


@pytest.mark.parametrize("one", GOOD, ids=lambda one: one.type)
def test_a_healthy_lab_passes(one: Any) -> None:
    results = judge(scene(), one)
    assert failing(results) == []
    assert [result.message for result in results] == ["The point"] * len(results)


WRONG: list[tuple[Any, Edit, str]] = [
    (check("hostname"), lambda own: replace(own, hostname="localhost"), "node2.example.com and is localhost"),
    (
        check("resolve"),
        lambda own: replace(own, names={**own.names, "node3": ("192.168.100.130",)}),
        "node3 should lead to 192.168.90.130 and leads to 192.168.100.130",
    ),
    (
        check("resolve"),
        lambda own: replace(own, reach={**own.reach, "192.168.90.130": False}),
        "node3 (192.168.90.130) does not answer a ping",
    ),
    (
        check("address", networks=["storage"]),
        lambda own: replace(own, legs={**own.legs, "eth2": replace(own.legs["eth2"], addresses=())}),
        "eth2 should have 192.168.100.120/24 and has no address",
    ),
    (
        check("address", networks=["storage"]),
        lambda own: replace(own, legs={name: leg for name, leg in own.legs.items() if name != "eth2"}),
        "there is no interface eth2",
    ),
    (
        check("unit", units=["chrony"], active=True),
        lambda own: replace(own, units={**own.units, "chrony": Unit("chrony", "failed", "", "enabled")}),
        "chrony should be active and is failed",
    ),
    (
        check("unit", units=["chrony"], enabled=True),
        lambda own: replace(own, units={**own.units, "chrony": Unit("chrony", "active", "", "disabled")}),
        "chrony should be enabled for the next boot and is disabled",
    ),
    (
        check("unit", units=["chrony"], enabled=True),
        lambda own: replace(own, units={"chrony": Unit("chrony", "active", "", "enabled-runtime")}),
        "chrony should be enabled for the next boot and is enabled-runtime",
    ),
    (
        check("unit", units=["firewalld"], active=True),
        lambda own: replace(own, units={"chrony": Unit("chrony", "active", "", "enabled")}),
        "firewalld is not installed",
    ),
    (
        check("unit", units=["firewalld"], active=True),
        lambda own: replace(own, units={}, silent={"units": "no answer within 5 s"}),
        "could not be read",
    ),
    (
        check("time", server="node4", on=["node2"]),
        lambda own: replace(own, sources=(TimeSource("192.0.2.1", "?", 0, 0),)),
        "no source node4.example.com (192.168.90.140); it has 192.0.2.1",
    ),
    (  # it serves the cluster's network only
        check("time", server="node4", on=["node2"]),
        lambda own: replace(own, sources=(TimeSource("192.168.122.140", "?", 0, 0),)),
        "no source node4.example.com (192.168.90.140); it has 192.168.122.140",
    ),
    (
        check("time", server="node4", on=["node2"]),
        lambda own: replace(own, sources=(TimeSource("192.168.90.140", "?", 0, 0),)),
        "no answer from it yet (state ?); does chronyd run there?",
    ),
    (check("time", server="node4", on=["node2"]), lambda own: replace(own, tracking=None), "does not answer"),
    (
        check("pcs_hosts", hosts=list(ALL)),
        lambda own: replace(own, pcs_hosts=("node1.example.com",)),
        "no token for node2.example.com, node3.example.com, node4.example.com (it has node1.example.com)",
    ),
    (check("links", networks=["storage"]), lambda own: own, "link 0 should be 192.168.100.120"),
    (
        check("links", networks=["internal", "storage"]),
        lambda own: own,
        "link 1 should be 192.168.100.120 and is nothing",
    ),
    (
        check("links", networks=["internal"]),
        lambda own: replace(own, corosync=None),
        "corosync does not answer",
    ),
]


@pytest.mark.parametrize(("one", "edit", "words"), WRONG, ids=lambda it: getattr(it, "type", None))
def test_what_is_wrong_on_a_node_is_told_in_words(one: Any, edit: Edit, words: str) -> None:
    results = [result for result in judge(scene(edited(edit, "node2")), one) if result.node == "node2"]
    assert len(results) == 1
    assert results[0].message.startswith("The point: ")
    assert words in results[0].message
    assert results[0].hint == "labctl exec node2 --lab spike -- true"


def short_names(own: NodeFacts) -> NodeFacts:
    assert own.cluster is not None
    nodes = tuple(replace(node, name=node.name.partition(".")[0]) for node in own.cluster.nodes)
    return replace(own, cluster=replace(own.cluster, nodes=nodes))


OF_CLUSTER: list[tuple[dict[str, Any], Edit, str]] = [
    ({}, view(quorate=False), "no quorum"),
    ({}, view(dc=""), "no DC is elected"),
    ({"name": "other"}, lambda own: own, "should be other and is ha_cluster_lab"),
    ({}, short_names, "node1 is in the cluster by its short name; the full name node1.example.com is wanted"),
    (
        {"members": ["node1", "node2", "node3"]},
        lambda own: own,
        "node4.example.com is in the cluster and should not be",
    ),
    (
        {},
        lambda own: replace(own, cluster=None, corosync=None),
        "no cluster runs on node1, node2, node3, node4",
    ),
]


@pytest.mark.parametrize(("words", "edit", "told"), OF_CLUSTER, ids=[told for _, _, told in OF_CLUSTER])
def test_what_is_wrong_with_the_cluster_is_told_in_words(
    words: dict[str, Any], edit: Edit, told: str
) -> None:
    [result] = judge(scene(edited(edit)), check("cluster", **({"members": list(ALL)} | words)))
    assert told in result.message


def test_nodes_that_are_offline_or_unknown() -> None:
    def edit(own: NodeFacts) -> NodeFacts:
        assert own.cluster is not None
        first, second, third, _ = own.cluster.nodes
        gone = (first, replace(second, online=False), replace(third, standby=True))
        return replace(own, cluster=replace(own.cluster, nodes=gone))

    [result] = judge(scene(edited(edit)), check("cluster", members=list(ALL)))
    for words in ("is offline", "is standby", "node4.example.com is not in the cluster"):
        assert words in result.message


def test_two_dcs_are_seen() -> None:
    table = edited(view(dc="node3.example.com"), "node3")
    [result] = judge(scene(table), check("cluster", members=list(ALL)))
    assert "different DCs" in result.message


@pytest.mark.parametrize("one", GOOD, ids=lambda one: one.type)
def test_a_node_that_is_silent_gives_words(one: Any) -> None:
    table = recorded.facts("healthy") | {"node2": ProbeFailure("node2", "off", "it is switched off")}
    told = failing(judge(scene(table), one))
    assert any("node2 does not answer: it is switched off" in words for words in told)


def test_a_node_that_is_off_has_to_be_switched_on_before_one_can_look() -> None:
    off = ProbeFailure("node2", "off", NOT_ON[State.OFF])
    frozen = ProbeFailure("node3", "frozen", NOT_ON[State.FROZEN])
    table = recorded.facts("healthy") | {"node2": off, "node3": frozen}
    hints = {one.node: one.hint for one in judge(scene(table), check("hostname")) if one.failed}
    assert hints == {"node2": "labctl up --lab spike", "node3": "labctl exec node3 --lab spike -- true"}


def test_a_long_list_of_problems_is_cut() -> None:
    [result] = judge(
        scene(edited(lambda own: replace(own, names={}), "node1")), check("resolve", on=["node1"])
    )
    assert result.message.count(" is not known here ") == MOST_TOLD
    assert result.message.endswith("more.")


def test_the_words_are_korean_when_asked() -> None:
    table = edited(lambda own: replace(own, hostname="x"), "node1")
    [result] = judge(scene(table, "ko"), check("hostname", on=["node1"]))
    assert result.message == "항목: 호스트 이름: node1.example.com이어야 하는데 현재 x입니다."


@pytest.mark.parametrize(
    ("lab", "command", "told"),
    [
        ("default", "labctl exec node1 -- true", "labctl exec node1 -- true"),
        ("x", "labctl exec node1 -- true -- y", "labctl exec node1 --lab x -- true -- y"),
        ("x", "labctl snapshot list", "labctl snapshot list --lab x"),
        ("x", "see the manual", "see the manual"),
        ("x", "labctl snapshot --help", "labctl snapshot --help"),
    ],
)
def test_a_command_to_look_with_names_the_lab(lab: str, command: str, told: str) -> None:
    assert of_lab(lab, command) == told


# -- what is still on its way -----------------------------------------------------------------------


def test_a_lab_at_rest_is_settled() -> None:
    assert unsettled(scene(), [check("cluster", members=list(ALL))]) == ""


def test_a_cluster_in_transition_is_waited_for() -> None:
    table = edited(
        lambda own: replace(own, controller="S_TRANSITION_ENGINE" if own.controller == "S_IDLE" else "")
    )
    assert unsettled(scene(table), []) == "the cluster is still at work"


def test_a_young_pacemaker_without_a_dc_is_waited_for() -> None:
    def edit(own: NodeFacts) -> NodeFacts:
        units = {**own.units, "pacemaker": Unit("pacemaker", "active", "running", "enabled", 5.0)}
        return view(dc="")(replace(own, units=units))

    assert unsettled(scene(edited(edit)), []) == "the cluster is still at work"


def test_a_source_that_is_there_is_waited_for_and_one_that_is_not_is_not() -> None:
    def young(*sources: TimeSource) -> Edit:
        daemon = Unit("chrony", "active", "running", "enabled", 3.0)
        return lambda own: replace(own, units={**own.units, "chrony": daemon}, sources=sources)

    wrong = [check("time", server="node4")]
    coming = TimeSource("192.168.90.140", "?", 0, 0)
    assert unsettled(scene(edited(young(coming), "node1")), wrong) == "chronyd has just been started"
    assert unsettled(scene(edited(young(), "node1")), wrong) == ""


# -- asked of the nodes -----------------------------------------------------------------------------


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(on=ALL)


def place(engine: FakeEngine) -> Place:
    return Place(LAB, FakeHost(engine), "en", variables_of(LAB, {"unit": UNITS}), UNITS)


def answer(out: str = "", rc: int = 0, err: str = "") -> Result:
    return Result((), rc, out, err)


@pytest.mark.parametrize(
    ("words", "out", "rc", "told"),
    [
        ({"equals": "yes"}, " yes\n", 0, ""),
        ({"equals": "yes"}, "no\n", 0, "`true x` should say yes and says: no"),
        ({"equals": "{cluster.name}"}, "ha_cluster_lab\n", 0, ""),
        ({"contains": "b"}, "abc", 0, ""),
        ({"contains": "d"}, "abc", 0, "should say d and says: abc"),
        ({"contains": "d"}, "", 0, "should say d and says: nothing"),
        ({"equals": "a\nb"}, "abc", 0, "`true x` says: abc"),
        ({"lacks": "b"}, "abc", 0, "says: abc"),
        ({"matches": "a.*c$"}, "a\nb\nc\n", 0, ""),
        ({"matches": "x"}, "", 0, "says nothing"),
        ({}, "", 3, "should end with 0 and ended with 3"),
        ({"rc": None, "equals": "0"}, "0\n", 1, ""),
        ({"rc": 3}, "", 3, ""),
        ({"contains": "d", "found": {"en": "in words", "ko": "한국어"}}, "abc", 0, "in words"),
    ],
)
def test_a_commands_output_is_compared(
    engine: FakeEngine, words: dict[str, Any], out: str, rc: int, told: str
) -> None:
    engine.script(["bash"], answer(out, rc))
    [result] = ask(place(engine), scene(), check("command", run="true x", on=["node1"], **words))
    assert (result.status is Status.PASSED) is (told == "")
    assert told in result.message


@pytest.mark.parametrize("words", [{}, {"rc": None}, {"found": {"en": "in words", "ko": "한국어"}}])
def test_a_command_cut_off_by_its_time_is_no_finding(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, words: dict[str, Any]
) -> None:
    clock = iter((0.0, 10.0))
    monkeypatch.setattr("labctl.course.ask.time.monotonic", lambda: next(clock))
    engine.script(["bash"], answer("half", 124))
    [told] = failing(ask(place(engine), scene(), check("command", run="true x", on=["node1"], **words)))
    assert "`true x` did not end within 10 s" in told


def test_a_port_that_is_not_tried_in_time_is_not_called_closed(engine: FakeEngine) -> None:
    engine.script(["python3"], answer(), node="node1")
    engine.script(["python3"], answer(rc=124), node="node4")
    words = {"source": "node4", "port": 2224, "on": ["node1"], "open": False}
    [told] = failing(ask(place(engine), scene(), check("port", **words)))
    assert "port 2224 could not be tried: no answer within" in told


def test_a_node_that_breaks_off_gives_words(engine: FakeEngine) -> None:
    engine.failures["run"] = ActionFailed("The lab's podman service does not answer.")
    for one in (
        check("command", run="true"),
        check("login", source="node4"),
        check("port", source="node4", port=2224),
        check("cib", xpath="//x"),
    ):
        told = failing(ask(place(engine), scene(), one))
        assert told
        assert all("podman service does not answer" in words for words in told)


def test_a_login_is_tried_under_both_names(engine: FakeEngine) -> None:
    engine.script(["ssh"], answer(), node="node4")
    assert not failing(ask(place(engine), scene(), check("login", source="node4", on=["node1"])))
    tried = [call.arguments[0] for call in engine.calls if call.method == "run"]
    assert [words[-2] for words in tried if isinstance(words, tuple)] == [
        "root@node1",
        "root@node1.example.com",
    ]
    engine.script(["ssh"], answer(rc=255, err="root@node1: Permission denied (publickey)."), node="node4")
    [told] = failing(ask(place(engine), scene(), check("login", source="node4", on=["node1"])))
    assert "root@node1.example.com does not let node4 in by key" in told


@pytest.mark.parametrize(
    ("said", "wanted", "good"),
    [("open", True, True), ("refused", True, False), ("open", False, False), ("x", False, True)],
)
def test_a_port_is_open_or_not(engine: FakeEngine, said: str, wanted: bool, good: bool) -> None:
    engine.script(["python3"], answer(), node="node1")
    engine.script(["python3"], answer(said + "\n"), node="node4")
    one = check("port", source="node4", port=2224, open=wanted, on=["node1"])
    [result] = ask(place(engine), scene(), one)
    assert (result.status is Status.PASSED) is good


@pytest.mark.parametrize(
    ("xml", "rc", "words", "told"),
    [
        ("<primitive id='a'/>", 0, {}, ""),
        ("<xpath-query><a/><a/></xpath-query>", 0, {"count": 2}, ""),
        ("<xpath-query><a/><a/></xpath-query>", 0, {"count": 1}, "should hold 1 of //a and holds 2"),
        ("", 105, {}, "at least one of //a and holds 0"),
        ("", 105, {"count": 0}, ""),
        ("", 102, {}, "cannot be read"),
    ],
)
def test_the_cib_is_asked_by_xpath(
    engine: FakeEngine, xml: str, rc: int, words: dict[str, Any], told: str
) -> None:
    engine.script(["cibadmin"], answer(xml, rc))
    [result] = ask(place(engine), scene(), check("cib", xpath="//a", **words))
    assert told in result.message
    assert (result.status is Status.PASSED) is (told == "")


def test_a_lab_that_was_brought_back(engine: FakeEngine) -> None:
    here = place(engine)
    one = check("restored", snapshot="before")
    [told] = failing(ask(here, scene(), one))
    assert "has no snapshot before" in told
    assert isinstance(here.host, FakeHost)
    here.host.ages["before"] = 60.0
    for back in (("", 0.0), ("before", 70.0), ("another", 10.0)):
        here.host.back = back
        [told] = failing(ask(here, scene(), one))
        assert "was not brought back to snapshot before after it was made" in told
    here.host.back = ("before", 50.0)
    assert failing(ask(here, scene(), one)) == []


# -- the lab's fingerprint ----------------------------------------------------------------------------


def test_a_fingerprint_forgets_what_changes_by_itself() -> None:
    before = fingerprint(recorded.facts("healthy"))
    later = fingerprint(edited(lambda own: replace(own, uptime=own.uptime + 60, started=0.0, disk_free=1)))
    assert differences(before, later) == []
    changed = fingerprint(edited(lambda own: replace(own, hostname="x"), "node2"))
    assert differences(before, changed) == ["node2: hostname was 'node2.example.com' and is 'x'"]
    silent = recorded.facts("healthy") | {"node1": ProbeFailure("node1", "off", "")}
    assert differences(before, fingerprint(silent))


def test_a_fingerprint_takes_pcsd_for_started_while_it_starts() -> None:
    """And nothing else, and not when nobody is starting it."""

    def with_unit(name: str, active: str, *jobs: str) -> Edit:
        return lambda own: replace(
            own, jobs=jobs, units={**own.units, name: replace(own.units[name], active=active)}
        )

    before = fingerprint(recorded.facts("healthy"))
    for active in ("inactive", "activating"):
        starting = fingerprint(edited(with_unit("pcsd", active, "pcsd.service", "multi-user.target")))
        assert differences(before, starting) == []
    assert differences(before, fingerprint(edited(with_unit("pcsd", "inactive"))))
    assert differences(before, fingerprint(edited(with_unit("corosync", "activating", "corosync.service"))))
