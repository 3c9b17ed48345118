"""`labctl up`: look, plan, apply, wait; again until there is nothing left to do."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from labctl.bubble import start as bubble
from labctl.cluster import secrets
from labctl.errors import ActionFailed
from labctl.host.needs import require_podman
from labctl.image.build import BuiltImage, build, find_image
from labctl.image.store import ImageStore
from labctl.lab import (
    apply,
    capture,
    cloud,
    libvirt_uri,
    lock,
    machines,
    memory,
    record,
    storage,
    swap,
    waits,
)
from labctl.lab import bubble as lab_bubble
from labctl.lab.down import end_processes
from labctl.lab.model import Lab
from labctl.lab.observe import Observed, StorageSeen, observe
from labctl.lab.plan import Action, Do, Until, plan
from labctl.lab.request import Request, described, remember
from labctl.places import LabPlaces, image_store, lab_places

if TYPE_CHECKING:
    from labctl.image.vm import VmImage

ROUNDS = 4  # each round heals what the one before brought to light


@dataclass
class Progress:
    """Where the stages' words and times go."""

    say: Callable[[str], None]
    stage: Callable[[str], None] = lambda _: None
    times: list[tuple[str, float]] = field(default_factory=list)

    @contextlib.contextmanager
    def during(self, name: str) -> Iterator[None]:
        """Time a stage; stages that come again add up."""
        self.stage(name)
        start = time.monotonic()
        try:
            yield
        finally:
            spent = time.monotonic() - start
            known = dict(self.times)
            self.times = [*((n, s) for n, s in self.times if n != name), (name, known.get(name, 0.0) + spent)]


@dataclass(frozen=True)
class Outcome:
    """What `up` did. actions is empty when the lab was there already."""

    lab: Lab
    seconds: float
    stages: tuple[tuple[str, float], ...]
    actions: tuple[Action, ...]
    forwards: tuple[tuple[int, int, str, int], ...]

    def document(self) -> dict[str, object]:
        """`up --json`."""
        return {
            "lab": self.lab.name,
            "seconds": round(self.seconds, 3),
            "stages": [{"name": name, "seconds": round(seconds, 3)} for name, seconds in self.stages],
            "changed": bool(self.actions),
            "actions": [
                {"do": action.do.value, "node": action.node, "reason": action.reason}
                for action in self.actions
            ],
        }


def bring_up(request: Request, progress: Progress) -> Outcome:
    """Bring the lab up, or say with dry_run what that would take.

    Raises LabError; whatever was done until then stays and is carried on with by the next call.
    """
    with lock.held(
        request.lab, f"labctl up --lab {request.lab}", patience=request.patience, on_wait=progress.say
    ):
        return bring_up_held(request, progress)


def bring_up_held(request: Request, progress: Progress, *, memory_in: Path | None = None) -> Outcome:
    """The same for who holds the lab's lock.

    memory_in: where a snapshot keeps what the machines, which are off, held in memory.
    """
    began = time.monotonic()
    places = lab_places(request.lab)
    if not request.dry_run:
        _finish_what_was_killed(places, progress)
        if libvirt_uri.is_lost(places):
            progress.say(
                "the connection to the machines' host, and with it their disks, was lost: they boot anew"
            )
            end_processes(request.lab, places)
    before = record.load(places.record, request.lab)
    lab = described(request, before)
    store = ImageStore(image_store())
    if bubble.find(places) is None:
        require_podman()  # before anything else reads what an old one prints
    made_before = machines.load(places)
    uri = "" if made_before else libvirt_uri.for_new(request.libvirt_uri, places, progress.say)
    base = None
    if request.vm_image and made_before is None:
        with progress.during("machines"):
            base = _prepared(
                request.vm_image, lab, places, store, progress, uri=uri, dry_run=request.dry_run
            )  # fmt: skip
        lab = lab.model_copy(update={"family": base.family}) if base else lab
    with progress.during("image"):
        image = find_image(lab.family, store=store)
    if request.dry_run:
        family = image.family if image else lab.family
        lab = storage.resolved(lab.model_copy(update={"family": family}))
        actions = plan(lab, _look_only(lab, places, image, request.until), request.until)
        return Outcome(lab, time.monotonic() - began, (), tuple(actions), ())
    if lab.has_machines and made_before is None:
        machines.require_host(lab, places, uri)
    if image is None:
        with progress.during("image"):
            progress.say("building the node image; this happens once")
            image = build(lab.family, store=store, on_line=progress.say)
    lab = storage.resolved(lab.model_copy(update={"family": image.family}))
    ground = None
    if lab.has_machines:
        with progress.during("machines"):
            ground = machines.choose(lab, places, image, store=store, say=progress.say, base=base, uri=uri)
        lab = machines.fitted(lab, ground)
    context = apply.Context(
        lab=lab,
        places=places,
        image=image,
        secrets=_secrets(lab, places),
        engine=lab_bubble.engine(lab.name, places),
        images=store.graph_root,
        say=progress.say,
        driver=storage.driver(lab),
        until=request.until,
        ground=ground,
        pcsd=request.pcsd,
        fencing=request.fencing,
    )
    if made_before:
        machines.require_memory(
            lab, made_before, context.engine, places, runs=bubble.find(places) is not None
        )
    remember(lab, places, image, request, before)
    actions = _carry_out(context, progress, memory_in)
    made = {action.node for action in actions if action.do is Do.CREATE_NODE}
    if request.label and before is None and made == {node.name for node in lab.nodes}:
        with progress.during("snapshot"):
            progress.say("keeping this state, so that it is a restore away")
            capture.label_end_state(lab, places, request.until, say=progress.say)
    forwards = tuple(bubble.forwards(places))
    return Outcome(lab, time.monotonic() - began, tuple(progress.times), tuple(actions), forwards)


def _prepared(
    file: Path, lab: Lab, places: LabPlaces, store: ImageStore, progress: Progress, *, uri: str, dry_run: bool
) -> VmImage | None:
    """The disk of the cloud image that was asked for; with dry_run the file is only looked at."""
    if dry_run:
        from labctl.image.cloud_file import look

        look(file)
        return None
    machines.require_host(lab, places, uri)
    return cloud.prepared(file, lab.family, store=store, say=progress.say)


def _finish_what_was_killed(places: LabPlaces, progress: Progress) -> None:
    """A snapshot or a restore that was killed half-way."""
    capture.let_go_on(places, progress.say)
    if places.root.is_dir() and swap.finish_interrupted(places):
        progress.say("finished the restore that was killed")


def _look_only(lab: Lab, places: LabPlaces, image: BuiltImage | None, until: Until) -> Observed:
    """What there is, without starting anything."""
    image_id = image.id if image else ""
    driver = storage.driver(lab, until)
    if bubble.find(places) is None:
        return Observed(image=image_id, bubble=False, storage=StorageSeen(wanted=driver is not None))
    return observe(lab_bubble.engine(lab.name, places), lab, places, image=image_id, driver=driver)


def _carry_out(context: apply.Context, progress: Progress, memory_in: Path | None) -> list[Action]:
    places, until = context.places, context.until
    done: list[Action] = []
    if bubble.find(places) is None:
        with progress.during("bubble"):
            start = Action(Do.START_BUBBLE, reason="the lab's namespaces do not run")
            apply.apply([start], context, {})
            done.append(start)
            if memory_in is not None:
                memory.wake(context.engine, memory_in, progress.say)
    else:
        bubble.await_podman(places)
    seen: Observed | None = None
    try:
        for number in range(ROUNDS):
            with progress.during("nodes"):
                observed = seen or _observe(context)
                actions = plan(context.lab, observed, until)
                _apply(actions, context, observed)
            done += actions
            if number and not actions:
                return done
            if not actions and _at_rest(observed, until):
                return done
            seen = _wait_for(context, actions, progress)
        raise ActionFailed(
            f"Lab {context.lab.name} does not come to rest: after {ROUNDS} rounds there was more to do.",
            details="\n".join(f"{action.node}: {action.do.value} ({action.reason})" for action in actions),
            mend=f"labctl validate --lab {context.lab.name}",
        )
    finally:
        context.engine.close()


def _apply(actions: list[Action], context: apply.Context, seen: Observed) -> None:
    logging_in = any(action.do is Do.LOG_IN for action in actions)
    with waits.telling_of_target(context) if logging_in else contextlib.nullcontext():
        apply.apply(actions, context, seen.members)


def _observe(context: apply.Context) -> Observed:
    driver = context.driver if context.until.with_storage else None
    return observe(
        context.engine, context.lab, context.places, image=context.image.id, driver=driver
    )  # fmt: skip


def _wait_for(context: apply.Context, actions: list[Action], progress: Progress) -> Observed | None:
    """Wait for what the actions set going, as far as `until` asks.

    What was seen at the end, when that was all there is to see: a look takes its time in emulated machines.
    """
    until = context.until
    started = any(action.do in (Do.START_NODE, Do.THAW_NODE) for action in actions)
    if until is Until.NODES or started:
        with progress.during("nodes"):
            progress.say("waiting for the nodes to boot")
            waits.await_boot(context)
            # Without a cluster to wait for, pcs is what comes next.
            if until is Until.NODES:
                waits.await_pcsd(context)
        if until is Until.NODES:
            return None
        # What a node that was off brings along is seen only now.
        again = _observe(context)
        more = plan(context.lab, again, until)
        _apply(more, context, again)
    with progress.during("cluster"):
        if context.fencing:
            progress.say("waiting for the cluster: members, quorum, DC, fencing")
        else:
            progress.say("waiting for the cluster: members, quorum, DC")
        waits.await_cluster(context)
        waits.await_pcsd(context)
    if until.with_storage and context.driver:
        with progress.during("storage"):
            progress.say("waiting for the shared disks")
            # Nodes that were made without the disks do not log in by themselves.
            seen = _observe(context)
            late = [
                action
                for action in plan(context.lab, seen, until)
                if action.do is Do.LOG_IN and not seen.storage.configured(action.node)
            ]
            lacking = any(seen.storage.lacking(context.lab, node.name) for node in context.lab.nodes)
            if not late and not lacking:
                return seen
            with waits.telling_of_target(context):
                apply.apply(late, context, seen.members)
                waits.await_storage(context)
    return None


def _at_rest(observed: Observed, until: Until) -> bool:
    if until is Until.NODES:
        return all(member.booted for member in observed.members.values())
    configured = [member for member in observed.members.values() if member.conf]
    view = observed.view()
    if not configured:
        return True
    expected = frozenset().union(*(member.nodelist for member in configured))
    return bool(view and view.dc and view.quorate and not expected - view.online) and all(
        member.pcsd for member in observed.members.values()
    )


def _secrets(lab: Lab, places: LabPlaces) -> secrets.Secrets:
    places.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return secrets.load_or_make(places.secrets, lab.name)
