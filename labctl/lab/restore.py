"""Bringing a lab back to a snapshot: verify, copy aside, swap, start.

Until the swap nothing of the lab is touched; from then on any next call finishes it (labctl.lab.swap).
The course, which throws the lab's state away, goes back even where there is no room for two.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from labctl.bubble import freeze
from labctl.cluster import state
from labctl.errors import BadFile, HostLacks, UsageError, is_full
from labctl.image.store import ImageStore
from labctl.lab import bubble as lab_bubble
from labctl.lab import copying, lock, machines, memory, record, snapshot, swap
from labctl.lab.model import Lab
from labctl.lab.plan import Until
from labctl.lab.record import Record
from labctl.lab.request import Request, described
from labctl.lab.snapshot import TREE, Snapshot
from labctl.lab.up import Progress, bring_up_held
from labctl.places import LabPlaces, image_store
from labctl.wait import wait_until

QUORUM_SECONDS = 90.0
PODMAN_SECONDS = 60.0


@dataclass(frozen=True)
class Restored:
    """What restore() did. quorate: whether a cluster has quorum now; seconds: of all of it."""

    snapshot: Snapshot
    quorate: bool
    seconds: float
    stages: tuple[tuple[str, float], ...]

    def document(self) -> dict[str, object]:
        """`snapshot restore --json`."""
        return {
            "lab": self.snapshot.lab,
            "snapshot": self.snapshot.name,
            "seconds": round(self.seconds, 3),
            "stages": [{"name": name, "seconds": round(seconds, 3)} for name, seconds in self.stages],
            "quorate": self.quorate,
        }


def restore(
    places: LabPlaces,
    name: str,
    progress: Progress,
    *,
    give_way: bool = False,
    pcsd: bool = True,
    fencing: bool = True,
    patience: float = 0.0,
) -> Restored:
    """Make the lab what it was when the snapshot was taken, and start it. The state of today is lost.

    give_way: where there is no room for the copy beside the state of today, that goes first.
    pcsd, fencing: wait until it answers, until the fence devices run, too.
    Whatever state the lab is in, and whether it runs. Raises UsageError, BadFile, HostLacks, Busy, and
    then the lab is untouched; and what bring_up() raises.
    """
    began = time.monotonic()
    what = f"labctl snapshot restore {name} --lab {places.lab}"
    with lock.held(places.lab, what, patience=patience, on_wait=progress.say):
        with progress.during("restore"):
            chosen = snapshot.load(places, name)
            snapshot.clear_leftovers(places)
            swap.finish_interrupted(places)
            known = verify(places, chosen)
            put = _copied(places, chosen, progress, give_way=give_way)
            progress.say("ending the lab and putting the snapshot in its place")
            freeze.thaw_if_left(places)
            put(places, chosen.names, name)
        woken = snapshot.folder(places, name) / memory.MEMORY if chosen.memory else None
        request = Request(lab=places.lab, until=Until(known.until), pcsd=pcsd, fencing=fencing)
        bring_up_held(request, progress, memory_in=woken)
        quorate = chosen.quorate  # beyond "nodes", `up` has waited for it
        if quorate and known.until == Until.NODES:
            with progress.during("cluster"):
                quorate = _await_quorum(described(Request(lab=places.lab), known), places, progress)
    return Restored(chosen, quorate, time.monotonic() - began, tuple(progress.times))


def verify(places: LabPlaces, chosen: Snapshot) -> Record:
    """The lab's record as the snapshot has it.

    Raises UsageError, BadFile or HostLacks when this snapshot cannot become this lab.
    """
    own = f"labctl snapshot list --lab {places.lab}"
    if chosen.lab != places.lab:
        raise UsageError(
            f"Snapshot {chosen.name} is of lab {chosen.lab}, not of {places.lab}.",
            details="Machines bear addresses, names and keys of their lab.",
            mend=own,
        )
    kept = _kept_record(places, chosen)
    _verify_description(places, chosen, kept)
    tree = snapshot.folder(places, chosen.name) / TREE
    there = copying.usage(tree, chosen.names)
    if (there.entries, there.size) != (chosen.entries, chosen.bytes):
        raise BadFile(
            f"Snapshot {chosen.name} is not whole.",
            details=f"It holds {there.entries} entries with {there.size} bytes; "
            f"{chosen.entries} with {chosen.bytes} were kept.",
            mend=f"labctl snapshot delete {chosen.name} --lab {places.lab}",
        )
    if memory.size(snapshot.folder(places, chosen.name) / memory.MEMORY) != chosen.memory:
        raise BadFile(
            f"Snapshot {chosen.name} is not whole: what its machines held in memory was changed.",
            mend=f"labctl snapshot delete {chosen.name} --lab {places.lab}",
        )
    _verify_images(places, chosen)
    return kept


def _verify_images(places: LabPlaces, chosen: Snapshot) -> None:
    """What the machines' file systems lie upon must still be there. Raises HostLacks."""
    store = ImageStore(image_store())
    ground = machines.load(places, snapshot.folder(places, chosen.name) / TREE)
    for image in chosen.images:
        if ground is not None and image == ground.image:
            if not Path(ground.disk).exists():
                raise HostLacks(
                    f"The base disk of snapshot {chosen.name} is not there any more.",
                    details=f"The machines' disks lie upon {ground.disk}.",
                    mend=f"labctl down --lab {places.lab} && labctl up --lab {places.lab} --mode vm",
                )
            continue
        if not store.podman("image", "exists", image, timeout=PODMAN_SECONDS, check=False).ok:
            raise HostLacks(
                f"The node image of snapshot {chosen.name} is not in the store any more.",
                details=f"Image {image} in {store.graph_root}: the nodes' file systems lie upon it.",
                mend=f"labctl down --lab {places.lab} && labctl up --lab {places.lab}",
            )


def _kept_record(places: LabPlaces, chosen: Snapshot) -> Record:
    kept = record.load(snapshot.folder(places, chosen.name) / TREE / places.record.name, places.lab)
    if kept is None:
        raise BadFile(
            f"Snapshot {chosen.name} is not whole: the lab's record is missing.",
            mend=f"labctl snapshot delete {chosen.name} --lab {places.lab}",
        )
    return kept


def _verify_description(places: LabPlaces, chosen: Snapshot, kept: Record) -> None:
    """The description of today must ask for the machines that are in the snapshot.

    `up` makes a machine anew that differs from its description: what was in it would be lost.
    """
    lab = described(Request(lab=places.lab), kept)
    today = [node.name for node in lab.nodes]
    if sorted(chosen.nodes) != sorted(today):
        raise UsageError(
            f"Snapshot {chosen.name} is of a lab with other nodes.",
            details=f"It has {', '.join(chosen.nodes)}; the lab has {', '.join(today)}.",
            mend=f"labctl snapshot list --lab {places.lab}",
        )
    if chosen.family != kept.family:
        raise BadFile(
            f"Snapshot {chosen.name} is damaged.",
            details=f"It says {chosen.family}, and its lab {kept.family}.",
            mend=f"labctl snapshot delete {chosen.name} --lab {places.lab}",
        )
    changed = [node.name for node in lab.nodes if chosen.nodes[node.name] not in ("", node.spec_hash(lab))]
    if changed:
        raise UsageError(
            f"The description of {', '.join(changed)} has changed since snapshot {chosen.name} was made.",
            details=f"Networks, addresses or sizes in {lab.source} must be as they were.",
            mend=f"put the description back, or: labctl snapshot delete {chosen.name} --lab {places.lab}",
        )


Put = Callable[[LabPlaces, Sequence[str], str], None]


def _copied(places: LabPlaces, chosen: Snapshot, progress: Progress, *, give_way: bool) -> Put:
    """Copy the snapshot aside; what puts it in place. give_way: see restore()."""
    try:
        _copy_aside(places, chosen, progress)
        return swap.commit
    except HostLacks:
        if not give_way:
            raise
    old = copying.usage(places.root, swap.content(places)).disk
    copying.require_room(places.root, _needed(chosen), _what(chosen), _mend(places), freed=old)
    progress.say(f"there is no room for both, so what the lab holds now goes first ({copying.text(old)})")
    return swap.commit_without_room


def _needed(chosen: Snapshot) -> int:
    return chosen.size - chosen.memory  # memory is read where it lies


def _what(chosen: Snapshot) -> str:
    return f"restoring snapshot {chosen.name} beside what the lab holds now"


def _mend(places: LabPlaces) -> str:
    return f"remove what fills the nodes' disks, or: labctl snapshot delete … --lab {places.lab}"


def _copy_aside(places: LabPlaces, chosen: Snapshot, progress: Progress) -> None:
    needed = _needed(chosen)
    copying.require_room(places.root, needed, _what(chosen), _mend(places))
    progress.say(f"copying {copying.text(needed)}")
    try:
        tree = swap.prepare(places)
        copying.copy_exactly(snapshot.folder(places, chosen.name) / TREE, chosen.names, tree)
    except BaseException as error:
        swap.give_up(places)
        if is_full(error):
            raise HostLacks(
                f"There was no room left to restore snapshot {chosen.name}; the lab is as it was.",
                details=f"Its disks take {copying.text(needed)}.",
                mend=_mend(places),
            ) from None
        raise


def _await_quorum(lab: Lab, places: LabPlaces, progress: Progress) -> bool:
    """Wait for the cluster that had quorum; False when it is not one that starts at boot.

    For a cluster that was made by hand, which is no concern of `up`.
    """
    engine = lab_bubble.engine(places.lab, places)
    last = "no node answers"

    def settled() -> str:
        nonlocal last
        members = []
        for node in lab.nodes:
            member = state.ask(engine.node(node.name))
            if member.view and member.view.quorate and member.view.dc:
                return "yes"
            last = f"{node.name}: {member.silent or 'no quorum'}"
            members.append(member)
        asleep = all(member.booted and not member.corosync for member in members)
        return "asleep" if asleep else ""

    try:
        found = wait_until(
            "the restored cluster to be quorate",
            settled,
            timeout=(QUORUM_SECONDS + 15 * len(lab.nodes)) * engine.pace,
            every=0.3 * engine.pace,
            last_seen=lambda: last,
            mend=f"labctl status --lab {places.lab}",
        )
    finally:
        engine.close()
    if found == "asleep":
        progress.say("the cluster does not start at boot: pcs cluster start --all")
    return found == "yes"
