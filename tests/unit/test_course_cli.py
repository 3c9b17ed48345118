"""The course's commands that need no lab."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labctl.checks.result import failed, passed
from labctl.cli.course_print import everywhere, slide, with_lab
from labctl.cli.main import run
from labctl.course import catalog, guide
from labctl.errors import BAD_FILE, OK, USAGE


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


# -- what is printed -------------------------------------------------------------------------------


def test_a_command_in_a_text_names_the_lab() -> None:
    text = "`labctl snapshot create x` and `pcs status`; `labctl exec node1 -- ls`"
    assert with_lab(text, "spike") == (
        "`labctl snapshot create x --lab spike` and `pcs status`; `labctl exec node1 --lab spike -- ls`"
    )


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
