"""What the course prints: the list, a task, the steps of a solution."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from labctl import console
from labctl.errors import OK
from labctl.places import lab_flag

if TYPE_CHECKING:
    from labctl.checks.result import CheckResult
    from labctl.course.catalog import Course
    from labctl.course.choose import Choice
    from labctl.course.form import Exercise, Silent
    from labctl.course.place import Place
    from labctl.course.progress import Progress
    from labctl.course.steps import Done
    from labctl.lab.model import Lab
    from labctl.words.lang import Lang

COMMAND = re.compile(r"`(labctl [^`]*)`")
# The slides' own heading, in brackets at the end of an exercise's `slide`.
HEADING = re.compile(r"^[^(]*\((.*[가-힣].*)\)$")
LONGEST_OUTPUT = 12  # lines of a step's output that `solve` shows


def listing(
    course: Course, lab: str, described: Lab | None, known: Progress, tongue: Lang, *, as_json: bool
) -> int:
    """All days with their exercises. described: None when there is no such lab yet."""
    from labctl.course import catalog, session
    from labctl.words.phrases import say

    documents = []
    for day in course.days:
        exercises = course.of_day(day)
        done = sum(bool(known.of(each.id).passed) for each in exercises)
        title = catalog.TITLES[day].of(tongue) if day in catalog.TITLES else day
        if not as_json:
            count = f"{done}/{len(exercises)}" if exercises else say(tongue, "later")
            console.heading(f"{day}  {title}  {count}")
        for each in exercises:
            record = known.of(each.id)
            state = "done" if record.passed else "open" if known.active == each.id else "todo"
            lack = session.unmet(each, described, "en" if as_json else tongue)[0] if described else ""
            documents.append(
                {"id": each.id, "title": each.title.of(tongue), "state": state, "hints": record.hints,
                 "solved": record.solved, "needs": lack}
            )  # fmt: skip
            if not as_json:
                mark = {"done": "✔", "open": "▶", "todo": " "}[state]
                tail = f"  ({say(tongue, 'needs', what=lack)})" if lack else ""
                tail += f"  ({say(tongue, 'by-solve')})" if record.solved and record.passed else ""
                console.line(f"  {mark} {each.id:24} {each.title.of(tongue)}{tail}")
    if as_json:
        console.document({"lab": lab, "active": known.active, "exercises": documents})
    elif described is None:
        console.line(console.command(f"labctl up{lab_flag(lab)}, labctl exercise day1{lab_flag(lab)}"))
    else:
        flag = lab_flag(lab)
        words = {"day": f"labctl exercise day1{flag}", "one": f"labctl exercise day1/ssh{flag}"}
        console.line(console.command(say(tongue, "begin", **words)))
    return OK


def elsewhere(choice: Choice, lab: Lab, tongue: Lang) -> None:
    """What the lab cannot hold, a line each with the command for it."""
    from labctl.course import session
    from labctl.words.phrases import say

    for each in choice.elsewhere:
        what, command = session.unmet(each, lab, tongue)
        console.note(console.command(say(tongue, "elsewhere", id=each.id, what=what, command=command)))


def day_over(day: str, choice: Choice, lab: Lab, tongue: Lang) -> None:
    """That a day is done, or all of it that the lab can hold, and what is left."""
    from labctl.words.phrases import say

    console.line(say(tongue, "day-done-here" if choice.elsewhere else "day-done", day=day, lab=lab.name))
    elsewhere(choice, lab, tongue)


def with_lab(text: str, lab: str) -> str:
    """The text, its commands of labctl with the option that names the lab."""
    from labctl.course.judge import of_lab

    return COMMAND.sub(lambda match: f"`{of_lab(lab, match[1])}`", text)


def commands(page: str) -> str:
    """The page, its commands of labctl as the user called it."""
    return COMMAND.sub(lambda match: console.command(match[0]), page)


def slide(words: str, tongue: Lang) -> str:
    """Where an exercise comes from: Korean learners get the slides' own heading, where it stands there."""
    heading = HEADING.search(words) if tongue == "ko" else None
    return heading[1] if heading else words


def everywhere(results: Iterable[CheckResult], tongue: Lang) -> list[CheckResult]:
    """What is right or left out on all nodes alike, in one line."""
    from labctl.words.phrases import say

    listed = list(results)
    groups = {one.id: [other for other in listed if other.id == one.id] for one in listed}
    shown: list[CheckResult] = []
    for alike in groups.values():
        first = alike[0]
        same = len({(one.status, one.message) for one in alike}) == 1
        if len(alike) > 1 and same and not first.failed:
            shown.append(replace(first, node=say(tongue, "everywhere")))
        else:
            shown += alike
    return shown


def task(chosen: Exercise, lab: Lab, tongue: Lang, *, carry_on: bool) -> None:
    """An exercise as its learner reads it: why, what to reach, where; not the commands."""
    from labctl.cli.course_host import variables
    from labctl.course import guide
    from labctl.course.session import wants_pcsd
    from labctl.course.variables import fill
    from labctl.words.phrases import say

    values, where = variables(lab), lab_flag(lab.name)

    def text(words: str) -> str:
        return console.command(with_lab(fill(words, values, shell=False), lab.name))

    console.heading(say(tongue, "exercise", id=chosen.id, title=chosen.title.of(tongue)))
    console.line("")
    console.line(text(chosen.aim.of(tongue)))
    console.line("")
    console.heading(say(tongue, "tasks"))
    for number, task in enumerate(chosen.tasks, start=1):
        console.line(f"  {number}. {text(task.of(tongue))}")
    console.line(f"  {say(tongue, 'nodes')}: {', '.join(chosen.nodes)}")
    modes = {node.mode for node in lab.nodes}
    for note in chosen.notes:
        if note.mode == "any" or note.mode in modes:
            console.line(f"  {say(tongue, 'note')}: {text(note.text.of(tongue))}")
    console.line(f"  {say(tongue, 'from')}: {slide(chosen.slide, tongue)}")
    for link in chosen.links:
        console.line(f"  {say(tongue, 'manual')}: {link}")
    console.line("")
    # Without ssh, a container is entered by the engine, and a machine by its console alone.
    console_only = chosen.enter == "exec" and lab.node(chosen.nodes[0]).mode == "vm"
    first = f"labctl {'console' if console_only else chosen.enter} {chosen.nodes[0]}{where}"
    words = {name: f"labctl {name}{where}" for name in ("check", "hint", "solve")}
    console.line(console.command(say(tongue, "how-to", ssh=first, **words)))
    if chosen.day in guide.days():
        lang = "" if tongue == "en" else f" --lang {tongue}"
        console.line(console.command(say(tongue, "background", guide=f"labctl guide {chosen.day}{lang}")))
    if wants_pcsd(chosen) and not carry_on:
        console.line(say(tongue, "pcsd-starts"))
    if carry_on:
        reset = f"labctl exercise {chosen.id} --reset{where}"
        console.line(console.command(say(tongue, "carry-on", reset=reset)))


def announce(step: Silent, command: str, chosen: Exercise, tongue: Lang) -> None:
    """A step of the solution that is about to run: its reason and its command."""
    from labctl.course.form import HOST, Step

    console.line("")
    if isinstance(step, Step):
        console.heading(step.why.of(tongue))
    nodes = ",".join(chosen.targets(step.on)) if step.on != (HOST,) else HOST
    first, *rest = command.splitlines()
    console.line(f"{nodes}# {console.command(first)}")
    for line in rest:
        console.line(line)  # as it is: an indented EOF would end no here-document


def outcome(place: Place, done: Done) -> None:
    """What a step printed on a node, its end when it is long."""
    if done.result is None:
        console.line(f"  {done.where}: {place.say('solved-already')}")
        return
    lines = (done.result.stdout.rstrip() + "\n" + done.result.stderr.rstrip()).strip().splitlines()
    for line in lines[-LONGEST_OUTPUT:]:
        console.line(f"  {done.where}: {line}")
