"""The life of an exercise in a lab: begin, solve, finish."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from labctl.course import progress
from labctl.course.fingerprint import digest
from labctl.course.form import Exercise
from labctl.course.grade import gathered
from labctl.course.kinds import asks_pcsd
from labctl.course.place import Place
from labctl.course.progress import Progress
from labctl.course.steps import Done, await_boot, run_steps
from labctl.errors import BadFile, UsageError, is_full
from labctl.lab.model import Lab
from labctl.places import LabPlaces
from labctl.words.lang import Lang
from labctl.words.phrases import say

# What only a kernel of its own gives a node (COURSE.md, "needs").
OF_A_VM = frozenset({"lvm", "nfs", "pr", "dlm", "drbd", "vm"})
BEFORE = "before-course"

Say = Callable[[str], None]


def unmet(exercise: Exercise, lab: Lab, lang: Lang = "en") -> tuple[str, str]:
    """(what the lab has not got for this exercise, the command that gives it); ("", "") when all is there.

    The command makes a second lab: none of these can be changed in a lab that is there, and this one
    holds the learner's work and record.
    """
    lacks: list[str] = []
    second, options = "", ""
    if needs := sorted(OF_A_VM.intersection(exercise.needs)):
        options += " --mode vm"
        if lab.has_containers:
            what = say(lang, "machines")
            lacks.append(what if needs == ["vm"] else f"{what} ({', '.join(needs)})")
            second = "vm"
    if "block" in exercise.needs and lab.storage.driver == "none":
        options += " --storage auto"
        lacks.append(say(lang, "disks"))
        second = second or "disks"
    if missing := [name for name in exercise.nodes if name not in {node.name for node in lab.nodes}]:
        count = _nodes_up_to(exercise)
        options += f" --nodes {count}"
        lacks += missing
        second = second or f"nodes-{count}"
    if not lacks:
        return "", ""
    flag = f" --lab {second if second != lab.name else f'{second}-2'}"
    return ", ".join(lacks), f"labctl up{flag}{options} && labctl exercise {exercise.id}{flag}"


def _nodes_up_to(exercise: Exercise) -> int:
    """How many nodes a lab has that has all of the exercise's: they are numbered from 1 without a gap."""
    numbers = [int(found[0]) for name in exercise.nodes if (found := re.search(r"\d+$", name))]
    return max([len(exercise.nodes), *numbers])


def require(exercise: Exercise, lab: Lab, lang: Lang = "en") -> None:
    """Raises UsageError, naming the command, when the lab cannot hold this exercise."""
    what, command = unmet(exercise, lab, lang)
    if what:
        raise UsageError(
            say(lang, "lacks", id=exercise.id, what=what, lab=lab.name),
            details=say(lang, "second-lab", lab=lab.name),
            mend=command,
        )


def kept_name(exercise: Exercise) -> str:
    """The snapshot of a prepared start; another name when the preparation changes."""
    steps = repr((exercise.start, [step.model_dump() for step in exercise.prepare])).encode()
    return f"start-{exercise.day}-{exercise.name}-{hashlib.sha256(steps).hexdigest()[:8]}"


def begin(
    place: Place,
    places: LabPlaces,
    exercise: Exercise,
    *,
    left: Exercise | None = None,
    anew: bool = False,
    say: Say = lambda _: None,
) -> str:
    """Bring the lab to the exercise's start, whatever state it is in, and remember that.

    left: the exercise that was under way; it is cleared away first.
    anew: whatever the record says of the lab, go back to the start's snapshot.
    The name of the snapshot that holds the lab as it was before the course came, "" when none was
    made now. Raises LabError.
    """
    require(exercise, place.lab, place.lang)
    known = progress.load(places)
    before = ""
    if not known.exercises and BEFORE not in place.host.snapshots():
        say(place.say("keep-before", name=BEFORE))
        place.host.keep(BEFORE, "the lab before the course")
        before = BEFORE
    _on_the_way(places)
    say(place.say("to-start", id=exercise.id))
    if left is not None:
        run_steps(place, left, left.cleanup, keep_going=True)
    kept = kept_name(exercise) if exercise.keep else ""
    if not (kept and _restored(place, kept)):
        if kept:
            say(place.say("first-time"))
        untouched = known.at == exercise.start and not known.active and not anew
        if not untouched or not at_rest(place, known.rest):
            # What changes the cluster and then lets it settle need not wait for the fence devices before.
            settles = any(step.settle for step in exercise.prepare)
            place.host.go_to(exercise.start, fencing=not settles)
            place.moved()
        _prepare(place, exercise, say)
        if kept:
            _forget(place, kept.rpartition("-")[0])
            place.host.keep(kept, f"the start of {exercise.id}")

    def begun(now: Progress) -> Progress:
        started = now.with_record(exercise.id, **progress.begun(now.of(exercise.id)))
        return started.model_copy(update={"active": exercise.id})

    progress.change(places, begun)
    return before


def _prepare(place: Place, exercise: Exercise, say: Say) -> None:
    """Run the preparation. pcsd starts last, and takes seconds; only what has to do with it waits for it."""
    if exercise.prepare:
        say(place.say("preparing", id=exercise.id))
    run_steps(place, exercise, exercise.prepare)
    if exercise.keep:
        await_boot(place)


def wants_pcsd(exercise: Exercise) -> bool:
    """Whether its learner will ask pcsd, which may still be starting when the exercise begins.

    Not where the preparation has ended pcsd: there it is the learner's to start.
    """
    ended = any("disable --now {unit.pcsd}" in step.run for step in exercise.prepare)
    return not ended and any(asks_pcsd(step.run) for step in exercise.solution)


def _on_the_way(places: LabPlaces) -> None:
    """Until its start the lab is no exercise's. A full disk does not keep that: the start makes room."""
    try:
        progress.change(places, lambda now: now.model_copy(update={"active": "", "at": "", "rest": ""}))
    except OSError as error:
        if not is_full(error):
            raise


def _restored(place: Place, kept: str) -> bool:
    """Go back to a kept start; False when there is none that can be restored."""
    if kept not in place.host.snapshots():
        return False
    try:
        place.host.restore(kept)
    except (BadFile, UsageError):  # damaged, or of a lab that was described differently
        return False
    place.moved()
    return True


def _forget(place: Place, beginning: str) -> None:
    """Remove the kept starts of an exercise's former preparations."""
    for name in list(place.host.snapshots()):
        if name.rpartition("-")[0] == beginning:
            place.host.labctl(["snapshot", "delete", name])


def at_rest(place: Place, rest: str) -> bool:
    """Whether the lab is as `finish` left it: the digest of its facts is the same."""
    return bool(rest) and rest == _digest(place)


def _digest(place: Place) -> str:
    return digest(gathered(place, [node.name for node in place.lab.nodes]))


def solve(
    place: Place,
    places: LabPlaces,
    exercise: Exercise,
    *,
    tell: Callable[[Done], None],
    before: Callable[..., None],
) -> None:
    """Run the reference solution, from wherever the lab is. Raises LabError."""
    progress.change(
        places,
        lambda now: now.with_record(exercise.id, **progress.helped(now.of(exercise.id), solved=True)),
    )
    run_steps(place, exercise, exercise.solution, tell=tell, before=before)


def finish(place: Place, places: LabPlaces, exercise: Exercise) -> None:
    """Clear the exercise away: its own cleanup for what lies outside of the nodes, then its start state.

    Raises LabError; called again it finishes what is left.
    """
    run_steps(place, exercise, exercise.cleanup, keep_going=True)
    place.host.go_to(exercise.start)
    place.moved()
    if place.lab.has_machines:  # there pcsd is started behind the boot, by a timer
        await_boot(place)
    rest = _digest(place)

    def over(now: Progress) -> Progress:
        ended = now.with_record(exercise.id, finished=progress.now())
        return ended.model_copy(update={"active": "", "at": exercise.start, "rest": rest})

    progress.change(places, over)
