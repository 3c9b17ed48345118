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
from labctl.course.text import Lang
from labctl.course.words import say
from labctl.errors import UsageError

COLUMNS: Final = ("exercise", "state", "checks", "hints", "solved")


def state_of(record: Record) -> str:
    """done, open (begun, graded or not) or todo."""
    return "done" if record.passed else "open" if record.started else "todo"


def export(course: Course, known: Progress, *, student: str | None) -> dict[str, Any]:
    """A learner's record as a document that report() merges."""
    return {
        "format": FORMAT,
        "student": student or os.environ.get("SUDO_USER") or socket.gethostname(),
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
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


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


def of_record(exercise: str, record: Record, lab: str) -> CheckResult:
    """An exercise as one result, by what its last grading said."""
    if record.passed:
        how = ", solved by the tool" if record.solved else ""
        return passed(exercise, None, f"Passed on {record.passed[:10]} ({record.hints} hints{how}).")
    if record.checks and record.wrong:
        text = f"{record.right} of {record.right + record.wrong} points were right when it was last graded."
        return failed(exercise, None, text, f"labctl exercise {exercise} --lab {lab}")
    return skipped(exercise, None, "Not done yet.")


@dataclass(frozen=True)
class Class:
    """A class: exports by student, and why files were left out."""

    exports: dict[str, dict[str, Any]]
    damaged: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """`progress report --json`."""
        return {"students": list(self.exports.values()), "damaged": list(self.damaged)}

    def table(self, exercises: list[str]) -> tuple[list[str], list[list[str]]]:
        """A row for each student: how many are done, then each exercise."""
        short = {"done": "✔", "open": "…", "todo": ""}
        table = []
        for student, one in sorted(self.exports.items()):
            states = {name: str(told.get("state", "")) for name, told in one["exercises"].items()}
            done = sum(state == "done" for state in states.values())
            marks = [short.get(states.get(name, ""), "") for name in exercises]
            table.append([student, f"{done}/{len(exercises)}", *marks])
        return ["student", "done", *(name.partition("/")[2] for name in exercises)], table


def merge(folder: Path) -> Class:
    """All exports in a folder; of one student the newest counts. Raises UsageError for no folder."""
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.", mend="labctl progress report DIR")
    found: dict[str, dict[str, Any]] = {}
    damaged = []
    for path in sorted(folder.glob("*.json")):
        try:
            one = json.loads(path.read_text(encoding="utf-8"))
            if one["format"] != FORMAT:
                raise ValueError(f"format {one['format']}")
            for told in one["exercises"].values():
                Record.model_validate({key: value for key, value in told.items() if key != "state"})
            student, exported = str(one["student"]), str(one["exported"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            damaged.append(f"{path} is no export of labctl progress: {reason}")
            continue
        if student not in found or exported > str(found[student]["exported"]):
            found[student] = one
    return Class(found, tuple(damaged))
