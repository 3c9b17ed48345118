"""Taking a snapshot: copy most of a lab while it runs, stop it for a moment, copy the rest.

A lab is one folder and the processes below one cgroup. A snapshot is a copy of the folder, finished
while the processes stand still: docs/adr/0012-snapshots.md.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from labctl.bubble import freeze
from labctl.bubble import start as bubble
from labctl.cluster import state
from labctl.cluster.state import Member
from labctl.engine.base import Engine, Machine, State
from labctl.errors import ActionFailed, HostLacks, LabError, is_full
from labctl.lab import bubble as lab_bubble
from labctl.lab import copying, lock, memory, record, swap
from labctl.lab import machines as machines_of_lab
from labctl.lab.model import Lab
from labctl.lab.plan import Until
from labctl.lab.record import Record
from labctl.lab.snapshot import META, TREE, Say, Snapshot, clear_leftovers, folder, names, new_name
from labctl.places import LabPlaces

# The states that `up` reaches from nothing, by how far it went.
LABELS = {Until.NODES: "fresh-nodes", Until.CLUSTER: "fresh-cluster", Until.ALL: "fresh"}
BY_UP, BY_COURSE = "made by labctl up", "made by labctl exercise"
# So much is copied while the lab stands still, without much ado: a tenth of a second or two.
AT_ONCE = 64 * 1024**2
ROUNDS = 3
FLUSH_SECONDS = 20.0
# The kernel's coarse clock, which files get their times from, is a tick behind.
TICK = 0.1
# First the file systems on the shared disks, then the disks: what the kernel holds is in no image.
FLUSH = """
while read -r device folder rest; do
  case $device in
  /dev/sd* | /dev/mapper/* | /dev/dm-* | /dev/drbd* | /dev/loop*) sync -f "$(printf %b "$folder")" ;;
  esac
done </proc/mounts
for disk in /dev/sd?; do [ ! -b "$disk" ] || sync "$disk"; done
"""
PARTIAL = ".partial"


@dataclass(frozen=True)
class _Seen:
    """A lab while it was copied: its machines, whether it had quorum, the seconds it stood still."""

    machines: Mapping[str, Machine] = field(default_factory=dict)
    quorate: bool = False
    frozen: float = 0.0


def create(
    lab: Lab, places: LabPlaces, wanted: str | None, *, note: str = "", say: Say, patience: float = 0.0
) -> Snapshot:
    """Take a snapshot of a lab, running or not; wanted: its name.

    Raises UsageError, Busy, HostLacks (no room), ActionFailed; then there is no new snapshot.
    """
    what = f"labctl snapshot create --lab {places.lab}"
    with lock.held(places.lab, what, patience=patience, on_wait=say):
        name = new_name(places, wanted)
        clear_leftovers(places)
        let_go_on(places, say)
        swap.finish_interrupted(places)
        return _take(lab, places, name, note, say, fast=False)


def let_go_on(places: LabPlaces, say: Say) -> None:
    """Let a lab go on that a killed create() left standing still. Only for who holds the lab's lock."""
    if freeze.thaw_if_left(places):
        say("the lab was left frozen by a snapshot that was killed; it goes on")
    if bubble.find(places) and memory.go_on_if_left(places):
        say("the machines were held still by a snapshot that was killed; they go on")


def label_end_state(lab: Lab, places: LabPlaces, until: Until, *, say: Say) -> Snapshot | None:
    """Label the state that `up` has reached from nothing, so that it is a restore away.

    Only for who holds the lab's lock and made every machine of it just now. None when there is such a
    label already, or when it cannot be had: a lab without it is as good.
    """
    name = LABELS.get(until)
    if name is None or name in names(places):
        return None
    try:
        clear_leftovers(places)
        return _take(lab, places, name, BY_UP, say, fast=True)
    except (LabError, OSError) as error:
        say(f"no snapshot {name}: {error.message if isinstance(error, LabError) else error}")
        return None


def keep_again(lab: Lab, places: LabPlaces, name: str, *, say: Say) -> Snapshot:
    """Take a label's snapshot once more, of the lab as it is now, in place of the one that is there.

    Only for who holds the lab's lock. Raises what create() raises; then the old one is still there.
    """
    made = _take(lab, places, name, BY_COURSE, say, fast=True)
    clear_leftovers(places)
    return made


# -- taking one ----------------------------------------------------------------------------


def _take(lab: Lab, places: LabPlaces, name: str, note: str, say: Say, *, fast: bool) -> Snapshot:
    """fast: leave out what a lab that has just come up does not need: looks, and a flush at the end."""
    known = record.load(places.record, places.lab)
    if known is None:
        raise ActionFailed(
            f"Lab {places.lab} never came up; there is nothing to keep.",
            mend=f"labctl up --lab {places.lab}",
        )
    places.snapshots.mkdir(mode=0o700, exist_ok=True)
    used = copying.usage(places.root, swap.content(places))
    mend = f"free some room, or: labctl snapshot delete … --lab {places.lab}"
    copying.require_room(places.snapshots, used.disk, f"snapshot {name}", mend)
    partial = places.snapshots / f".{name}{PARTIAL}"
    try:
        partial.mkdir(mode=0o700)
        (partial / TREE).mkdir(mode=0o700)
        engine = lab_bubble.engine(places.lab, places)
        try:
            seen = _copy(engine, places, partial / TREE, used, say, fast=fast)
        finally:
            engine.close()
        if fast:
            seen = replace(seen, quorate=known.until != Until.NODES)  # `up` has just waited for it
        made = _described(lab, known, partial, seen, note)
        (partial / META).write_text(json.dumps(asdict(made), indent=1) + "\n")
        if not fast:
            say("writing it to disk")
            copying.flush(partial)
        if name in names(places):
            folder(places, name).rename(places.snapshots / f".{name}.deleted")
        partial.rename(folder(places, name))
        return made
    except BaseException as error:
        with contextlib.suppress(OSError):
            copying.remove_tree(partial)
        if is_full(error):
            raise HostLacks(
                f"There was no room left for snapshot {name}; nothing of it was kept.",
                details=f"The lab takes {copying.text(used.disk)}.",
                mend=mend,
            ) from None
        raise


def _copy(
    engine: Engine, places: LabPlaces, tree: Path, used: copying.Usage, say: Say, *, fast: bool
) -> _Seen:
    """Copy the lab's content, and see what it is."""
    if bubble.find(places) is None:
        say(f"copying {copying.text(used.disk)}")
        copying.copy_exactly(places.root, swap.content(places), tree)
        return _Seen()
    with freeze.Freezer(places) as freezer:
        machines, quorate = _look(engine, places, say, fast=fast)
        if ground := machines_of_lab.load(places):
            _write_out(engine, ground.names, say)
            used = copying.usage(places.root, swap.content(places))
        since = None if copying.can_clone(tree) else _copy_most(places, tree, used, say)
        say("the lab stands still for a moment")
        began = time.monotonic()
        with memory.kept(engine, places, tree.parent / memory.MEMORY, say):
            freezer.freeze()
            try:
                _copy_rest(places, tree, since)
            finally:
                throughout = freezer.thaw()
        frozen = time.monotonic() - began
    if not throughout:
        raise ActionFailed(
            f"The lab changes faster than it can be copied within {freeze.LONGEST:.0f} s; it runs on.",
            mend="end what writes so much in the nodes and call again",
        )
    say(f"the lab goes on; it stood still for {frozen:.2f} s")
    return _Seen(machines, quorate, frozen)


def _write_out(engine: Engine, names: Sequence[str], say: Say) -> None:
    """Have virtual machines write to their disks what they hold in memory: only disks are copied."""
    say("the machines write out what they hold in memory")

    def one(name: str) -> None:
        try:
            if engine.is_on(name):
                engine.node(name).run(["sync"], timeout=FLUSH_SECONDS)
        except LabError as error:
            say(f"{name}: its memory is not written out: {error.message}")

    with ThreadPoolExecutor(max_workers=max(1, min(len(names), 16))) as pool:
        list(pool.map(one, names))


def _copy_most(places: LabPlaces, tree: Path, used: copying.Usage, say: Say) -> float | None:
    """Copy while the lab runs until little is left to do; the time of the last flush, None for all left."""
    left, since = used.disk, None
    found: copying.Changes | None = None
    for _ in range(ROUNDS):
        if left <= AT_ONCE:
            break
        say(f"copying {copying.text(left)} while the lab runs")
        since = time.time() - TICK
        copying.flush(places.root)
        content = swap.content(places)
        if found is None:
            copying.copy_moving(places.root, content, tree)
        else:
            copying.bring(places.root, content, tree, found, moving=True)
        found = copying.changes(places.root, content, tree, since=since)
        left = found.disk
    return since


def _copy_rest(places: LabPlaces, tree: Path, since: float | None) -> None:
    content = swap.content(places)
    if since is None:
        copying.copy_exactly(places.root, content, tree)
    else:
        left = copying.changes(places.root, content, tree, since=since)
        copying.bring(places.root, content, tree, left, moving=False)
    # A kernel target still writes what had reached it; then the images stand still, too.
    for _ in range(ROUNDS):
        left = copying.changes(places.root, content, tree, since=None)
        if not left:
            return
        copying.bring(places.root, content, tree, left, moving=False)
    left = copying.changes(places.root, content, tree, since=None)
    if left:
        raise ActionFailed(
            "Files of the lab change while all its processes are stopped.",
            details="\n".join([*left.files, *left.folders, *left.gone][:10]),
            mend="try again",
        )


def _look(engine: Engine, places: LabPlaces, say: Say, *, fast: bool) -> tuple[Mapping[str, Machine], bool]:
    """The machines, and whether one of them sees a quorate cluster; flushes the shared disks.

    A lab in any state can be kept: what does not answer is left out.
    """
    try:
        machines = engine.observe()
    except LabError as error:
        say(f"the lab's machines are not known: {error.message}")
        return {}, False
    on = [name for name, machine in machines.items() if machine.state is State.ON]
    disks = places.root / "disks"
    flushed = not fast and disks.is_dir() and any(disks.iterdir())
    if flushed:
        say("flushing the shared disks")

    def one(name: str) -> Member:
        if flushed:
            try:
                engine.node(name).run(["sh", "-c", FLUSH], timeout=FLUSH_SECONDS, check=False)
            except LabError as error:
                say(f"{name}: its disks are not flushed: {error.message}")
        return Member() if fast else state.ask(engine.node(name))

    with ThreadPoolExecutor(max_workers=max(1, min(len(on), 16))) as pool:
        members = list(pool.map(one, on))
    return machines, any(member.view and member.view.quorate for member in members)


def _described(lab: Lab, known: Record, partial: Path, seen: _Seen, note: str) -> Snapshot:
    tree = partial / TREE
    kept = sorted(path.name for path in tree.iterdir())
    used = copying.usage(tree, kept)
    held = memory.size(partial / memory.MEMORY)
    hashes = {name: machine.spec_hash for name, machine in seen.machines.items()}
    return Snapshot(
        name=partial.name.removeprefix(".").removesuffix(PARTIAL),
        lab=known.lab,
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        family=known.family,
        image=known.image,
        images=tuple(sorted({machine.image for machine in seen.machines.values()} or {known.image})),
        nodes={node.name: hashes.get(node.name, "") for node in lab.nodes},
        until=known.until,
        storage=getattr(known, "storage", ""),
        quorate=seen.quorate,
        names=tuple(kept),
        size=used.disk + held,
        memory=held,
        bytes=used.size,
        entries=used.entries,
        note=note,
        frozen=round(seen.frozen, 3),
    )
