"""Exercises as files: those that labctl brings, and every way a teacher's file can be wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from labctl.cli.course_host import variable_names
from labctl.cli.snapshot import UNITS
from labctl.console import LABELS
from labctl.course import catalog
from labctl.course.crosscheck import crosscheck
from labctl.course.form import Exercise
from labctl.course.kinds import KINDS
from labctl.course.read import bad_file, read_exercise
from labctl.course.variables import fill, unknown
from labctl.engine.base import State
from labctl.errors import BAD_FILE, USAGE, BadFile, UsageError
from labctl.lab.status import LabState
from labctl.words.lang import HANGUL, LANGS, from_locale
from labctl.words.phrases import PHRASES

VARIABLES = variable_names()
OWN = catalog.load(variables=VARIABLES)
DAYS = {
    "day1": "snapshot network names time ssh firewall cluster cluster-lab add-remove",
    "day2": (
        "iscsi-target iscsi-chap iscsi-initiator iscsi-repair iscsi-grow pcs-lab inspect fence-ipmi "
        "fence-scsi fence-sbd stonith-file acl client-auth alert-file alert-smtp web-ui node-states config "
        "constraints scores properties resource-classes"
    ),
    "day3": "ha-lvm lvm-shared nfs apache apache-second mariadb postgresql gfs2 gfs2-grow drbd",
}
NAMES = catalog.OWN / "day1" / "names.yaml"
EXAMPLE = Path(__file__).parents[2] / "docs" / "writing-exercises.md"


def changed(tmp_path: Path, *changes: tuple[str, str], name: str = "names") -> Path:
    """day1/names with every first `old` become `new`; an absent `old` fails the test."""
    text = NAMES.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    path = tmp_path / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(path: Path) -> list[tuple[str, str]]:
    """Code and dotted path of every mistake."""
    _, found = read_exercise(path, variables=VARIABLES)
    return sorted((one.code, ".".join(map(str, one.path))) for one in found)


# -- labctl's own ---------------------------------------------------------------------------------


@pytest.mark.parametrize("day", DAYS)
def test_a_day_is_whole_and_in_the_order_of_the_course(day: str) -> None:
    assert [each.name for each in OWN.of_day(day)] == DAYS[day].split()


@pytest.mark.parametrize("exercise", OWN.exercises, ids=lambda each: each.id)
def test_every_text_of_labctls_own_is_there_in_both_languages(exercise: Exercise) -> None:
    texts = [exercise.title, exercise.aim, *exercise.tasks, *exercise.hints]
    texts += [step.why for step in exercise.solution] + [check.point for check in exercise.checks]
    for text in texts:
        assert not HANGUL.search(text.en), text.en
        assert HANGUL.search(text.ko), text.ko


@pytest.mark.parametrize("exercise", OWN.exercises, ids=lambda each: each.id)
def test_a_task_does_not_tell_the_commands(exercise: Exercise) -> None:
    told = " ".join(task.en for task in exercise.tasks)
    assert not re.search(r"\b(pcs|nmcli|firewall-cmd|ssh-keygen|hostnamectl|chronyc) [a-z-]", told)


@pytest.mark.parametrize("key", PHRASES)
def test_a_phrase_takes_the_same_words_in_both_languages(key: str) -> None:
    english, korean = (set(re.findall(r"\{(\w+)\}", text)) for text in PHRASES[key])
    assert english == korean


def said_as_state() -> set[str]:
    """The keys that are put together of a word of `status --json`, a stage of `up` or a unit of time."""
    labctl = Path(__file__).parents[2] / "labctl/lab"
    source = "".join(path.read_text(encoding="utf-8") for path in labctl.glob("*.py"))
    return {
        *(f"lab-{state}" for state in (*get_args(LabState), "off")),
        *(f"machine-{state}" for state in State),
        *(f"cluster-{word}" for word in ("online", "offline", "enabled", "disabled", "failed")),
        *(f"stage-{name}" for name in re.findall(r"""during\("(\w+)"\)""", source)),
        *(f"age-{unit}" for unit in ("s", *(name for _, name in UNITS))),
        *(f"label-{name}" for name in LABELS),
    }


def test_every_state_stage_and_unit_has_its_phrase() -> None:
    assert said_as_state() <= set(PHRASES)


def test_a_phrase_is_korean_unless_it_is_the_same_in_both_languages() -> None:
    for english, korean in PHRASES.values():
        assert HANGUL.search(korean) or english == korean, english


@pytest.mark.parametrize("key", PHRASES)
def test_a_phrase_is_said_somewhere(key: str) -> None:
    labctl = Path(__file__).parents[2] / "labctl"
    files = [path for name in ("course", "cli") for path in (labctl / name).glob("*.py")]
    source = "".join(path.read_text(encoding="utf-8") for path in files if not path.name.endswith("words.py"))
    assert key.startswith("column-") or key in said_as_state() or re.search(rf"""['"]{key}['"]""", source)


# -- finding --------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["day1/names", "names"])
def test_an_exercise_is_found_by_id_and_by_name(word: str) -> None:
    assert OWN.find(word).id == "day1/names"


@pytest.mark.parametrize(
    ("word", "near"), [("day1/nmaes", "day1/names"), ("clustr", "cluster"), ("day11", "day1")]
)
def test_an_unknown_one_is_told_with_the_nearest(word: str, near: str) -> None:
    with pytest.raises(UsageError, match=rf"did you mean {near}\?") as caught:
        OWN.find(word)
    assert caught.value.exit_code == USAGE
    assert "day1/ssh" in caught.value.details


def test_a_teachers_folder_adds_and_replaces(tmp_path: Path) -> None:
    changed(tmp_path, ("en: Host names and /etc/hosts", "en: Mine"))
    changed(tmp_path, ("id: day1/names", "id: day5/more"), name="more")
    course = catalog.load((tmp_path,), variables=VARIABLES)
    assert [each.name for each in course.of_day("day1")] == DAYS["day1"].split()
    assert course.find("names").title.en == "Mine"
    assert course.days[-1] == "day5"


def test_one_exercise_is_read_alone() -> None:
    for each in OWN.exercises:
        assert catalog.own(each.id) == each
    assert catalog.own("day1/nothing") is None
    first = catalog.load().exercises[0]
    assert catalog.own(f"{first.day}/../{first.id}") is None, "an id is no path"


def test_a_broken_file_of_a_teacher_leaves_the_rest_usable(tmp_path: Path) -> None:
    changed(tmp_path, ("aim:", "amis:"))
    course = catalog.load((tmp_path,), variables=VARIABLES)
    assert course.find("names") == OWN.find("names")
    assert {one.code for one in course.broken} == {"unknown-key", "missing"}


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        catalog.load((tmp_path / "none",))


# -- mistakes -------------------------------------------------------------------------------------

MISTAKES = [
    ("unknown-key", "tittle", [("title:\n", "tittle: x\ntitle:\n")]),
    ("missing", "aim", [("aim:\n  en: >-", "notes2:\n  en: >-")]),
    (
        "unknown-key",
        "checks.0.pont",
        [("    point:\n      en: The node bears", "    pont:\n      en: The node bears")],
    ),
    ("value", "checks.0.type", [("type: hostname", "type: hostnames")]),
    ("missing", "checks.0.type", [("    type: hostname\n", "")]),
    ("value", "title.ko", [("ko: 호스트 이름과 /etc/hosts", "ko: Host names")]),
    ("type", "place", [("place: 30", "place: thirty")]),
    ("value", "start", [("start: nodes", "start: node")]),
    ("value", "links.0", [("https://www", "http://www")]),
    ("type", "nodes", [("nodes: [node1, node2, node3, node4]", "nodes: []")]),
    ("reference", "near_miss.1.fails", [("fails: table", "fails: tabel")]),
    ("reference", "at_start.1", [("at_start: [hostname, table]", "at_start: [hostname, tables]")]),
    ("duplicate", "checks.1.id", [("- id: table", "- id: hostname")]),
    ("node", "solution.0.on", [("- on: node1\n    run: hostnamectl", "- on: node9\n    run: hostnamectl")]),
    ("variable", "solution.0.run", [("{node1.hostname}\n    why", "{node1.hostnam}\n    why")]),
    ("variable", "aim", [("aim:\n  en: >-\n", "aim:\n  en: >-\n    {cluster.nam}\n")]),
    ("variable", "checks.0.point", [("en: The node bears", "en: The {node1.hostnam} bears")]),
    ("variable", "checks.0.look", [("look: ", "look: echo {unit.chron} ")]),
    ("node", "nodes.1", [("nodes: [node1, node2,", "nodes: [node1, node22,")]),
    ("host", "solution.0.run", [("- on: node1\n    run: hostnamectl", "- on: host\n    run: hostnamectl")]),
    ("id", "id", [("id: day1/names", "id: day1/namen")]),
    ("value", "id", [("id: day1/names", "id: Names")]),
    ("duplicate-key", "start", [("start: nodes", "start: nodes\nstart: nodes")]),
    ("yaml", "", [("nodes: [node1,", "nodes: [[node1,")]),
]


@pytest.mark.parametrize(
    ("code", "place", "changes"), MISTAKES, ids=[f"{code}-{place}" for code, place, _ in MISTAKES]
)
def test_a_mistake_is_seen_where_it_is(
    tmp_path: Path, code: str, place: str, changes: list[tuple[str, str]]
) -> None:
    path = changed(tmp_path, *changes)
    assert (code, place) in mistakes(path)
    _, found = read_exercise(path, variables=VARIABLES)
    assert all(one.where.file == str(path) and one.where.line > 0 for one in found)


def test_the_lint_reads_every_text_in_which_variables_are_filled() -> None:
    wrong = {"en": "{cluster.nam}", "ko": "{cluster.nam}의 이름"}
    raw = OWN.find("day1/names").model_dump(mode="json")
    raw["notes"] = [{"text": wrong}]
    raw["checks"][0] |= {"type": "command", "run": "true", "found": wrong}
    raw["checks"][1] = {"id": "table", "type": "address", "networks": ["internl"]} | {
        key: raw["checks"][1][key] for key in ("point", "look")
    }
    findings = crosscheck(Exercise.model_validate(raw), NAMES, VARIABLES)
    told = {(code, ".".join(map(str, where))): text for where, code, text in findings}
    assert {("variable", "notes.0.text"), ("variable", "checks.0.found")} <= set(told)
    assert told["network", "checks.1.networks"] == (
        "the lab has no network 'internl' (did you mean internal?)"
    )


def test_an_id_that_comes_twice_among_the_files_given(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        changed(tmp_path / folder)
    good, wrong = catalog.lint([tmp_path / "a", tmp_path / "b"], variables=VARIABLES)
    assert [each.id for each in good] == ["day1/names"]
    assert [(one.code, one.where.file) for one in wrong] == [
        ("duplicate", str(tmp_path / "b" / "names.yaml"))
    ]
    assert str(tmp_path / "a" / "names.yaml") in wrong[0].text
    again = tmp_path / "a" / "names.yaml"
    assert catalog.lint([tmp_path / "a", again], variables=VARIABLES)[1] == [], "a file given twice is one"


def test_a_mistake_names_file_line_key_and_the_near_word(tmp_path: Path) -> None:
    path = changed(tmp_path, ("type: hostname", "type: hostnam"), ("tasks:", "task:"))
    _, found = read_exercise(path, variables=VARIABLES)
    error = bad_file(found)
    lines = path.read_text(encoding="utf-8").splitlines()
    line = next(number for number, text in enumerate(lines, start=1) if "hostnam" in text and "type:" in text)
    assert error.exit_code == BAD_FILE
    assert (
        f"{path}:{line}: checks[0].type: there is no check of type 'hostnam' (did you mean hostname?)"
        in error.details
    )
    assert "task: unknown key (did you mean tasks?)" in error.details
    assert isinstance(error, BadFile)


@pytest.mark.parametrize("content", [b"", b"- a\n", b"\xff\xfe", b"a: \0", b"x" * 300_000, b"&a [*a]\n"])
def test_what_is_no_exercise_at_all(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "names.yaml"
    path.write_bytes(content)
    exercise, found = read_exercise(path)
    assert exercise is None
    assert found


def test_an_empty_list_is_not_told_beside_what_is_wrong_in_it(tmp_path: Path) -> None:
    path = changed(tmp_path, ("    type: hostname\n", ""), ("    type: resolve\n", ""))
    assert mistakes(path) == [("missing", "checks.0.type"), ("missing", "checks.1.type")]


# -- variables, languages ---------------------------------------------------------------------------


def test_the_shells_own_braces_and_dollars_stay(tmp_path: Path) -> None:
    path = changed(
        tmp_path, ("run: hostnamectl set-hostname {node1.hostname}", "run: echo $HOME ${i} {1..4} {a,b}")
    )
    exercise, found = read_exercise(path, variables=VARIABLES)
    assert not found
    assert exercise is not None
    assert exercise.solution[0].run == "echo $HOME ${i} {1..4} {a,b}"
    assert fill(exercise.solution[0].run, {"a.b": "x"}) == exercise.solution[0].run


def test_a_value_comes_in_quoted_for_the_shell() -> None:
    assert fill("x {password.root}", {"password.root": "a b'c"}) == "x 'a b'\"'\"'c'"
    assert fill("x {password.root}", {"password.root": "a b"}, shell=False) == "x a b"


def test_an_unknown_variable_is_told_with_the_nearest() -> None:
    assert unknown("{cluster.nam}", VARIABLES) == [
        "there is no variable {cluster.nam} (did you mean cluster.name?)"
    ]


@pytest.mark.parametrize(
    ("environment", "lang"),
    [
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LANG": "ko_KR.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LC_MESSAGES": "ko.UTF-8", "LANG": "de_DE"}, "ko"),
        ({"LANG": "kok_IN"}, "en"),
        ({}, "en"),
    ],
)
def test_the_language_of_the_locale(environment: dict[str, str], lang: str) -> None:
    assert from_locale(environment) == lang
    assert lang in LANGS


# -- the example of the documentation ----------------------------------------------------------------


def example(tmp_path: Path) -> Path:
    """The complete example of docs/writing-exercises.md, as a file."""
    blocks = re.findall(r"```yaml\n(id: .*?)```", EXAMPLE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1
    name = re.search(r"^id: \S+/(\S+)", blocks[0])
    assert name
    path = tmp_path / f"{name[1]}.yaml"
    path.write_text(blocks[0], encoding="utf-8")
    return path


def test_the_documented_example_is_without_a_mistake(tmp_path: Path) -> None:
    good, wrong = catalog.lint([example(tmp_path)], variables=VARIABLES)
    assert wrong == []
    assert len(good) == 1


def test_every_kind_of_check_and_every_key_is_documented() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    lacking = [name for name in [*KINDS, *Exercise.model_fields] if f"`{name}`" not in text]
    assert lacking == []


def test_the_models_can_be_written_and_read_again() -> None:
    for exercise in OWN.exercises:
        raw: Any = json.loads(exercise.model_dump_json())
        assert Exercise.model_validate(raw) == exercise
    assert yaml.safe_load(NAMES.read_text(encoding="utf-8"))["id"] == "day1/names"
