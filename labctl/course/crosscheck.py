"""What no single value of an exercise's file can tell: names that lead nowhere, ids that come twice."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator
from pathlib import Path

from labctl.course import variables as variable
from labctl.course.form import ALL, HOST, Exercise, Silent
from labctl.course.kinds import Address, Again, Cib, Cluster, Command, Links, UnitState
from labctl.course.text import Text
from labctl.lab.model import nearest
from labctl.lab.sections import MAX_NODES

Finding = tuple[tuple[str | int, ...], str, str]

# The only things that a course may ask of the host, by the words that labctl would be called with.
HOST_COMMANDS = (("snapshot", "create"), ("snapshot", "restore"), ("snapshot", "delete"))


def crosscheck(exercise: Exercise, path: Path, variables: Collection[str] | None) -> list[Finding]:
    """All that is wrong between the values of an exercise."""
    findings = [*_place(exercise, path), *_ids(exercise), *_nodes(exercise), *_steps(exercise)]
    if variables is not None:
        known = frozenset(variables)
        findings += [*_units(exercise, known), *_of_the_lab(exercise, known)]
        for where, text in _filled(exercise):
            findings += [(where, "variable", problem) for problem in variable.unknown(text, known)]
    return findings


def _place(exercise: Exercise, path: Path) -> Iterator[Finding]:
    if path.stem != exercise.name:
        yield ("id",), "id", f"{exercise.id} must stand in a file {exercise.name}.yaml, not {path.name}"


def _ids(exercise: Exercise) -> Iterator[Finding]:
    ids = [check.id for check in exercise.checks]
    for number, check in enumerate(exercise.checks):
        if check.id in ids[:number]:
            yield ("checks", number, "id"), "duplicate", f"the id {check.id} stands here twice"
        wanted = [("requires", name) for name in check.requires]
        wanted += [("checks", name) for name in check.checks] if isinstance(check, Again) else []
        for key, name in wanted:
            if name not in ids[:number]:
                text = f"there is no check {name!r} before this one{nearest(name, ids[:number])}"
                yield ("checks", number, key), "reference", text
    for number, name in enumerate(exercise.at_start):
        if name not in ids:
            yield ("at_start", number), "reference", f"there is no check {name!r}{nearest(name, ids)}"
    for number, miss in enumerate(exercise.near_miss):
        if miss.fails not in ids:
            text = f"there is no check {miss.fails!r}{nearest(miss.fails, ids)}"
            yield ("near_miss", number, "fails"), "reference", text


def _units(exercise: Exercise, variables: frozenset[str]) -> Iterator[Finding]:
    known = [name.removeprefix("unit.") for name in variables if name.startswith("unit.")]
    for number, check in enumerate(exercise.checks):
        for name in check.units if isinstance(check, UnitState) else ():
            if name not in known:
                yield ("checks", number, "units"), "unit", f"there is no unit {name!r}{nearest(name, known)}"


def _of_the_lab(exercise: Exercise, variables: frozenset[str]) -> Iterator[Finding]:
    """Nodes that no lab has, and networks that labctl's own has not got; its variables tell which it has."""
    nodes = [f"node{number}" for number in range(1, MAX_NODES + 1)]  # `up --nodes` makes as many
    networks = [name.removeprefix("subnet.") for name in variables if name.startswith("subnet.")]
    for number, name in enumerate(exercise.nodes):
        if name not in nodes:
            yield ("nodes", number), "node", f"no lab has a node {name!r}{nearest(name, nodes)}"
    for number, check in enumerate(exercise.checks):
        for name in check.networks if isinstance(check, Address | Links) else ():
            if name not in networks:
                text = f"the lab has no network {name!r}{nearest(name, networks)}"
                yield ("checks", number, "networks"), "network", text


def _nodes(exercise: Exercise) -> Iterator[Finding]:
    known = (*exercise.nodes, ALL)
    for where, step in _all_steps(exercise):
        for name in step.on:
            if name not in (*known, HOST) or (name in (ALL, HOST) and len(step.on) > 1):
                yield (*where, "on"), "node", f"{name!r} is no node of this exercise{nearest(name, known)}"
    for number, check in enumerate(exercise.checks):
        named = [("on", name) for name in check.on or ()]
        for key in ("source", "server", "hosts", "members"):
            value = getattr(check, key, ())
            named += [(key, name) for name in ((value,) if isinstance(value, str) else value)]
        for key, name in named:
            if name not in exercise.nodes:
                text = f"{name!r} is no node of this exercise{nearest(name, exercise.nodes)}"
                yield ("checks", number, key), "node", text


def _steps(exercise: Exercise) -> Iterator[Finding]:
    for where, step in _all_steps(exercise):
        if step.on != (HOST,):
            continue
        try:
            words = tuple(shlex.split(step.run))
        except ValueError as error:
            yield (*where, "run"), "host", f"is no command: {error}"
            continue
        if words[:1] != ("labctl",) or words[1:3] not in HOST_COMMANDS or len(words) != 4:
            allowed = ", ".join(f"labctl {' '.join(known)} NAME" for known in HOST_COMMANDS)
            yield (*where, "run"), "host", f"on the host an exercise may only run {allowed}"
        if step.unless:
            yield (*where, "unless"), "host", "does not go with a step on the host"


def _all_steps(exercise: Exercise) -> Iterator[tuple[tuple[str | int, ...], Silent]]:
    for key in ("prepare", "solution", "cleanup"):
        for number, step in enumerate(getattr(exercise, key)):
            yield (key, number), step
    for number, miss in enumerate(exercise.near_miss):
        for place, step in enumerate(miss.steps):
            yield ("near_miss", number, "steps", place), step


def _filled(exercise: Exercise) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every text in which variables are filled, with its place."""
    for where, step in _all_steps(exercise):
        yield (*where, "run"), step.run
        if step.unless:
            yield (*where, "unless"), step.unless
    for number, check in enumerate(exercise.checks):
        for key in ("run", "undo", "xpath", "equals", "contains", "lacks", "matches", "name"):
            text = getattr(check, key, None)
            if isinstance(check, Again | Cib | Cluster | Command) and isinstance(text, str):
                yield ("checks", number, key), text
        yield ("checks", number, "look"), check.look
    for where, words in _texts(exercise):
        yield where, words.en
        yield where, words.ko


def _texts(exercise: Exercise) -> Iterator[tuple[tuple[str | int, ...], Text]]:
    """The texts for the learner in which variables are filled."""
    yield ("aim",), exercise.aim
    for key in ("tasks", "hints"):
        for number, words in enumerate(getattr(exercise, key)):
            yield (key, number), words
    for number, note in enumerate(exercise.notes):
        yield ("notes", number, "text"), note.text
    for number, check in enumerate(exercise.checks):
        yield ("checks", number, "point"), check.point
        if isinstance(check, Again | Command) and check.found is not None:
            yield ("checks", number, "found"), check.found
