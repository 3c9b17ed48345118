"""Beginning, grading, solving and finishing an exercise, against a fake engine and a fake host."""

from __future__ import annotations

import errno
import json
import time
from pathlib import Path
from typing import Any

import pytest

from labctl.checks.result import Status
from labctl.course import grade as grading
from labctl.course import progress, session
from labctl.course.form import Exercise
from labctl.course.place import Place
from labctl.course.steps import Done, run_steps
from labctl.course.variables import of_lab
from labctl.engine.base import State
from labctl.errors import ActionFailed, BadFile, UsageError
from labctl.lab.load import load_lab
from labctl.places import LabPlaces
from labctl.run import Result
from labctl.words.lang import HANGUL
from tests.fakes import recorded
from tests.fakes.course import FakeHost
from tests.fakes.engine import FakeEngine

LAB = load_lab("spike", environment={})
ALL = tuple(node.name for node in LAB.nodes)
UNITS = {"chrony": "chrony.service"}
TEXT = {"en": "words", "ko": "말"}


def made(**changes: Any) -> Exercise:
    """A small exercise."""
    return Exercise.model_validate(
        {
            "id": "day1/small",
            "title": TEXT,
            "aim": TEXT,
            "tasks": [TEXT],
            "hints": [TEXT],
            "nodes": list(ALL),
            "start": "nodes",
            "prepare": [{"on": ["node1"], "run": "prepare it"}],
            "solution": [{"on": ["all"], "run": "solve it", "why": TEXT}],
            "checks": [
                check("name", "hostname"),
                check("said", "command", run="say it", equals="yes", on=["node1"], requires=["name"]),
                check("reboot", "again", reboot=True, on=["node2"], checks=["name"], requires=["said"]),
            ],
            "at_start": ["said"],
            "near_miss": [
                {"why": TEXT, "steps": [{"on": ["node1"], "run": "miss it"}], "fails": "said", "says": "x"}
            ],
            "slide": "none",
            "links": ["https://example.com/"],
        }
        | changes
    )


def check(name: str, kind: str, **words: object) -> dict[str, object]:
    return {"id": name, "type": kind, "point": TEXT, "look": "look", **words}


@pytest.fixture
def engine() -> FakeEngine:
    """Four nodes whose probes print what was recorded of a healthy lab."""
    fake = FakeEngine(on=ALL)
    for node in ALL:
        probed(fake, node)
    fake.script(["bash", "-c", "say it"], Result((), 0, "yes\n", ""))
    fake.script(["systemctl", "is-system-running"], Result((), 0, "running\n", ""))
    return fake


def probed(fake: FakeEngine, node: str, **changes: object) -> None:
    document = recorded.document("healthy", node) | changes
    fake.script(["python3", "-I"], Result((), 0, json.dumps(document), ""), node=node)


@pytest.fixture
def host(engine: FakeEngine) -> FakeHost:
    return FakeHost(engine)


@pytest.fixture
def here(host: FakeHost) -> Place:
    return Place(LAB, host, "en", of_lab(LAB, {"unit": UNITS}), UNITS)


@pytest.fixture
def places(tmp_path: Path) -> LabPlaces:
    return LabPlaces("spike", tmp_path)


def commands(engine: FakeEngine, word: str) -> list[tuple[str, str]]:
    """(node, command) of all shell commands that hold a word, in order."""
    found = []
    for call in engine.calls:
        words = call.arguments[0] if call.method == "run" else ()
        if isinstance(words, tuple) and words[:1] == ("bash",) and word in str(words[-1]):
            found.append((call.node, str(words[-1])))
    return found


def statuses(results: list[Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in results:
        found.setdefault(one.id, set()).add(one.status.value)
    return found


# -- grading ----------------------------------------------------------------------------------------


def test_all_right_but_the_proof_was_left_out(here: Place, engine: FakeEngine) -> None:
    results = grading.grade(here, made(), proofs=False)
    assert statuses(results) == {"name": {"passed"}, "said": {"passed"}, "reboot": {"skipped"}}
    assert not grading.passed(results)
    assert commands(engine, "reboot") == []


def test_a_proof_reboots_and_looks_again(here: Place, engine: FakeEngine) -> None:
    def reboot(words: tuple[str, ...], _: str | None) -> Result:
        probed(engine, "node2", uptime=0.0)
        return Result(words, 0, "", "")

    engine.script(["systemctl", "reboot"], reboot)
    results = grading.grade(here, made())
    assert grading.passed(results), statuses(results)


def test_a_proof_that_breaks_something_fails_in_words(here: Place, engine: FakeEngine) -> None:
    def reboot(words: tuple[str, ...], _: str | None) -> Result:
        probed(engine, "node2", uptime=0.0, hostname="lost")
        return Result(words, 0, "", "")

    engine.script(["systemctl", "reboot"], reboot)
    [proof] = [one for one in grading.grade(here, made()) if one.id == "reboot"]
    assert proof.status is Status.FAILED
    assert "after a reboot of node2" in proof.message
    assert "node2.example.com and is lost" in proof.message


def test_what_builds_upon_a_failure_is_not_tried(here: Place, engine: FakeEngine) -> None:
    probed(engine, "node3", hostname="lost")
    results = grading.grade(here, made())
    assert statuses(results) == {"name": {"passed", "failed"}, "said": {"skipped"}, "reboot": {"skipped"}}
    assert "name" in next(one.message for one in results if one.id == "said")
    assert commands(engine, "say it") == []


@pytest.mark.parametrize("works", [True, False])
def test_a_proof_by_a_command_is_put_back(here: Place, engine: FakeEngine, works: bool) -> None:
    proof = check("again", "again", run="shake it", undo="calm it", on=["node1", "node2"], checks=["name"])
    if not works:
        engine.script(["bash", "-c", "shake it"], Result((), 1, "", "no way"), node="node2")
    results = grading.grade(here, made(checks=[check("name", "hostname"), proof]))
    assert grading.passed(results) is works
    assert works or "`shake it` could not be done on node2: no way" in results[-1].message
    assert [node for node, _ in commands(engine, "calm it")] == ["node1", "node2"]


@pytest.mark.parametrize("wrote", ["no way", ""])
def test_a_proof_that_ends_badly_is_told_in_its_own_words(
    here: Place, engine: FakeEngine, wrote: str
) -> None:
    found = {"en": "It does not bear shaking", "ko": "흔들리지 않습니다"}
    proof = check("again", "again", run="shake it", found=found, on=["node2"], checks=["name"])
    engine.script(["bash", "-c", "shake it"], Result((), 1, "", wrote), node="node2")
    results = grading.grade(here, made(checks=[check("name", "hostname"), proof]))
    assert "node2: It does not bear shaking" in results[-1].message
    assert ("(no way)" in results[-1].message) is bool(wrote)
    assert "shake it" not in results[-1].message


def test_a_proof_that_is_cut_off_says_so(
    here: Place, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, gone = time.monotonic, 0.0
    monkeypatch.setattr(time, "monotonic", lambda: clock() + gone)

    def shake(*_: object) -> Result:
        nonlocal gone
        gone += 61.0
        return Result((), 124, "", "")

    proof = check("again", "again", run="shake it", on=["node2"], checks=["name"])
    engine.script(["bash", "-c", "shake it"], shake, node="node2")
    results = grading.grade(here, made(checks=[check("name", "hostname"), proof]))
    assert "did not end within 60 s and was cut off" in results[-1].message


def test_points_and_findings_name_the_labs_own_values(here: Place, engine: FakeEngine) -> None:
    named = {"en": "of {cluster.name}", "ko": "{cluster.name}의 것"}
    one = check("it", "command", run="say it", equals="no", on=["node1"], found=named) | {"point": named}
    [found] = grading.grade(here, made(checks=[one]), patient=False)
    assert found.message == f"of {LAB.cluster.name}: of {LAB.cluster.name}."


@pytest.mark.parametrize(("name", "good"), [("{cluster.name}", True), ("other", False)])
def test_the_clusters_name_may_be_the_labs_own(
    here: Place, engine: FakeEngine, name: str, good: bool
) -> None:
    one = {**check("it", "cluster", members=list(ALL)), "name": name}
    near = {"why": TEXT, "steps": [{"on": ["node1"], "run": "x"}], "fails": "it", "says": "x"}
    [found] = grading.grade(here, made(checks=[one], at_start=["it"], near_miss=[near]))
    assert found.failed is not good, found.message


def test_a_silent_node_is_told_in_the_learners_language(here: Place, engine: FakeEngine) -> None:
    here.lang = "ko"
    engine.stop("node3", timeout=1)
    results = grading.grade(here, made(), proofs=False, patient=False)
    [message] = [one.message for one in results if one.failed and one.node == "node3"]
    assert "전원이 꺼져 있습니다" in message
    assert "switched off" not in message


def test_no_node_answers(here: Place, engine: FakeEngine) -> None:
    engine.failures["observe"] = ActionFailed("The lab's podman service does not answer.")
    results = grading.grade(here, made())
    assert statuses(results) == {"name": {"failed"}, "said": {"skipped"}, "reboot": {"skipped"}}
    assert all("podman service does not answer" in one.message for one in results if one.id == "name")


@pytest.mark.parametrize(
    ("left", "run", "waits"),
    [
        (["ssh", "pcsd"], "say it", True),
        (["pcsd"], "say it", False),
        (["pcsd"], "pcs cluster status", True),
        ([], "pcs cluster status", False),
    ],
)
def test_a_node_that_boots_is_waited_for(
    here: Place, engine: FakeEngine, left: list[str], run: str, waits: bool
) -> None:
    """pcsd starts last; only what asks it waits for it."""
    jobs = "".join(f"{number} {name}.service start running\n" for number, name in enumerate(left))
    commands = recorded.document("healthy", "node3")["commands"]
    told = {"rc": 0, "out": jobs, "err": ""}
    looks = 0

    def probe(words: tuple[str, ...], _: str | None) -> Result:
        nonlocal looks
        looks += 1
        first = {"hostname": "lost", "uptime": 3.0, "commands": commands | {"jobs": told}}
        document = recorded.document("healthy", "node3") | (first if looks == 1 else {})
        return Result(words, 0, json.dumps(document), "")

    def answer(words: tuple[str, ...], _: str | None) -> Result:
        return Result(words, 0, "yes" if looks > 1 else "no", "")

    engine.script(["python3", "-I"], probe, node="node3")
    engine.script(["bash", "-c", run], answer, node="node1")
    said: list[str] = []
    of_all = check("name", "hostname")
    asking = check("said", "command", run=run, equals="yes", on=["node1"])
    results = grading.grade(
        here, made(checks=[of_all, asking], at_start=["said"]), proofs=False, say=said.append
    )
    assert statuses(results)["name"] == ({"passed"} if waits else {"passed", "failed"})
    assert ("waiting: node3 has just been switched on" in said) == waits


@pytest.mark.parametrize("recovers", [True, False])
def test_a_node_that_answers_too_late_is_looked_at_again(
    here: Place, engine: FakeEngine, recovers: bool
) -> None:
    document = recorded.document("healthy", "node3")
    late = {"rc": None, "out": "", "err": "no answer within 5 s"}
    looks = 0

    def probe(words: tuple[str, ...], _: str | None) -> Result:
        nonlocal looks
        looks += 1
        changes = (
            {}
            if looks > 1 and recovers
            else {"hostname": "", "commands": document["commands"] | {"cib": late}}
        )
        return Result(words, 0, json.dumps(document | changes), "")

    engine.script(["python3", "-I"], probe, node="node3")
    results = grading.grade(here, made(), proofs=False)
    assert statuses(results)["name"] == ({"passed"} if recovers else {"passed", "failed"})
    assert looks == (2 if recovers else grading.LOOKS)


# -- steps ------------------------------------------------------------------------------------------


def test_steps_run_on_their_nodes_and_stop_at_a_failure(here: Place, engine: FakeEngine) -> None:
    told: list[Done] = []
    run_steps(here, made(), made().solution, tell=told.append)
    assert [done.where for done in told] == list(ALL)
    engine.script(["bash", "-e"], Result((), 3, "", "broken"), node="node2")
    with pytest.raises(ActionFailed, match=r"failed on node2 \(exit code 3\)") as caught:
        run_steps(here, made(), made().solution)
    assert "broken" in caught.value.details


def test_a_step_that_is_so_already_is_left_out(here: Place, engine: FakeEngine) -> None:
    step = {"on": ["node1"], "run": "solve it", "unless": "is it so", "why": TEXT}
    told: list[Done] = []
    run_steps(here, made(), made(solution=[step]).solution, tell=told.append)
    assert told[0].result is None
    assert commands(engine, "solve it") == []
    engine.script(["bash", "-c", "is it so"], Result((), 1, "", ""))
    run_steps(here, made(), made(solution=[step]).solution)
    assert len(commands(engine, "solve it")) == 1


def waits(words: tuple[str, ...]) -> bool:
    return words[:2] == ("bash", "-c") and "crm_simulate" in words[2]


def test_a_step_that_settles_waits_for_the_cluster_after_its_command(here: Place, engine: FakeEngine) -> None:
    steps = made(prepare=[{"on": ["node1"], "run": "change it", "settle": True}]).prepare
    run_steps(here, made(), steps)
    ran = [call.arguments[0] for call in engine.calls if call.method == "run"]
    assert len(ran) == 2
    assert isinstance(ran[0], tuple)
    assert ran[0][-1] == "change it"
    assert isinstance(ran[1], tuple)
    assert waits(ran[1])


@pytest.mark.parametrize("at", ["command", "wait"])
def test_a_step_that_does_not_settle_has_failed(here: Place, engine: FakeEngine, at: str) -> None:
    steps = made(prepare=[{"on": ["node1"], "run": "change it", "settle": True}]).prepare
    broken = Result((), 124, "", "it is still at work")
    beginning = ["bash", "-e"] if at == "command" else ["bash", "-c"]
    engine.script(beginning, broken)
    with pytest.raises(ActionFailed, match=r"failed on node1 \(exit code 124\)") as caught:
        run_steps(here, made(), steps)
    assert "it is still at work" in caught.value.details
    assert len(engine.called("run")) == (1 if at == "command" else 2), "no wait after a command that failed"


def test_a_snapshot_that_is_not_there_need_not_go(here: Place, host: FakeHost) -> None:
    steps = made(cleanup=[{"on": "host", "run": "labctl snapshot delete old"}]).cleanup
    run_steps(here, made(), steps)
    assert host.calls == []
    host.ages["old"] = 1.0
    run_steps(here, made(), steps)
    assert host.calls == [("snapshot", "delete", "old")]


# -- an exercise's life -----------------------------------------------------------------------------


def test_the_first_exercise_keeps_the_lab_as_it_was(here: Place, host: FakeHost, places: LabPlaces) -> None:
    assert session.begin(here, places, made()) == session.BEFORE
    assert session.begin(here, places, made()) == ""
    assert host.calls == [("keep", "before-course"), ("go_to", "nodes"), ("go_to", "nodes")]


def test_begin_prepares_and_remembers(here: Place, engine: FakeEngine, places: LabPlaces) -> None:
    said: list[str] = []
    session.begin(here, places, made(), say=said.append)
    assert commands(engine, "prepare it") == [("node1", "prepare it")]
    assert said[-1] == "setting up what day1/small begins with"
    known = progress.load(places)
    assert known.active == "day1/small"
    assert known.of("day1/small").started


def test_a_preparation_that_settles_begins_before_the_fence_devices_run(
    here: Place, host: FakeHost, places: LabPlaces
) -> None:
    session.begin(here, places, made(prepare=[{"on": ["node1"], "run": "prepare it", "settle": True}]))
    assert host.calls[-1] == ("go_to", "nodes", "fencing later")


def test_a_start_worth_keeping_is_restored_the_next_time(
    here: Place, host: FakeHost, places: LabPlaces
) -> None:
    exercise = made(keep=True)
    session.begin(here, places, exercise)
    kept = session.kept_name(exercise)
    assert host.calls[1:] == [("go_to", "nodes"), ("keep", kept)]
    session.begin(here, places, exercise)
    assert host.calls[3:] == [("restore", kept)]
    other = made(keep=True, prepare=[{"on": ["node1"], "run": "another"}])
    assert session.kept_name(other) != kept


@pytest.mark.parametrize("error", [BadFile("damaged"), UsageError("other nodes")])
def test_a_kept_start_that_cannot_be_restored_is_made_anew(
    here: Place, host: FakeHost, places: LabPlaces, error: Exception
) -> None:
    exercise = made(keep=True)
    kept = session.kept_name(exercise)
    host.ages |= {
        kept: 1.0,
        "start-day1-small-00000000": 1.0,
        session.BEFORE: 1.0,
        "start-day1-smaller-1": 1.0,
    }
    host.fails = error
    session.begin(here, places, exercise)
    assert host.calls == [
        ("restore", kept),
        ("go_to", "nodes"),
        ("snapshot", "delete", kept),
        ("snapshot", "delete", "start-day1-small-00000000"),
        ("keep", kept),
    ]


def test_a_full_disk_does_not_bar_the_way_to_the_start(
    here: Place, host: FakeHost, places: LabPlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record cannot be written before the start has made room; then it is."""
    session.begin(here, places, made())
    change = progress.change

    def full(*words: Any) -> Any:
        if ("go_to", "nodes") not in host.calls:
            raise OSError(errno.ENOSPC, "No space left on device")
        return change(*words)

    host.calls.clear()
    monkeypatch.setattr(progress, "change", full)
    session.begin(here, places, made(), anew=True)
    assert host.calls == [("go_to", "nodes")]
    assert progress.load(places).active == "day1/small"


def test_what_was_under_way_is_cleared_away_first(here: Place, host: FakeHost, places: LabPlaces) -> None:
    left = made(cleanup=[{"on": "host", "run": "labctl snapshot delete old"}])
    host.ages |= {"old": 1.0, session.BEFORE: 1.0}
    session.begin(here, places, made(), left=left)
    assert host.calls == [("snapshot", "delete", "old"), ("go_to", "nodes")]


def test_after_finish_the_next_one_needs_no_restore(
    here: Place, engine: FakeEngine, host: FakeHost, places: LabPlaces
) -> None:
    session.begin(here, places, made())
    session.finish(here, places, made())
    assert (progress.load(places).active, progress.load(places).at) == ("", "nodes")
    before = len(host.calls)
    session.begin(here, places, made())
    assert host.calls[before:] == []
    session.finish(here, places, made())
    probed(engine, "node1", corosync_conf=False)
    before = len(host.calls)
    session.begin(here, places, made())
    assert host.calls[before:] == [("go_to", "nodes")], "somebody has used the lab meanwhile"
    session.finish(here, places, made())
    before = len(host.calls)
    session.begin(here, places, made(), anew=True)
    assert host.calls[before:] == [("go_to", "nodes")], "--reset takes nobody's word"


def test_a_preparation_that_fails_leaves_no_exercise_under_way(
    here: Place, engine: FakeEngine, places: LabPlaces
) -> None:
    engine.script(["bash", "-e"], Result((), 1, "", "broken"))
    with pytest.raises(ActionFailed) as caught:
        session.begin(here, places, made())
    assert progress.load(places).active == ""
    # By its id: nothing is under way that a bare --reset could mean.
    assert caught.value.mend == "labctl exercise day1/small --reset --lab spike"


def test_solve_is_remembered_as_help(here: Place, places: LabPlaces) -> None:
    session.begin(here, places, made())
    session.solve(here, places, made(), tell=lambda _: None, before=lambda *_: None)
    assert progress.load(places).of("day1/small").helped


@pytest.mark.parametrize(
    ("changes", "words", "mend"),
    [
        ({"needs": ["dlm", "pr"]}, r"virtual machines \(dlm, pr\)", "--lab vm --mode vm"),
        ({"needs": ["vm"]}, "virtual machines,", "--lab vm --mode vm"),
        ({"nodes": [*ALL, "node5"]}, "node5", "--lab nodes-5 --nodes 5"),
        ({"nodes": [*ALL, "node5"], "needs": ["vm"]}, "machines, node5", "--lab vm --mode vm --nodes 5"),
    ],
)
def test_a_lab_that_lacks_what_it_needs(changes: dict[str, Any], words: str, mend: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        session.require(made(**changes), LAB)
    second = mend.split()[1]
    assert caught.value.mend == f"labctl up {mend} && labctl exercise day1/small --lab {second}"
    assert "down" not in caught.value.mend, "the lab at hand holds the learner's work and record"


def test_the_second_lab_has_another_name_than_the_first() -> None:
    _, command = session.unmet(made(needs=["vm"]), LAB.model_copy(update={"name": "vm"}))
    assert command == "labctl up --lab vm-2 --mode vm && labctl exercise day1/small --lab vm-2"


def test_what_the_lab_lacks_is_told_in_the_learners_language() -> None:
    with pytest.raises(UsageError) as caught:
        session.require(made(needs=["vm"]), LAB, "ko")
    assert "가상 머신이(가) 필요합니다" in caught.value.message
    assert HANGUL.search(caught.value.details)
    assert HANGUL.search(caught.value.mend) is None


def test_as_many_nodes_are_asked_for_as_the_highest_number_says() -> None:
    three = LAB.model_copy(update={"nodes": LAB.nodes[:3]})
    what, command = session.unmet(made(nodes=["node1", "node3", "node4"]), three)
    assert what == "node4"
    assert "--nodes 4" in command


def test_a_lab_without_disks(here: Place) -> None:
    without = LAB.model_copy(update={"storage": LAB.storage.model_copy(update={"driver": "none"})})
    assert session.unmet(made(needs=["block"]), LAB) == ("", "")
    what, command = session.unmet(made(needs=["block"]), without)
    assert what == "shared disks"
    assert command.startswith("labctl up --lab disks --storage auto && ")


def test_a_node_that_is_off_counts_as_used(here: Place, engine: FakeEngine, places: LabPlaces) -> None:
    session.begin(here, places, made())
    session.finish(here, places, made())
    rest = progress.load(places).rest
    assert session.at_rest(here, rest)
    engine.stop("node2", timeout=1)
    assert engine.observe()["node2"].state is State.OFF
    assert not session.at_rest(here, rest)
    assert not session.at_rest(here, "")


@pytest.mark.parametrize(
    ("command", "order"),
    [
        ("crm_standby --update on", ["crm_standby --update on"]),
        ("pcs resource create a Dummy", ["pcs resource create a Dummy"]),
        ("systemctl stop pcsd", ["is-system-running", "systemctl stop pcsd"]),
        ("pcs host auth node1", ["is-system-running", "pcs host auth node1"]),
        ("pcs --force cluster stop", ["is-system-running", "pcs --force cluster stop"]),
    ],
)
def test_a_preparation_waits_for_pcsd_only_when_it_asks_it(
    here: Place, engine: FakeEngine, places: LabPlaces, command: str, order: list[str]
) -> None:
    engine.script(["bash", "-e"], Result((), 0, "", ""))
    session.begin(here, places, made(prepare=[{"on": ["node1"], "run": command}]))
    seen = [
        word
        for call in engine.calls
        if call.method == "run" and call.node == "node1" and isinstance(call.arguments[0], tuple)
        for word in (command, "is-system-running")
        if word in call.arguments[0]
    ]
    assert seen == order


@pytest.mark.parametrize(
    ("command", "waits"),
    [("pcs host auth node1", True), ("curl -k https://node1:2224/", True), ("pcs resource disable a", False)],
)
def test_a_solution_waits_for_pcsd_where_it_asks_it(
    here: Place, engine: FakeEngine, places: LabPlaces, command: str, waits: bool
) -> None:
    engine.script(["bash", "-e"], Result((), 0, "", ""))
    for keep in (False, True):
        exercise = made(solution=[{"on": ["node1"], "run": command, "why": TEXT}], keep=keep)
        assert session.wants_pcsd(exercise) == waits
        off = [{"on": ["node1"], "run": "systemctl disable --now {unit.pcsd}"}]
        assert not session.wants_pcsd(exercise.model_copy(update={"prepare": made(prepare=off).prepare}))
        engine.calls.clear()
        session.begin(here, places, exercise)
        assert asked_for_boot(engine) == keep, "what is kept is a start that has come to its end"
        engine.calls.clear()
        session.solve(here, places, exercise, tell=lambda _: None, before=lambda *_: None)
        assert asked_for_boot(engine) == waits
    engine.stop("node2", timeout=1)
    session.solve(here, places, exercise, tell=lambda _: None, before=lambda *_: None)  # as far as it goes


def asked_for_boot(engine: FakeEngine) -> bool:
    return any(
        isinstance(call.arguments[0], tuple) and "is-system-running" in call.arguments[0]
        for call in engine.calls
        if call.method == "run"
    )
