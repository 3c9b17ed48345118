"""What came of it: check, progress."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labctl import console
from labctl.cli import course_open as front
from labctl.cli import course_print as printed
from labctl.cli.frame import JsonOption, LabOption, known_lab, require_lab, require_root, require_running
from labctl.cli.helping import add
from labctl.errors import FAILED, OK, UsageError, is_full
from labctl.places import DEFAULT_LAB, lab_flag

if TYPE_CHECKING:
    from labctl.checks.result import CheckResult
    from labctl.course.catalog import Course
    from labctl.course.form import Exercise
    from labctl.course.place import Place
    from labctl.course.progress import Progress
    from labctl.places import LabPlaces
    from labctl.words.lang import Lang

WATCH_SECONDS = 1.0


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    add(app, "check", check)
    add(app, "progress", progress)


def check(
    lab: LabOption = DEFAULT_LAB,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Grade again and again until all is right.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Every exercise of the course, by the record.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out proofs, such as a reboot.")] = False,
    as_json: JsonOption = False,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Also write JUnit XML.")
    ] = None,
    lang: front.LangOption = None,
    course: front.CourseOption = None,
) -> int:
    """Grade what is there now: what is right, what is missing, where to look."""
    if watch and (option := "--json" if as_json else "--junit" if junit else "--all" if every else ""):
        raise UsageError(
            f"check --watch does not go with {option}: it shows how the points change until all is right.",
            mend=f"labctl check {option}{f' {junit}' if option == '--junit' else ''}{lab_flag(lab)}",
        )
    require_root("check")
    from labctl.cli.course_host import place_of
    from labctl.course.grade import passed

    places = require_lab(lab) if every else require_running(lab)[0]
    known, tongue = front.open_record(places, lang)
    if every:
        return _every(front.course_of(course), known, places, tongue, as_json=as_json, junit=junit)
    chosen = front.under_way(course, known, lab)
    with console.Steps(f"labctl check {chosen.id}", quiet=as_json) as steps:
        place = place_of(known_lab(places), places, tongue, say=steps.say)
        results = _watched(place, chosen) if watch else None
        if results is None or not quick:
            results = _graded(place, chosen, proofs=not quick, say=steps)
    known = _remember(place, places, chosen, results)
    if junit:
        _junit(results, junit, f"labctl check {chosen.id}")
    if as_json:
        from labctl.checks.report import as_json as to_json

        console.document({**to_json(results), "lab": lab, "exercise": chosen.id, "done": passed(results)})
    else:
        _show(place, results)
        if passed(results):
            farewell(place, front.course_of(course), chosen, known)
    return OK if passed(results) or not any(one.failed for one in results) else FAILED


def _graded(place: Place, chosen: Exercise, *, proofs: bool, say: console.Steps) -> list[CheckResult]:
    from labctl.course.grade import grade

    return grade(place, chosen, proofs=proofs, say=say.say)


def _watched(place: Place, chosen: Exercise) -> list[CheckResult]:
    """Grade without proofs until nothing is wrong; what changed is shown as it changes."""
    from labctl.course.grade import grade

    before: list[CheckResult] = []
    console.note(place.say("watching"))
    while True:
        results = grade(place, chosen, proofs=False, patient=False)
        if results != before:
            _show(place, results)
            before = results
        if not any(one.failed for one in results):
            return results
        time.sleep(WATCH_SECONDS)  # a pace for the reader, not a wait for anything


def _show(place: Place, results: list[CheckResult]) -> None:
    from collections import Counter

    console.checks(printed.everywhere(results, place.lang))
    counts = Counter(str(one.status) for one in results)
    words = {name: counts[name] for name in ("passed", "failed", "skipped")}
    console.heading(place.say("count", **words))


def farewell(place: Place, course: Course, chosen: Exercise, known: Progress) -> None:
    """What is told when an exercise is done. known: the record that says so."""
    from labctl.course import choose

    console.line(place.say("all-passed", id=chosen.id))
    choice = choose.of_day(course.of_day(chosen.day), known, place.lab, place.lang)
    if choice.exercise is None:
        printed.day_over(chosen.day, choice, place.lab, place.lang)
    if day := choose.next_day(course, known, place.lab, chosen.day):
        following = f"labctl exercise {day}{lab_flag(place.lab.name)}"
        console.line(console.command(place.say("next", next=following)))


def _remember(place: Place, places: LabPlaces, chosen: Exercise, results: list[CheckResult]) -> Progress:
    """The record with this grading in it."""
    from labctl.course import progress as record
    from labctl.course.grade import passed

    counts = {
        "right": sum(str(one.status) == "passed" for one in results),
        "wrong": sum(one.failed for one in results),
    }
    done = passed(results)

    def graded(now: Progress) -> Progress:
        return now.with_record(chosen.id, **record.graded(now.of(chosen.id), done=done, **counts))

    try:
        return record.change(places, graded)
    except OSError as error:
        if not is_full(error):
            raise
        # What was found is worth telling all the same.
        reset = f"labctl exercise {chosen.id} --reset{lab_flag(place.lab.name)}"
        console.warning(console.command(place.say("record-full", reset=reset)))
        return graded(record.load(places))


def _every(
    course: Course, known: Progress, places: LabPlaces, tongue: Lang, *, as_json: bool, junit: Path | None
) -> int:
    """The whole course by the record: passed, failed at the last grading, or not done yet."""
    from labctl.checks.report import as_json as to_json
    from labctl.course.report import of_record

    results = [of_record(each.id, known.of(each.id), places.lab, tongue) for each in course.exercises]
    if junit:
        _junit(results, junit, f"labctl course {places.lab}")
    if as_json:
        console.document({**to_json(results), "lab": places.lab})
    else:
        console.checks(results, every=True)
    return FAILED if any(one.failed for one in results) else OK


def _junit(results: list[CheckResult], path: Path, suite: str) -> None:
    from labctl.checks.report import write_junit

    write_junit(results, path, suite)


def progress(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[show | export [FILE] | report DIR]", help="Without a word: show."),
    ] = None,
    lab: LabOption = DEFAULT_LAB,
    student: Annotated[str | None, typer.Option("--student", help="The name that an export bears.")] = None,
    as_json: JsonOption = False,
    lang: front.LangOption = None,
    course: front.CourseOption = None,
) -> int:
    """The record of what was done; export it as JSON; or one table of a class's exports."""
    words = list(what or ["show"])
    known_course = front.course_of(course)
    from labctl.course import report

    if words[0] == "report" and len(words) == 2:
        tongue = front.open_record(None, lang)[1]
        return _class_report(known_course, Path(words[1]), tongue, as_json=as_json)
    if words[0] not in ("show", "export") or len(words) > (2 if words[0] == "export" else 1):
        raise UsageError(
            f"progress {' '.join(words)}: what is that?", mend="labctl progress show, export or report DIR"
        )
    require_root("progress")
    known, tongue = front.open_record(require_lab(lab), lang)
    document = report.export(known_course, known, student=student)
    if words[0] == "export" and len(words) == 2:
        report.write(document, Path(words[1]))
        console.line(words[1])
    elif words[0] == "export" or as_json:
        console.document(document)
    else:
        console.table(report.columns(tongue), report.rows(known_course, known, tongue))
    return OK


def _class_report(course: Course, folder: Path, tongue: Lang, *, as_json: bool) -> int:
    from labctl.course import report
    from labctl.words.errors import reworded
    from labctl.words.phrases import say

    merged = report.merge(folder)
    for problem in merged.damaged:
        console.warning(reworded(tongue, problem))
    for student, hosts in merged.mixed.items():
        said = say(tongue, "several-hosts", student=student, hosts=", ".join(hosts))
        console.warning(said)
    if as_json:
        console.document(merged.document())
    else:
        columns, rows = merged.table([each.id for each in course.exercises], tongue)
        console.table(columns, rows)
    return OK
