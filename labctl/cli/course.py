"""The course: exercise, hint, solve, finish, guide. Grading and progress: labctl.cli.course_results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labctl import console
from labctl.cli import course_print as printed
from labctl.cli.course_open import (
    CourseOption,
    LangOption,
    active_of,
    course_of,
    course_with,
    open_record,
    under_way,
)
from labctl.cli.frame import (
    JsonOption,
    LabOption,
    WaitOption,
    known_lab,
    require_lab,
    require_root,
    require_running,
)
from labctl.cli.helping import add
from labctl.errors import OK, BadFile, UsageError
from labctl.places import DEFAULT_LAB, LabPlaces, lab_flag, lab_places

if TYPE_CHECKING:
    from labctl.course.catalog import Course
    from labctl.course.form import Exercise
    from labctl.course.progress import Progress
    from labctl.lab.model import Lab
    from labctl.words.lang import Lang

LIST, LINT = "list", "lint"


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    from labctl.cli import course_results

    for command in (exercise, hint, solve, finish, guide):
        add(app, command.__name__, command)
    course_results.register(app)


def exercise(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[list | lint PATH… | DAY | DAY/ID]", help="Without a word: the list."),
    ] = None,
    lab: LabOption = DEFAULT_LAB,
    reset: Annotated[
        bool, typer.Option("--reset", help="From its start again, whatever the lab is in.")
    ] = False,
    lang: LangOption = None,
    course: CourseOption = None,
    as_json: JsonOption = False,
    wait: WaitOption = 0,
) -> int:
    """The days with their exercises; or begin one: the lab is put to its start, the task is printed."""
    words = list(what or [LIST])
    if words[0] == LINT:
        return _lint([Path(word) for word in words[1:]] or list(course or ()), as_json=as_json)
    if len(words) > 1:
        raise UsageError("One exercise at a time.", mend=f"labctl exercise {words[0]}")
    require_root("exercise")
    if words == [LIST] and not reset:
        there = lab_places(lab) if lab_places(lab).root.is_dir() else None
        known, tongue = open_record(there, lang)
        described = known_lab(there) if there else None
        return printed.listing(course_of(course), lab, described, known, tongue, as_json=as_json)
    places = require_lab(lab)
    known, tongue = open_record(places, lang)
    ids = [] if words == [LIST] else words
    known_course = course_with(course, [*ids, known.active])
    chosen = _chosen(known_course, known, known_lab(places), words[0], tongue, reset=reset)
    if chosen is None:
        return OK
    if known.active == chosen.id and not reset and not known.of(chosen.id).finished:
        require_running(lab)
        printed.task(chosen, known_lab(places), tongue, carry_on=True)
        return OK
    _begin(known_course, chosen, places, tongue, day=words[0], anew=reset, wait=wait)
    printed.task(chosen, known_lab(places), tongue, carry_on=False)
    return OK


def _chosen(
    course: Course, known: Progress, lab: Lab, word: str, tongue: Lang, *, reset: bool
) -> Exercise | None:
    """The exercise that is meant; None when the lab can hold no more of the day, which is told."""
    from labctl.course import choose
    from labctl.course.progress import Progress

    if word == LIST:
        return active_of(course, known, lab.name)
    if not course.is_day(word):
        return course.find(word)
    exercises = course.of_day(word)
    if not exercises:
        raise UsageError(f"{word} has no exercises yet.", mend="labctl exercise list")
    choice = choose.of_day(exercises, Progress(lab=lab.name) if reset else known, lab, tongue)
    if choice.exercise is None:
        printed.day_over(word, choice, lab, tongue)
    else:
        printed.elsewhere(choice, lab, tongue)
    return choice.exercise


def _begin(
    course: Course, chosen: Exercise, places: LabPlaces, tongue: Lang, *, day: str, anew: bool, wait: float
) -> None:
    from labctl.cli.course_host import place_of
    from labctl.course import progress, session
    from labctl.words.phrases import say

    lab = known_lab(places)
    session.require(chosen, lab, tongue)
    active = progress.load(places).active
    left = next((each for each in course.exercises if each.id == active), None)
    if anew and course.is_day(day):
        ids = {each.id for each in course.of_day(day)}
        progress.change(
            places,
            lambda now: now.model_copy(
                update={"exercises": {name: one for name, one in now.exercises.items() if name not in ids}}
            ),
        )
        console.note(say(tongue, "forgotten", day=day))
    with console.Steps(f"labctl exercise {chosen.id}") as steps:
        place = place_of(lab, places, tongue, say=steps.say, patience=wait)
        kept = session.begin(place, places, chosen, left=left, anew=anew, say=steps.say)
        place.moved()
    if kept:
        restore = f"labctl snapshot restore {kept}{lab_flag(lab.name)}"
        console.note(console.command(say(tongue, "kept", name=kept, restore=restore)))


def _lint(paths: Sequence[Path], *, as_json: bool) -> int:
    from labctl.cli.course_host import variable_names
    from labctl.course import catalog
    from labctl.course.read import bad_file

    good, wrong = catalog.lint(paths or [catalog.OWN], variables=variable_names())
    if as_json:
        mistakes = [
            {"file": one.where.file, "line": one.where.line, "key": ".".join(map(str, one.path)),
             "code": one.code, "text": one.text}
            for one in wrong
        ]  # fmt: skip
        console.document({"exercises": [each.id for each in good], "mistakes": mistakes})
        return BadFile.exit_code if wrong else OK
    if wrong:
        raise bad_file(wrong)
    for each in good:
        console.line(f"✔ {each.id:24} {each.title.en}")
    return OK


def hint(lab: LabOption = DEFAULT_LAB, lang: LangOption = None, course: CourseOption = None) -> int:
    """One more hint for the exercise that is under way."""
    require_root("hint")
    from labctl.cli.course_host import variables
    from labctl.course import progress
    from labctl.course.variables import fill
    from labctl.words.phrases import say

    places = require_lab(lab)
    known, tongue = open_record(places, lang)
    chosen = under_way(course, known, lab)
    given, count = known.of(chosen.id).shown, len(chosen.hints)
    values = variables(known_lab(places))
    for number in range(min(given + 1, count)):
        text = printed.with_lab(fill(chosen.hints[number].of(tongue), values, shell=False), lab)
        console.line(console.command(say(tongue, "hint-of", number=number + 1, count=count, text=text)))
    if given >= count:
        console.line(console.command(say(tongue, "no-more-hints", solve=f"labctl solve{lab_flag(lab)}")))
        return OK
    progress.change(
        places,
        lambda now: now.with_record(chosen.id, **progress.helped(now.of(chosen.id), hints=given + 1)),
    )
    return OK


def solve(lab: LabOption = DEFAULT_LAB, lang: LangOption = None, course: CourseOption = None) -> int:
    """Run the reference solution of the exercise that is under way, each command with its reason."""
    require_root("solve")
    from labctl.cli.course_host import place_of
    from labctl.course import session
    from labctl.words.phrases import say

    places, _ = require_running(lab)
    known, tongue = open_record(places, lang)
    chosen = under_way(course, known, lab)
    place = place_of(known_lab(places), places, tongue)
    session.solve(
        place,
        places,
        chosen,
        tell=lambda done: printed.outcome(place, done),
        before=lambda step, command: printed.announce(step, command, chosen, tongue),
    )
    console.line("")
    console.line(console.command(say(tongue, "solved", check=f"labctl check{lab_flag(lab)}")))
    return OK


def finish(
    lab: LabOption = DEFAULT_LAB, lang: LangOption = None, course: CourseOption = None, wait: WaitOption = 0
) -> int:
    """Clear away what the exercise that is under way has left; the lab is at its start again."""
    require_root("finish")
    from labctl.cli.course_host import place_of
    from labctl.course import session
    from labctl.words.phrases import say

    places = require_lab(lab)
    known, tongue = open_record(places, lang)
    chosen = under_way(course, known, lab)
    with console.Steps(f"labctl finish, {chosen.id}") as steps:
        session.finish(
            place_of(known_lab(places), places, tongue, say=steps.say, patience=wait), places, chosen
        )
    following = f"labctl exercise {chosen.day}{lab_flag(lab)}"
    console.line(console.command(say(tongue, "finished", id=chosen.id, next=following)))
    return OK


def guide(
    day: Annotated[
        str, typer.Argument(metavar="DAY", help="day1, day2, …; or errata, the slips of the slides.")
    ] = "day1",
    lang: LangOption = None,
) -> int:
    """A day's background in a few pages, in the order of the slides."""
    from labctl.course import guide as pages

    console.line(printed.commands(pages.text(day, open_record(None, lang)[1])))
    return OK
