"""Running the steps of an exercise: preparation, solution, near miss, cleanup."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from labctl.course.form import HOST, Exercise, Silent
from labctl.course.grade import booted
from labctl.course.kinds import asks_pcsd
from labctl.course.place import Place
from labctl.errors import ActionFailed, LabError
from labctl.places import lab_flag
from labctl.run import Result

UNLESS_SECONDS = 30.0
# What crm_resource --wait asks, too: would the scheduler do anything? That looks every two seconds only.
SETTLED = """
graph=$(mktemp) && trap 'rm -f "$graph"' EXIT
until crm_simulate --live-check --simulate --quiet --save-graph "$graph" >/dev/null 2>&1 &&
  ! grep -q '<synapse' "$graph"
do sleep {pause}; done
"""


@dataclass(frozen=True)
class Done:
    """One step on one node (or on "host"); result None: `unless` said that it was so already."""

    step: Silent
    where: str
    command: str
    result: Result | None


def run_steps(
    place: Place,
    exercise: Exercise,
    steps: Iterable[Silent],
    *,
    tell: Callable[[Done], None] = lambda _: None,
    before: Callable[[Silent, str], None] = lambda *_: None,
    keep_going: bool = False,
) -> None:
    """Run steps in order, each on its nodes at once; the first that asks pcsd waits until it has started.

    tell: called for every step and node when it is done; before: with the command, as it begins.
    Raises ActionFailed at the first step that ends badly, unless keep_going.
    """
    awaited = False
    for step in steps:
        before(step, command_of(place, step))
        if not awaited and asks_pcsd(step.run):
            with contextlib.suppress(LabError):  # a learner's node may be off; the step itself tells
                await_boot(place)
            awaited = True
        try:
            for done in _run(place, exercise, step):
                tell(done)
        except LabError:
            if not keep_going:
                raise


def await_boot(place: Place) -> None:
    """Wait until systemd has started everything on every node of the lab, pcsd included. Raises LabError."""
    nodes = [node.name for node in place.lab.nodes]
    with ThreadPoolExecutor(len(nodes)) as pool:
        list(pool.map(lambda name: booted(place, name), nodes))


def command_of(place: Place, step: Silent) -> str:
    """The command of a step as a learner would type it."""
    return place.fill(step.run)


def _run(place: Place, exercise: Exercise, step: Silent) -> list[Done]:
    command = command_of(place, step)
    if step.on == (HOST,):
        words = shlex.split(command)[1:]
        if words[:2] == ["snapshot", "delete"] and words[2] not in place.host.snapshots():
            return [Done(step, HOST, command, None)]
        result = place.host.labctl(words)
        place.moved()
        if not result.ok:
            raise ActionFailed(
                "A step on the host failed.",
                details=f"# {command}\n{result.describe()}",
                mend=_anew(place, exercise),
            )
        return [Done(step, HOST, command, result)]
    nodes = exercise.targets(step.on)
    with ThreadPoolExecutor(len(nodes)) as pool:
        return list(pool.map(lambda node: _on_node(place, exercise, step, node, command), nodes))


def _on_node(place: Place, exercise: Exercise, step: Silent, node: str, command: str) -> Done:
    handle = place.node(node)
    if step.unless:
        asked = handle.run(["bash", "-c", place.fill(step.unless)], timeout=UNLESS_SECONDS, check=False)
        if asked.ok:
            return Done(step, node, command, None)
    result = handle.run(["bash", "-e", "-o", "pipefail", "-c", command], timeout=step.timeout, check=False)
    if result.ok and step.settle:
        wait = SETTLED.format(pause=f"{0.2 * place.engine.pace:.1f}")
        result = handle.run(["bash", "-c", wait], timeout=step.timeout, check=False)
    if not result.ok:
        said = (result.stderr.strip() or result.stdout.strip())[-2000:]
        raise ActionFailed(
            f"A step failed on {node} (exit code {result.rc}).",
            details=f"[root@{node}]# {command}\n{said}",
            mend=_anew(place, exercise),
        )
    return Done(step, node, command, result)


def _anew(place: Place, exercise: Exercise) -> str:
    """The command that begins the exercise from its start; by its id, since it may not be under way yet."""
    return f"labctl exercise {exercise.id} --reset{lab_flag(place.lab.name)}"
