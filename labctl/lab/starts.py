"""The states of a lab that an exercise may start from: what `up` makes, kept as labelled snapshots.

The first time a state is asked for that the lab has no snapshot of, the lab's machines are made anew
up to there; from then on it is a restore away.
"""

from __future__ import annotations

from pathlib import Path

from labctl.bubble import freeze
from labctl.engine.domain import EMULATED
from labctl.errors import BadFile, HostLacks, LabError, UsageError, is_full
from labctl.lab import bubble, capture, lock, machines, record, snapshot, swap, waits
from labctl.lab.capture import LABELS
from labctl.lab.plan import Until
from labctl.lab.request import Request, described
from labctl.lab.restore import restore
from labctl.lab.up import Progress, bring_up_held
from labctl.places import LabPlaces

STARTS = {"nodes": Until.NODES, "cluster": Until.CLUSTER, "fresh": Until.ALL}


def label(start: str) -> str:
    """The snapshot's name of a start. Raises UsageError for an unknown one."""
    if start not in STARTS:
        raise UsageError(f"There is no start {start!r}.", details=f"There are: {', '.join(STARTS)}")
    return LABELS[STARTS[start]]


def go_to(
    places: LabPlaces, start: str, progress: Progress, *, fencing: bool = True, patience: float = 0.0
) -> bool:
    """Bring the lab to a start, whatever state it is in; what it is now is lost. True when it was made anew.

    Where it is restored, pcsd may still be starting, and without `fencing` the fence devices, too.
    Raises UsageError, BadFile, HostLacks, Busy, and what bring_up() raises.
    """
    name = label(start)
    if name in snapshot.names(places):
        try:
            restore(places, name, progress, give_way=True, pcsd=False, fencing=fencing, patience=patience)
            _keep_with_pcsd(places, name, progress, patience)
            return False
        except (BadFile, UsageError) as error:  # damaged, or the lab's description has changed since
            progress.say(f"{error.message} It is made anew.")
            snapshot.delete(places, [name], say=progress.say, patience=patience)
    else:
        progress.say("there is no snapshot of this start: it is made now, and later a restore away")
    what = f"labctl exercise --lab {places.lab}"
    with lock.held(places.lab, what, patience=patience, on_wait=progress.say):
        _make(places, STARTS[start], progress)
    return True


def _keep_with_pcsd(places: LabPlaces, name: str, progress: Progress, patience: float) -> None:
    """Once for each start of emulated machines: keep it with pcsd running, instead of as `up` left it.

    There pcsd starts behind the cluster, for minutes; every restore would bring that back.
    """
    kept, ground = snapshot.load(places, name), machines.load(places)
    if not (ground and ground.pace > EMULATED and kept.memory and kept.note == capture.BY_UP):
        return
    what = f"labctl exercise --lab {places.lab}"
    with lock.held(places.lab, what, patience=patience, on_wait=progress.say):
        engine = bubble.engine(places.lab, places)
        try:
            progress.say("waiting for pcsd, once; then this start is kept with it")
            lab = described(Request(lab=places.lab), record.load(places.record, places.lab))
            waits.pcsd_answers(engine, lab, waits.BOOT_SECONDS, ground.pace)
            capture.keep_again(lab, places, name, say=progress.say)
        except LabError as error:
            progress.say(f"it is not kept anew: {error.message}")
        finally:
            engine.close()


def _make(places: LabPlaces, until: Until, progress: Progress) -> None:
    """Empty the lab's folder of all but its secrets, and bring the lab up to there as from nothing.

    On a full disk, too: what fills it goes, unless that is something else than the lab. Machines of a
    cloud image are made of it again. Raises UsageError, BadFile (the image's file), and then nothing is
    lost; HostLacks, and what bring_up() raises.
    """
    known = record.load(places.record, places.lab)
    if known is None:
        raise UsageError(f"Lab {places.lab} never came up.", mend=f"labctl up --lab {places.lab}")
    ground = machines.load(places)
    image = Path(ground.source) if ground and ground.source else None
    if image is not None:
        from labctl.image.cloud_file import look

        look(image)  # before anything goes: without its file the lab could not be made
    freeze.thaw_if_left(places)
    snapshot.clear_leftovers(places)
    swap.finish_interrupted(places)
    swap.clear(places, [places.secrets.name])
    request = Request(
        lab=places.lab,
        file=Path(known.file) if known.file else None,
        overrides=tuple(Path(name) for name in known.overrides),
        scenario=known.scenario or None,
        nodes=known.nodes,
        family=known.family,
        mode=known.mode,
        vm_image=image,
        storage=known.storage or None,
        until=until,
    )
    try:
        bring_up_held(request, progress)
    except OSError as error:
        if not is_full(error):
            raise
        raise HostLacks(
            f"There was no room left to make lab {places.lab} anew.",
            details="Its snapshots and the record of your progress are still there.",
            mend=f"free some room, or: labctl snapshot delete … --lab {places.lab}",
        ) from None
