"""The form of an exercise's file."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from labctl.course.kinds import ID, Check, CheckId, Nodes, On, Seconds
from labctl.course.text import Text, Words
from labctl.lab.sections import Frozen

HOST: Final = "host"
ALL: Final = "all"
EXERCISE_ID: Final = rf"^{ID}/{ID}$"


Need = Literal["block", "lvm", "nfs", "pr", "dlm", "drbd", "vm"]
Start = Literal["nodes", "cluster", "fresh"]


class Silent(Frozen):
    """A command for the shell of some nodes, or one of labctl's for the host.

    unless: a command that ends well when there is nothing to do any more.
    settle: then wait until the cluster has nothing left to do, seen sooner than by crm_resource --wait.
    """

    on: On
    run: Words
    unless: Words | None = None
    settle: bool = False
    timeout: Seconds = 120


class Step(Silent):
    """A command of the reference solution, with the reason for it."""

    why: Text


class NearMiss(Frozen):
    """A typical mistake, and the check that must fail for it.

    after: from where the steps go: the exercise's start, or the reached solution.
    says: a piece of the failing message, in English.
    """

    why: Text
    after: Literal["start", "solution"] = "start"
    steps: Annotated[tuple[Silent, ...], Field(min_length=1)]
    fails: CheckId
    says: Words


class Note(Frozen):
    """A word of honesty: what this mode of the lab cannot do as a real machine would."""

    mode: Literal["container", "vm", "any"] = "any"
    text: Text


class Exercise(Frozen):
    """One exercise.

    id: day/name, as the file lies.  place: its rank within the day.  start: the state of the lab
    that prepare starts from.  keep: that the prepared lab is worth a snapshot of its own.
    at_start: the checks that fail at the start, all of them; none of the others does.
    enter: how one gets in; exec is the console, for nodes whose network is not there yet.
    slide: the topic of the slides that it comes from.  links: the upstream manual.
    """

    id: Annotated[str, Field(pattern=EXERCISE_ID, max_length=80)]
    place: Annotated[int, Field(strict=True, ge=1, le=999)] = 999
    title: Text
    aim: Text
    tasks: Annotated[tuple[Text, ...], Field(min_length=1)]
    hints: Annotated[tuple[Text, ...], Field(min_length=1)]
    notes: tuple[Note, ...] = ()
    needs: tuple[Need, ...] = ()
    nodes: Nodes
    enter: Literal["ssh", "exec"] = "ssh"
    start: Start
    prepare: tuple[Silent, ...] = ()
    keep: bool = False
    solution: Annotated[tuple[Step, ...], Field(min_length=1)]
    checks: Annotated[tuple[Check, ...], Field(min_length=1)]
    at_start: Annotated[tuple[CheckId, ...], Field(min_length=1)]
    near_miss: Annotated[tuple[NearMiss, ...], Field(min_length=1)]
    cleanup: tuple[Silent, ...] = ()
    slide: Words
    links: Annotated[tuple[Annotated[str, Field(pattern=r"^https://\S+$")], ...], Field(min_length=1)]

    @property
    def day(self) -> str:
        return self.id.partition("/")[0]

    @property
    def name(self) -> str:
        return self.id.partition("/")[2]

    def targets(self, on: tuple[str, ...] | None) -> tuple[str, ...]:
        """The nodes that a step or a check means."""
        return self.nodes if on is None or on == (ALL,) else on
