"""Results for a teacher: one learner's export, and a class's exports merged."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from labctl.checks.result import CheckResult, failed, passed, skipped
from labctl.course.catalog import Course
from labctl.course.progress import FORMAT, Progress, Record, now
from labctl.errors import UsageError
from labctl.places import write_whole
from labctl.words.lang import Lang
from labctl.words.phrases import say

COLUMNS: Final = ("exercise", "state", "checks", "hints", "solved")


def state_of(record: Record) -> str:
    """done, open (begun, graded or not) or todo."""
    return "done" if record.passed else "open" if record.started else "todo"


def export(course: Course, known: Progress, *, student: str | None) -> dict[str, Any]:
    """A learner's record as a document that report() merges."""
    return {
        "format": FORMAT,
        "student": student or os.environ.get("SUDO_USER") or socket.gethostname(),
        "host": socket.gethostname(),
        "lab": known.lab,
        "exported": now(),
        "exercises": {
            each.id: {"state": state_of(known.of(each.id)), **known.of(each.id).model_dump(mode="json")}
            for each in course.exercises
        },
    }


def write(document: dict[str, Any], path: Path) -> None:
    """Write an export, at once or not at all. Raises UsageError when there is no such folder."""
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent}.")
    write_whole(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def columns(lang: Lang) -> list[str]:
    """The headings of rows()."""
    return [say(lang, f"column-{name}") for name in COLUMNS]


def rows(course: Course, known: Progress, lang: Lang) -> list[list[str]]:
    """One row for each exercise, in the order of COLUMNS."""
    return [
        [
            each.id,
            say(lang, state_of(record)),
            f"{record.right}/{record.right + record.wrong}" if record.checks else "",
            str(record.hints or ""),
            say(lang, "by-solve") if record.solved else "",
        ]
        for each in course.exercises
        for record in [known.of(each.id)]
    ]


def of_record(exercise: str, record: Record, lab: str, lang: Lang = "en") -> CheckResult:
    """An exercise as one result, by what its last grading said."""
    if record.passed:
        key = "passed-helped" if record.solved else "passed-on"
        return passed(exercise, None, say(lang, key, day=record.passed[:10], hints=record.hints))
    if record.checks and record.wrong:
        text = say(lang, "partly-right", right=record.right, count=record.right + record.wrong)
        return failed(exercise, None, text, f"labctl exercise {exercise} --lab {lab}")
    return skipped(exercise, None, say(lang, "not-done"))


@dataclass(frozen=True)
class Class:
    """A class: exports by student, and why files were left out.

    mixed: students whose exports come from different hosts, and these; they may be two people.
    """

    exports: dict[str, dict[str, Any]]
    damaged: tuple[str, ...]
    mixed: dict[str, list[str]]

    def document(self) -> dict[str, Any]:
        """`progress report --json`."""
        students = list(self.exports.values())
        return {"students": students, "damaged": list(self.damaged), "mixed": self.mixed}

    def table(self, exercises: list[str], lang: Lang = "en") -> tuple[list[str], list[list[str]]]:
        """A row for each student: how many are done, then each exercise."""
        short = {"done": "✔", "open": "…", "todo": ""}
        table = []
        for student, one in sorted(self.exports.items()):
            states = {name: str(told.get("state", "")) for name, told in one["exercises"].items()}
            done = sum(state == "done" for state in states.values())
            marks = [short.get(states.get(name, ""), "") for name in exercises]
            table.append([student, f"{done}/{len(exercises)}", *marks])
        names = [name.partition("/")[2] for name in exercises]
        return [say(lang, "column-student"), say(lang, "column-done"), *names], table


def merge(folder: Path) -> Class:
    """All exports in a folder, those of one student in one. Raises UsageError for no folder."""
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.", mend="labctl progress report DIR")
    found: dict[str, list[dict[str, Any]]] = {}
    damaged = []
    for path in sorted(folder.glob("*.json")):
        try:
            one = json.loads(path.read_text(encoding="utf-8"))
            if one["format"] != FORMAT:
                raise ValueError(f"format {one['format']}")
            for told in one["exercises"].values():
                Record.model_validate({key: value for key, value in told.items() if key != "state"})
            student, one["exported"] = str(one["student"]), str(one["exported"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            damaged.append(f"{path} is no export of labctl progress: {reason}")
            continue
        found.setdefault(student, []).append(one)
    hosts = {student: _hosts(exports) for student, exports in found.items()}
    return Class(
        {student: _as_one(exports) for student, exports in found.items()},
        tuple(damaged),
        {student: names for student, names in hosts.items() if len(names) > 1},
    )


def _hosts(exports: list[dict[str, Any]]) -> list[str]:
    """The hosts that the exports name; one of an older labctl names none."""
    return sorted({str(one["host"]) for one in exports if one.get("host")})


def _as_one(exports: list[dict[str, Any]]) -> dict[str, Any]:
    """The newest export, each exercise as far as any has it: a learner may have several labs."""
    by_age = sorted(exports, key=lambda one: str(one["exported"]))
    exercises: dict[str, Any] = {}
    for one in by_age:
        for name, record in one["exercises"].items():
            if name not in exercises or _rank(record) >= _rank(exercises[name]):
                exercises[name] = record
    return {**by_age[-1], "exercises": exercises}


def _rank(record: dict[str, Any]) -> int:
    """Passed before begun before neither."""
    return 2 if record.get("passed") else 1 if record.get("started") else 0
