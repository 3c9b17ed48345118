"""What came of it: check, progress."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labctl import console
from labctl.cli import course as front
from labctl.cli import course_print as printed
from labctl.cli.frame import JsonOption, LabOption, known_lab, require_lab, require_root, require_running
from labctl.errors import FAILED, OK, UsageError
from labctl.places import DEFAULT_LAB, lab_flag

if TYPE_CHECKING:
    from labctl.checks.result import CheckResult
    from labctl.course.catalog import Course
    from labctl.course.form import Exercise
    from labctl.course.place import Place
    from labctl.course.progress import Progress
    from labctl.places import LabPlaces

WATCH_SECONDS = 1.0


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    app.command("check")(check)
    app.command("progress")(progress)


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
    require_root("check")
    from labctl.cli.course_host import place_of
    from labctl.course.grade import passed

    places = require_lab(lab) if every else require_running(lab)[0]
    known_course, (known, tongue) = front.course_of(course), front.open_record(places, lang)
    if every:
        return _every(known_course, known, places, as_json=as_json, junit=junit)
    chosen = front.active_of(known_course, known, lab)
    with console.Steps(f"labctl check {chosen.id}", quiet=as_json) as steps:
        place = place_of(known_lab(places), places, tongue, say=steps.say)
        results = _watched(place, chosen) if watch else None
        if results is None or not quick:
            results = _graded(place, chosen, proofs=not quick, say=steps)
    _remember(places, chosen, results)
    if junit:
        _junit(results, junit, f"labctl check {chosen.id}")
    if as_json:
        from labctl.checks.report import as_json as to_json

        console.document({**to_json(results), "lab": lab, "exercise": chosen.id, "done": passed(results)})
    else:
        _show(place, results)
        _farewell(place, known_course, chosen, done=passed(results))
    return OK if passed(results) or not any(one.failed for one in results) else FAILED


def _graded(place: Place, chosen: Exercise, *, proofs: bool, say: console.Steps) -> list[CheckResult]:
    from labctl.course.grade import grade

    return grade(place, chosen, proofs=proofs, say=say.say)


def _watched(place: Place, chosen: Exercise) -> list[CheckResult]:
    """Grade without proofs until nothing is wrong; what changed is shown as it changes."""
    from labctl.course.grade import grade

    before: list[CheckResult] = []
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


def _farewell(place: Place, course: Course, chosen: Exercise, *, done: bool) -> None:
    if not done:
        return
    console.line(place.say("all-passed", id=chosen.id))
    day = chosen.day
    if chosen.id == course.of_day(day)[-1].id:
        console.line(place.say("day-done", day=day))
        day = next((each.day for each in course.exercises if each.day > day), day)
    following = f"labctl exercise {day}{lab_flag(place.lab.name)}"
    console.line(console.command(place.say("next", next=following)))


def _remember(places: LabPlaces, chosen: Exercise, results: list[CheckResult]) -> None:
    from labctl.course import progress as record
    from labctl.course.grade import passed

    counts = {
        "right": sum(str(one.status) == "passed" for one in results),
        "wrong": sum(one.failed for one in results),
    }
    done = passed(results)
    record.change(
        places,
        lambda now: now.with_record(chosen.id, **record.graded(now.of(chosen.id), done=done, **counts)),
    )


def _every(course: Course, known: Progress, places: LabPlaces, *, as_json: bool, junit: Path | None) -> int:
    """The whole course by the record: passed, failed at the last grading, or not done yet."""
    from labctl.checks.report import as_json as to_json
    from labctl.course.report import of_record

    results = [of_record(each.id, known.of(each.id), places.lab) for each in course.exercises]
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
        return _class_report(known_course, Path(words[1]), as_json=as_json)
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


def _class_report(course: Course, folder: Path, *, as_json: bool) -> int:
    from labctl.course import report

    merged = report.merge(folder)
    for problem in merged.damaged:
        console.warning(problem)
    if as_json:
        console.document(merged.document())
    else:
        columns, rows = merged.table([each.id for each in course.exercises])
        console.table(columns, rows)
    return OK
