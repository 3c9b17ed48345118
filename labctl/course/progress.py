"""What a learner has done: one JSON file in the lab's folder, written at once or not at all.

It lies beside the lab's logs, because those are what a restored snapshot leaves alone.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from labctl.errors import BadFile
from labctl.lab.sections import Frozen
from labctl.places import LabPlaces, write_whole

FORMAT: Final = 1


class Record(Frozen):
    """One exercise's story. Times are UTC, ISO 8601, "" when it has not happened.

    hints, solved: how many hints were shown, and whether the tool ran the reference solution, in the
    attempt that passed; until one has, in the last.  shown, helped: the same of the attempt under way.
    checks: how often it was graded.  right, wrong: of the last grading.
    """

    started: str = ""
    passed: str = ""
    finished: str = ""
    hints: Annotated[int, Field(ge=0)] = 0
    solved: bool = False
    shown: Annotated[int, Field(ge=0)] = 0
    helped: bool = False
    checks: Annotated[int, Field(ge=0)] = 0
    right: Annotated[int, Field(ge=0)] = 0
    wrong: Annotated[int, Field(ge=0)] = 0


def begun(record: Record) -> dict[str, object]:
    """What changes when an attempt begins."""
    anew: dict[str, object] = {"started": now(), "finished": "", "shown": 0, "helped": False}
    return anew if record.passed else anew | {"hints": 0, "solved": False}


def helped(record: Record, *, hints: int | None = None, solved: bool | None = None) -> dict[str, object]:
    """What changes when a hint was shown, or the solution ran."""
    shown = record.shown if hints is None else hints
    ran = record.helped if solved is None else solved
    told: dict[str, object] = {"shown": shown, "helped": ran}
    return told if record.passed else told | {"hints": shown, "solved": ran}


def graded(record: Record, *, right: int, wrong: int, done: bool) -> dict[str, object]:
    """What changes by a grading. An attempt without help takes the place of one with it."""
    told: dict[str, object] = {"checks": record.checks + 1, "right": right, "wrong": wrong}
    if done and (not record.passed or (record.solved and not record.helped)):
        told |= {"passed": now(), "hints": record.shown, "solved": record.helped}
    return told


class Progress(Frozen):
    """The whole record of one lab.

    active: the exercise that the lab is prepared for, "" for none.  at: the start that the lab
    was left at by `finish`, "" when it may be anything; rest: the digest of its facts then.
    lang: the one last asked for.
    """

    format: Literal[1] = 1
    lab: str
    active: str = ""
    at: str = ""
    rest: str = ""
    lang: Literal["", "en", "ko"] = ""
    exercises: Mapping[str, Record] = Field(default_factory=dict)

    def of(self, exercise: str) -> Record:
        return self.exercises.get(exercise, Record())

    def with_record(self, exercise: str, **changes: object) -> Progress:
        record = Record.model_validate(self.of(exercise).model_dump() | changes)
        return self.model_copy(update={"exercises": {**self.exercises, exercise: record}})


def now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def load(places: LabPlaces, *, damaged: Callable[[Path], None] = lambda _: None) -> Progress:
    """The lab's progress, empty when there is none.

    A damaged file is kept aside under another name, and damaged() is told that. Raises BadFile for
    one of another format, which a newer labctl wrote.
    """
    path = places.course
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(raw, dict) and isinstance(raw.get("format"), int) and raw["format"] > FORMAT:
            raise BadFile(
                f"The record of your progress, {path}, was written by a newer labctl.",
                mend=f"use that labctl, or put the file away: mv {path} {path}.newer",
            )
        return Progress.model_validate(raw)
    except FileNotFoundError:
        return Progress(lab=places.lab)
    except (ValueError, ValidationError, RecursionError):
        aside = path.with_name(f"course.damaged-{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}.json")
        path.replace(aside)
        damaged(aside)
        return Progress(lab=places.lab)


def change(places: LabPlaces, how: Callable[[Progress], Progress]) -> Progress:
    """Read, change and write the progress, alone among all calls of labctl; the changed one."""
    with _alone(places):
        changed = how(load(places))
        document = changed.model_dump(mode="json")
        write_whole(places.course, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        return changed


@contextmanager
def _alone(places: LabPlaces) -> Iterator[None]:
    places.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (places.logs / f".{places.course.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # held for the moment of a write
        yield
