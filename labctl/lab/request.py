"""What `up` was asked for, now and by its earlier calls, and the lab that follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from labctl.errors import UsageError
from labctl.image.build import BuiltImage
from labctl.lab import cloud, libvirt_uri, machines, record, storage
from labctl.lab.load import load_lab
from labctl.lab.model import Lab, Mode
from labctl.lab.plan import Until
from labctl.lab.record import Record
from labctl.places import LabPlaces, lab_places

MIXED = "mixed"


@dataclass(frozen=True)
class Request:
    """How `up` was called; None is "as before, or as the file says".

    mode: container or vm, for every node.  label: take a snapshot of a lab that was made from nothing.
    vm_image: a distribution's cloud image to make the machines of.  libvirt_uri: another libvirtd for them.
    pcsd: wait until pcsd answers, too; it starts last, and the cluster does without it.
    fencing: wait until the fence devices run, too; who changes the cluster at once waits after it.
    """

    lab: str
    file: Path | None = None
    overrides: tuple[Path, ...] = ()
    scenario: str | None = None
    nodes: int | None = None
    family: str | None = None
    mode: str | None = None
    vm_image: Path | None = None
    libvirt_uri: str | None = None
    storage: str | None = None
    until: Until = Until.ALL
    dry_run: bool = False
    label: bool = True
    pcsd: bool = True
    fencing: bool = True
    patience: float = 0.0


def described(request: Request, before: Record | None) -> Lab:
    """The lab as its file says, with what earlier calls of `up` asked for. Raises BadFile, UsageError."""
    file, overrides, scenario = request.file, request.overrides, request.scenario
    nodes, family, mode = request.nodes, request.family, request.mode
    if before is not None:
        file = file or (Path(before.file) if before.file else None)
        overrides = overrides or tuple(Path(name) for name in before.overrides)
        scenario = scenario or before.scenario or None
        nodes = nodes or (before.nodes if not request.scenario and not request.file else None)
        if family not in (None, "auto", before.family):
            raise UsageError(
                f"Lab {request.lab} was made of the family {before.family}, not {family}.",
                mend=f"labctl down --lab {request.lab} && labctl up --lab {request.lab} --family {family}",
            )
        family = before.family
        if mode not in (None, before.mode):
            raise UsageError(
                f"Lab {request.lab} was made in mode {before.mode}, not {mode}.",
                mend=f"labctl down --lab {request.lab} && labctl up --lab {request.lab} --mode {mode}",
            )
        mode = before.mode
        if nodes not in (None, before.nodes):
            # A cluster that loses or gains machines behind its back loses its quorum.
            raise UsageError(
                f"Lab {request.lab} has {before.nodes} nodes, not {nodes}.",
                mend=f"labctl down --lab {request.lab} && labctl up --lab {request.lab} --nodes {nodes}",
            )
    lab = load_lab(request.lab, file=file, overrides=overrides, scenario=scenario, nodes=nodes)
    lab = lab.model_copy(update={"family": family}) if family else lab
    if mode in get_args(Mode):  # else as the file says for each node
        lab = lab.with_mode(mode)  # type: ignore[arg-type]
    ground = machines.load(lab_places(request.lab))
    cloud.require_fits(lab, ground.source if ground else None, request.vm_image)
    libvirt_uri.require_fits(lab, lab_places(request.lab), ground is not None, request.libvirt_uri)
    lab = machines.fitted(lab, ground)
    return storage.asked_for(lab, request.storage, before.storage if before else "")


def remember(lab: Lab, places: LabPlaces, image: BuiltImage, request: Request, before: Record | None) -> None:
    """Keep how `up` was called. before: what was kept until now."""
    record.save(
        places.record,
        Record(
            lab=lab.name,
            family=lab.family,
            image=image.id,
            mode=mode_of(lab),
            until=request.until.value,
            nodes=len(lab.nodes),
            file=str(request.file.resolve()) if request.file else before.file if before else "",
            overrides=tuple(str(path.resolve()) for path in request.overrides)
            or (before.overrides if before else ()),
            scenario=request.scenario or (before.scenario if before else ""),
            storage=lab.storage.driver,
        ),
    )


def mode_of(lab: Lab) -> str:
    """container, vm, or mixed when the file gives its nodes different ones."""
    modes = {node.mode for node in lab.nodes}
    return modes.pop() if len(modes) == 1 else MIXED
