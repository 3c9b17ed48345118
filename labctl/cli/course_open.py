"""What the course's commands begin with: the record, the language, the exercises."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labctl import console
from labctl.cli.tongue import ENVIRONMENT
from labctl.errors import UsageError
from labctl.places import LabPlaces, lab_flag

if TYPE_CHECKING:
    from labctl.course.catalog import Course
    from labctl.course.form import Exercise
    from labctl.course.progress import Progress
    from labctl.words.lang import Lang

LangOption = Annotated[
    str | None,
    typer.Option("--lang", envvar=ENVIRONMENT, help="en or ko; else the last one, else the locale's."),
]
CourseOption = Annotated[
    list[Path] | None,
    typer.Option("--course", metavar="DIR", envvar="LABCTL_COURSE", help="A folder with more exercises."),
]


def open_record(places: LabPlaces | None, chosen: str | None) -> tuple[Progress, Lang]:
    """The lab's progress, and the language: of the option, else the one last asked for, else the locale's.

    A damaged record is kept aside, and that is told. Raises UsageError for an unknown language.
    """
    from labctl.course import progress
    from labctl.words.lang import LANGS, from_locale
    from labctl.words.phrases import say

    if chosen not in (None, *LANGS):
        raise UsageError(f"There is no language {chosen!r}.", mend="--lang en, or --lang ko")
    aside: list[Path] = []
    known = progress.load(places, damaged=aside.append) if places else progress.Progress(lab="")
    tongue = next((lang for lang in LANGS if lang == chosen), None) or known.lang or from_locale()
    for path in aside:
        console.warning(say(tongue, "progress-damaged", path=path))
    if places and chosen and tongue != known.lang:
        known = progress.change(places, lambda now: now.model_copy(update={"lang": tongue}))
    return known, tongue


def course_of(folders: Sequence[Path] | None) -> Course:
    """All exercises; what is wrong in a teacher's folder is told and left out."""
    from labctl.cli.course_host import variable_names
    from labctl.course import catalog

    names = variable_names() if folders else None  # labctl's own name none that is not there: tests hold that
    found = catalog.load(tuple(folders or ()), variables=names)
    for mistake in found.broken:
        console.warning(str(mistake))
    return found


def course_with(folders: Sequence[Path] | None, ids: Iterable[str]) -> Course:
    """The course; of it only the exercises that are named, where their files are enough. ids: "" is none."""
    from labctl.course import catalog

    found = [] if folders else [catalog.own(each) for each in dict.fromkeys(filter(None, ids))]
    named = tuple(each for each in found if each is not None)
    return catalog.Course(named) if named and len(named) == len(found) else course_of(folders)


def active_of(course: Course, known: Progress, lab: str) -> Exercise:
    """The exercise that is under way. Raises UsageError."""
    return course.find(_active(known, lab))


def under_way(folders: Sequence[Path] | None, known: Progress, lab: str) -> Exercise:
    """The same, without reading the whole course where one file is enough. Raises UsageError."""
    name = _active(known, lab)
    return course_with(folders, [name]).find(name)


def _active(known: Progress, lab: str) -> str:
    if not known.active:
        raise UsageError(
            f"No exercise is under way in lab {lab}.",
            mend=f"labctl exercise day1{lab_flag(lab)}   (or exercise list)",
        )
    return known.active
