"""What a learner has done: kept at once or not at all, damaged or not, exported, merged."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

import pytest

from labctl.cli.course_host import variable_names
from labctl.course import catalog, progress, report
from labctl.course.progress import Progress, Record
from labctl.errors import BadFile, UsageError
from labctl.places import LabPlaces
from labctl.words.lang import HANGUL

COURSE = catalog.load(variables=variable_names())


@pytest.fixture
def places(tmp_path: Path) -> LabPlaces:
    return LabPlaces("t-progress", tmp_path)


def test_there_is_none_at_first(places: LabPlaces) -> None:
    assert progress.load(places) == Progress(lab="t-progress")
    assert not places.course.exists()


def test_a_change_is_there_for_the_next_call(places: LabPlaces) -> None:
    changed = progress.change(places, lambda now: now.with_record("day1/names", hints=2))
    assert progress.load(places) == changed
    assert changed.of("day1/names").hints == 2
    assert changed.of("day1/ssh") == Record()


def test_a_record_keeps_what_is_not_changed(places: LabPlaces) -> None:
    progress.change(places, lambda now: now.with_record("day1/names", hints=2))
    progress.change(places, lambda now: now.with_record("day1/names", solved=True))
    assert progress.load(places).of("day1/names") == Record(hints=2, solved=True)


def test_calls_at_once_lose_nothing(places: LabPlaces) -> None:
    def one(number: int) -> None:
        progress.change(places, lambda now: now.with_record(f"day1/x{number}", hints=number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(24)))
    known = progress.load(places)
    assert [known.of(f"day1/x{number}").hints for number in range(24)] == list(range(24))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"format": 1}',
        '{"format": 1, "lab": "x", "exercises": {"a": {"hints": -1}}}',
        "[" * 5000,
    ],
)
def test_a_damaged_record_is_kept_aside_and_told(places: LabPlaces, content: str) -> None:
    path = places.course
    path.parent.mkdir(parents=True)
    path.write_text(content)
    told: list[Path] = []
    assert progress.load(places, damaged=told.append) == Progress(lab="t-progress")
    assert [one.read_text() for one in told] == [content]
    assert not path.exists()


def test_a_record_of_a_newer_labctl_is_left_alone(places: LabPlaces) -> None:
    path = places.course
    path.parent.mkdir(parents=True)
    path.write_text('{"format": 2}')
    with pytest.raises(BadFile, match="newer"):
        progress.load(places)
    assert path.read_text() == '{"format": 2}'


def test_an_attempt_without_help_takes_the_place_of_one_with_it() -> None:
    record = Record()

    def then(changes: dict[str, object]) -> Record:
        return Record.model_validate(record.model_dump() | changes)

    record = then(progress.begun(record))
    record = then(progress.helped(record, hints=2))
    record = then(progress.helped(record, solved=True))
    record = then(progress.graded(record, right=1, wrong=1, done=False))
    assert (record.passed, record.hints, record.solved) == ("", 2, True)
    record = then(progress.graded(record, right=2, wrong=0, done=True))
    first = record.passed
    assert (record.hints, record.solved, record.checks) == (2, True, 2)
    record = then(progress.begun(record))
    record = then(progress.helped(record, hints=1))
    assert (record.passed, record.hints, record.solved) == (first, 2, True)
    record = then(progress.graded(record, right=2, wrong=0, done=True))
    assert (record.hints, record.solved) == (1, False)
    record = then(progress.helped(then(progress.begun(record)), solved=True))
    record = then(progress.graded(record, right=2, wrong=0, done=True))
    assert (record.hints, record.solved) == (1, False), "help does not spoil what was reached without"


# -- the teacher's side ----------------------------------------------------------------------------


def exported(
    folder: Path,
    name: str,
    student: str,
    *,
    exercise: str = "day1/names",
    changes: Mapping[str, str] = MappingProxyType({}),
    **record: object,
) -> None:
    """Write an export. changes: what it says of itself, "" for a key that it has not got."""
    known = Progress(lab="x").with_record(exercise, **record)
    document = {**report.export(COURSE, known, student=student), **changes}
    report.write({key: value for key, value in document.items() if value != ""}, folder / name)


def test_a_class_is_merged(tmp_path: Path) -> None:
    exported(tmp_path, "a.json", "kim", started="2026-01-01", changes={"exported": "2020-01-01"})
    exported(tmp_path, "b.json", "kim", started="2026-01-01", passed="2026-01-02")
    exported(tmp_path, "c.json", "lee", started="2026-01-01")
    (tmp_path / "d.json").write_text("{}")
    (tmp_path / "e.json").write_text('{"format": 1, "student": "x", "exported": "", "exercises": {"a": 3}}')
    merged = report.merge(tmp_path)
    assert sorted(merged.exports) == ["kim", "lee"]
    assert len(merged.damaged) == 2
    columns, rows = merged.table([each.id for each in COURSE.exercises])
    assert columns[:2] == ["student", "done"]
    place = columns.index("names")
    assert [(row[0], row[1][0], row[place]) for row in rows] == [("kim", "1", "✔"), ("lee", "0", "…")]


def test_exports_of_one_student_are_merged_exercise_by_exercise(tmp_path: Path) -> None:
    early, late = {"exported": "2026-01-01"}, {"exported": "2026-01-02"}
    exported(tmp_path, "a.json", "kim", started="x", passed="2026-01-01", hints=3, changes=early)
    exported(tmp_path, "b.json", "kim", started="x", checks=7, changes=late)
    exported(tmp_path, "c.json", "kim", exercise="day1/ssh", started="x", checks=2, changes=late)
    exported(tmp_path, "d.json", "kim", exercise="day1/ssh", started="x", checks=1, changes=early)
    [student] = report.merge(tmp_path).exports.values()
    assert student["exported"] == "2026-01-02"
    told = student["exercises"]
    assert (told["day1/names"]["state"], told["day1/names"]["hints"]) == ("done", 3), (
        "a later try takes nothing"
    )
    assert (told["day1/ssh"]["state"], told["day1/ssh"]["checks"]) == ("open", 2), (
        "the newer of two open ones"
    )


def test_one_name_from_two_hosts_is_doubtful(tmp_path: Path) -> None:
    exported(tmp_path, "a.json", "root", changes={"host": "pc1"})
    exported(tmp_path, "b.json", "root", changes={"host": "pc2"})
    exported(tmp_path, "c.json", "kim", changes={"host": "pc1"})
    exported(tmp_path, "d.json", "kim", changes={"host": ""})  # of an older labctl
    merged = report.merge(tmp_path)
    assert merged.damaged == ()
    assert merged.mixed == {"root": ["pc1", "pc2"]}
    assert merged.document()["mixed"] == merged.mixed


def test_an_export_names_its_host() -> None:
    assert report.export(COURSE, Progress(lab="x"), student="kim")["host"] == socket.gethostname()


def test_the_class_and_the_record_are_told_in_korean(tmp_path: Path) -> None:
    exported(tmp_path, "a.json", "kim")
    assert report.merge(tmp_path).table([], "ko")[0] == ["학생", "완료"]
    for record in (
        Record(),
        Record(checks=1, wrong=1),
        Record(passed="2026-01-01"),
        Record(passed="x", solved=True),
    ):
        assert HANGUL.search(report.of_record("day1/names", record, "x", "ko").message)


def test_there_is_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        report.merge(tmp_path / "none")
    with pytest.raises(UsageError):
        report.write({}, tmp_path / "none" / "x.json")


@pytest.mark.parametrize(
    ("record", "status"),
    [
        (Record(), "skipped"),
        (Record(started="2026-01-01"), "skipped"),
        (Record(checks=1, right=2, wrong=1), "failed"),
        (Record(checks=3, right=2, wrong=1, passed="2026-01-01T00:00:00+00:00"), "passed"),
    ],
)
def test_an_exercise_as_one_result(record: Record, status: str) -> None:
    assert report.of_record("day1/names", record, "x").status == status
