"""What virtual machines hold in memory, kept beside a snapshot's disks: they go on where they were.

A machine that boots anew takes minutes under emulation; one that gets its memory back takes a second.
Only for labs of virtual machines alone: a container's memory is the host kernel's, and stays with it
(docs/adr/0012-snapshots.md).
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from labctl.engine.base import Engine, State
from labctl.engine.libvirt import LibvirtEngine
from labctl.errors import LabError
from labctl.lab import bubble as lab_bubble
from labctl.lab import copying
from labctl.places import LabPlaces

MEMORY = "memory"  # the folder in a snapshot: one file for each machine that was on
CLOCK_SECONDS = 20.0

Say = Callable[[str], None]


@contextlib.contextmanager
def kept(engine: Engine, places: LabPlaces, folder: Path, say: Say) -> Iterator[None]:
    """Hold the machines still, and write what is in their memory to the folder; they go on afterwards.

    Their clocks stand still, too, so that no cluster notices. Where the memory cannot be written the
    folder is missing afterwards, and nothing else is.
    """
    if not isinstance(engine, LibvirtEngine):
        yield
        return
    states = {**engine.observe(), **engine.appliances()}
    on = [name for name, machine in states.items() if machine.state is State.ON]
    there = [name for name, machine in states.items() if machine.state is not State.OFF]
    _marker(places).write_text(json.dumps(on))
    try:
        together(engine.freeze, on)
        folder.mkdir(mode=0o700)
        try:
            needed = sum(engine.held_in_memory(name) for name in there)
            copying.require_room(folder, needed, f"what the machines of {places.lab} hold in memory", "")
            say(f"keeping what the machines hold in memory, {copying.text(needed)} at most")
            together(lambda name: engine.keep_memory(name, folder / name), there)
        except LabError as error:
            shutil.rmtree(folder)
            say(f"their memory is not kept, so a restore boots them: {error.message} {error.details or ''}")
        yield
    finally:
        _go_on(engine, places)


def go_on_if_left(places: LabPlaces) -> bool:
    """Let machines go on that a killed labctl left held still. True when there were some.

    Only for who holds the lab's lock, while its libvirt runs.
    """
    if not _marker(places).exists():
        return False
    engine = lab_bubble.engine(places.lab, places)
    try:
        _go_on(engine, places)
    finally:
        engine.close()
    return True


def wake(engine: Engine, folder: Path, say: Say) -> None:
    """Have the machines go on where they were when the folder was written; those of no file stay off.

    All of them wake before the first goes on, and get today's time. When one does not wake, all are
    switched off again, to be booted.
    """
    if not isinstance(engine, LibvirtEngine):
        return
    names = sorted(path.name for path in folder.iterdir())
    say("the machines go on where they were")
    try:
        together(lambda name: engine.wake(name, folder / name), names)
    except LabError as error:
        say(f"they cannot, so they boot: {error.message} {error.details or ''}")
        together(engine.power_off, names)
        return
    together(engine.thaw, names)

    def set_clock(name: str) -> None:
        try:
            engine.node(name).run(["date", "--set", f"@{time.time():.3f}"], timeout=CLOCK_SECONDS)
        except LabError as error:
            say(f"{name}: its clock is late: {error.message}")

    together(set_clock, names)


def size(folder: Path) -> int:
    """Bytes in the folder's files; 0 without one."""
    return sum(path.stat().st_size for path in folder.iterdir()) if folder.is_dir() else 0


def together(act: Callable[[str], None], names: Sequence[str]) -> None:
    """Do it for all names side by side; raises the first error when all have ended.

    Not apply's: that gives up every wait at Ctrl-C, and here machines are still to be let go on.
    """
    with ThreadPoolExecutor(max_workers=max(1, min(len(names), 16))) as pool:
        list(pool.map(act, names))


def _go_on(engine: Engine, places: LabPlaces) -> None:
    states = {**engine.observe(), **engine.appliances()}
    names = [name for name in json.loads(_marker(places).read_text() or "[]") if name in states]
    together(engine.thaw, [name for name in names if states[name].state is State.FROZEN])
    _marker(places).unlink()


def _marker(places: LabPlaces) -> Path:
    return places.root / "held.json"
