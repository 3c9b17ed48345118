"""The course's commands that need no lab."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from labctl.checks.result import failed, passed
from labctl.cli import life
from labctl.cli.course_host import variable_names
from labctl.cli.course_print import everywhere, slide, task, with_lab
from labctl.cli.course_results import farewell
from labctl.cli.main import how_to_go_on, run
from labctl.course import catalog, guide, progress
from labctl.course.place import Place
from labctl.errors import BAD_FILE, FAILED, OK, USAGE
from labctl.lab import record
from labctl.lab.load import load_lab
from labctl.lab.model import Mode
from labctl.lab.plan import Until
from labctl.places import LabPlaces, lab_places
from tests.fakes.course import FakeHost
from tests.fakes.engine import FakeEngine


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No lab, no language, no folder of a teacher."""
    monkeypatch.setenv("LABCTL_STATE", str(tmp_path / "state"))
    for name in ("LABCTL_LANG", "LABCTL_COURSE", "LABCTL_LAB", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)


def test_labctls_own_exercises_are_without_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["exercise", "lint", "--json"]) == OK
    told = json.loads(capsys.readouterr().out)
    assert told["mistakes"] == []
    assert "day1/names" in told["exercises"]


def test_a_mistake_is_told_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (catalog.OWN / "day1" / "ssh.yaml").read_text(encoding="utf-8").replace("aim:", "aims:", 1)
    (tmp_path / "ssh.yaml").write_text(text, encoding="utf-8")
    assert run(["exercise", "lint", str(tmp_path)]) == BAD_FILE
    told = capsys.readouterr().err
    assert "ssh.yaml:6: aims: unknown key (did you mean aim?)" in told
    assert run(["exercise", "lint", str(tmp_path), "--json"]) == BAD_FILE
    codes = {one["code"]: one["line"] for one in json.loads(capsys.readouterr().out)["mistakes"]}
    assert codes == {"unknown-key": 6, "missing": 1}


def test_nothing_to_lint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["exercise", "lint", str(tmp_path)]) == BAD_FILE
    assert run(["exercise", "lint", str(tmp_path / "none")]) == USAGE
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(("lang", "word"), [("en", "Quorum"), ("ko", "쿼럼")])
def test_the_guide_of_a_day(lang: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["guide", "day1", "--lang", lang]) == OK
    assert word in capsys.readouterr().out


def test_a_guide_names_its_commands_as_they_were_called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LABCTL_INVOKED_AS", "./lab")
    assert run(["guide", "day1", "--lang", "en"]) == OK
    told = capsys.readouterr().out
    assert "`./lab exec node1`" in told
    assert "`labctl " not in told


def test_the_help_of_a_group_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["snapshot"]) == USAGE
    told = capsys.readouterr()
    assert "restore" in told.out + told.err
    assert "error:" not in told.err


def test_the_errata_are_a_page_of_the_guide(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["guide", "errata", "--lang", "en"]) == OK
    english = capsys.readouterr().out
    assert run(["guide", "errata", "--lang", "ko"]) == OK
    korean = capsys.readouterr().out
    assert english.startswith("# Errata")
    assert korean.startswith("# 정오표")
    assert english.count("\n| ") == korean.count("\n| ") > 20


def test_a_guide_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["guide", "day11"]) == USAGE
    assert "did you mean day1?" in capsys.readouterr().err


@pytest.mark.parametrize("day", guide.days())
def test_a_guide_names_every_exercise_of_its_day_in_both_languages(day: str) -> None:
    for each in catalog.load().of_day(day):
        for lang in ("en", "ko"):
            assert each.id in guide.text(day, lang)


def test_a_class_report_needs_no_lab(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.json").write_text("[]")
    assert run(["progress", "report", str(tmp_path), "--json"]) == OK
    captured = capsys.readouterr()
    assert json.loads(captured.out)["students"] == []
    assert "x.json is no export" in captured.err


# -- a lab that is described and does not run --------------------------------------------------------


@pytest.fixture
def known(tmp_path: Path) -> Callable[..., LabPlaces]:
    """Makes the default lab's folder with a record of exercises that are passed, and one under way."""

    def made(*ids: str, active: str = "") -> LabPlaces:
        places = lab_places("default")
        places.root.mkdir(parents=True)
        passed_ones = {each: progress.Record(passed="2026-01-01") for each in ids}
        progress.change(
            places, lambda now: now.model_copy(update={"active": active, "exercises": passed_ones})
        )
        return places

    return made


Known = Callable[..., LabPlaces]
IN_CONTAINERS = ("day3/apache", "day3/apache-second", "day3/mariadb", "day3/postgresql")


def test_a_day_that_is_done_as_far_as_the_lab_goes(known: Known, capsys: pytest.CaptureFixture[str]) -> None:
    known(*IN_CONTAINERS)
    assert run(["exercise", "day3"]) == OK
    told = capsys.readouterr()
    assert "All exercises of day3 that lab default can hold are done." in told.out
    assert (
        "day3/gfs2 needs virtual machines (dlm, lvm), which this lab has not got: "
        "`labctl up --lab vm --mode vm && labctl exercise day3/gfs2 --lab vm`"
    ) in told.err
    assert "apache" not in told.err


def test_a_day_goes_on_with_what_is_under_way(known: Known, capsys: pytest.CaptureFixture[str]) -> None:
    places = known(active="day1/ssh")
    assert run(["exercise", "day1"]) == FAILED
    assert "Lab default does not run." in capsys.readouterr().err, "only the task would have been told"
    assert progress.load(places).active == "day1/ssh"


@pytest.mark.parametrize(
    ("active", "until", "far"),
    [
        ("day1/ssh", "nodes", Until.NODES),
        ("day2/scores", "cluster", Until.CLUSTER),
        ("day2/scores", "all", Until.ALL),
        ("", "nodes", Until.ALL),
    ],
)
def test_up_does_not_do_the_work_of_the_exercise_that_is_under_way(
    known: Known, capsys: pytest.CaptureFixture[str], active: str, until: str, far: Until
) -> None:
    places = known(active=active)
    record.save(places.record, record.Record("default", "debian", "image", "container", until, 4))
    assert life.as_far_as_the_exercise("default") is far
    assert ("labctl up --until all" in capsys.readouterr().err) is (far is not Until.ALL)


def test_up_does_all_where_no_lab_is() -> None:
    assert life.as_far_as_the_exercise("default") is Until.ALL


def test_the_farewell_tells_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    course, lab = catalog.load(), load_lab("default", environment={})
    place = Place(lab, FakeHost(FakeEngine()), "en", {}, {})

    def told(*ids: str) -> str:
        record = progress.Progress(lab="default")
        for each in ids:
            record = record.with_record(each, passed="2026-01-01")
        farewell(place, course, course.find(ids[-1]), record)
        return capsys.readouterr().out

    day1 = [each.id for each in course.of_day("day1")]
    assert "All exercises of day1" not in told(day1[-1]), "the earlier ones are still open"
    assert "labctl exercise day1" in told(day1[-1])
    everything = told(*day1)
    assert "All exercises of day1 are done." in everything
    assert "labctl exercise day2" in everything
    assert "that lab default can hold" in told(*IN_CONTAINERS)


@pytest.mark.parametrize(
    ("words", "code", "korean"),
    [
        (["exercise", "day2/fence-sbd"], USAGE, "가상 머신"),
        (["exercise", "day1/nmaes"], USAGE, "혹시 day1/names인가요?"),
        (["exercise", "day1", "day2"], USAGE, "한 번에 하나만"),
        (["hint"], USAGE, "진행 중인 실습이 없습니다"),
        (["check"], FAILED, "실행되고 있지 않습니다"),
        (["check", "--lab", "none"], USAGE, "'none' 랩이 없습니다"),
        (["guide", "day11"], USAGE, "안내서가 없습니다"),
    ],
)
def test_errors_are_told_in_the_learners_language(
    known: Known, capsys: pytest.CaptureFixture[str], words: list[str], code: int, korean: str
) -> None:
    known()
    assert run([*words, "--lang", "ko"]) == code
    assert korean in capsys.readouterr().err


def test_the_language_that_was_asked_for_once_holds_for_errors(
    known: Known, capsys: pytest.CaptureFixture[str]
) -> None:
    known()
    run(["exercise", "list", "--lang", "ko"])
    capsys.readouterr()
    assert run(["check"]) == FAILED
    assert "실행되고 있지 않습니다" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--json"], ["--junit", "x.xml"], ["--all"]])
def test_watching_goes_with_no_report(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "--watch", *option]) == USAGE
    told = capsys.readouterr()
    assert told.out == ""
    assert f"labctl check {' '.join(option)}" in told.err


@pytest.mark.parametrize(
    ("words", "way_on"),
    [
        (["up"], True),
        (["--debug", "snapshot", "create", "x"], True),
        (["check", "--watch"], False),
        (["logs", "-f"], False),
        ([], False),
    ],
)
def test_an_interrupted_command_is_told_how_to_go_on_where_it_made_something(
    words: list[str], way_on: bool
) -> None:
    assert ("labctl down" in how_to_go_on(words)) is way_on


# -- what is printed -------------------------------------------------------------------------------


def test_a_command_in_a_text_names_the_lab() -> None:
    text = "`labctl snapshot create x` and `pcs status`; `labctl exec node1 -- ls`"
    assert with_lab(text, "spike") == (
        "`labctl snapshot create x --lab spike` and `pcs status`; `labctl exec node1 --lab spike -- ls`"
    )


@pytest.mark.parametrize(
    ("id_", "mode", "entered"),
    [
        ("day1/network", "container", "labctl exec node1"),
        ("day1/network", "vm", "labctl console node1"),
        ("day1/time", "vm", "labctl ssh node1"),
    ],
)
def test_a_task_names_the_way_in_that_works(
    id_: str, mode: Mode, entered: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = load_lab("spike", environment={})
    nodes = tuple(node.model_copy(update={"mode": mode}) for node in whole.nodes)
    lab = whole.model_copy(update={"nodes": nodes, "family": "debian"})
    task(catalog.load(variables=variable_names()).find(id_), lab, "en", carry_on=False)
    assert f"{entered} --lab {lab.name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "korean"),
    [
        ("Clusters, a first one (클러스터 구성)", "클러스터 구성"),
        ("Scores (SCORE, SCORE(LOCATION) 점수)", "SCORE, SCORE(LOCATION) 점수"),
        ("CHAP for the clients (ISCSI CLIENT CHAP)", "CHAP for the clients (ISCSI CLIENT CHAP)"),
    ],
)
def test_a_korean_learner_reads_the_slides_own_heading(words: str, korean: str) -> None:
    assert slide(words, "en") == words
    assert slide(words, "ko") == korean


def test_what_is_alike_on_all_nodes_is_one_line_and_a_failure_is_not() -> None:
    good = [passed("name", node, "so it is") for node in ("node1", "node2")]
    bad = [failed("port", node, "closed", "look") for node in ("node1", "node2")]
    shown = everywhere([*good, *bad], "ko")
    assert [one.node for one in shown] == ["모든 노드", "node1", "node2"]
