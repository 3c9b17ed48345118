"""`labctl down`: end everything of a lab, from whatever state it is in."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

from labctl.bubble import loops
from labctl.bubble import start as bubble
from labctl.bubble.settings import made_for_libvirt
from labctl.engine import elsewhere
from labctl.errors import ActionFailed, LabError
from labctl.lab import lock
from labctl.places import LabPlaces, lab_places, labs_root
from labctl.storage.lio_host import CLAIMS


def labs() -> list[str]:
    """Names of all labs that have a folder or run, sorted."""
    root = labs_root()
    folders = {path.name for path in root.iterdir() if path.is_dir()} if root.is_dir() else set()
    return sorted(folders.union(bubble.running(root)))


def take_down(name: str, *, say: Callable[[str], None], patience: float = 0.0) -> bool:
    """End the lab's processes and remove its folder. True when there was anything.

    Needs nothing of the lab to be whole: no record, no podman, no answer; of another libvirtd that has its
    machines, an answer. Raises Busy, ActionFailed, HostLacks.
    """
    places = lab_places(name)
    with lock.held(name, f"labctl down --lab {name}", patience=patience, on_wait=say):
        ran = end_processes(name, places)
        existed = places.root.exists()
        if not places.in_bubble:
            elsewhere.forget_logs(places)
        _forget_libvirt(places.root.parent)
        _remove(places)
    loops.tidy(labs_root(), last=not labs())
    # The last lab takes the empty folder of labs along.
    with contextlib.suppress(OSError):
        labs_root().rmdir()
    return ran or existed


def switch_off(name: str, *, say: Callable[[str], None], patience: float = 0.0) -> bool:
    """End the lab's processes and keep its disks and snapshots; `up` carries on. True when it ran.

    As when the power fails: for an orderly end stop the cluster first. Raises Busy.
    """
    places = lab_places(name)
    with lock.held(name, f"labctl down --keep --lab {name}", patience=patience, on_wait=say):
        return end_processes(name, places)


def end_processes(name: str, places: LabPlaces) -> bool:
    """End all that runs of a lab, and what the kernel holds for it beside. True when something ran.

    Raises ActionFailed when something of it cannot be taken out of the kernel, HostLacks when the libvirtd
    that has its machines does not answer.
    """
    if not places.in_bubble:
        # The daemon first, which would switch a machine on again.
        ran = bubble.stop(places)
        return elsewhere.end_all(places) or ran
    if not CLAIMS.exists():  # no lab of this host has the kernel's own target
        return bubble.stop(places)
    from labctl.storage import lio

    with contextlib.suppress(LabError):  # cleanup() below ends what hangs on
        lio.cut_all(name, places)
    ran = bubble.stop(places)
    lio.cleanup(name, places)
    return ran


def _forget_libvirt(labs: Path) -> None:
    """With the last lab go the empty folders of the host that were made for libvirt's to be mounted on."""
    made = made_for_libvirt(labs)
    if not made.exists() or bubble.running(labs):
        return
    for name in made.read_text().splitlines():
        with contextlib.suppress(OSError):
            Path(name).rmdir()
    made.unlink()


def _remove(places: LabPlaces) -> None:
    try:
        shutil.rmtree(places.root)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ActionFailed(
            f"The folder of lab {places.lab} could not be removed.",
            details=str(error),
            mend=f"labctl down --lab {places.lab}",
        ) from None
