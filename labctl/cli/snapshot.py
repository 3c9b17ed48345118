"""Snapshots of a lab: create, list, restore, delete."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from labctl import console
from labctl.cli.frame import JsonOption, LabOption, WaitOption, known_lab, require_lab, require_root
from labctl.errors import OK, LabError
from labctl.places import DEFAULT_LAB, lab_flag

if TYPE_CHECKING:
    from labctl.lab.snapshot import Snapshot

NAME = typer.Argument(metavar="NAME", help="The snapshot.", show_default=False)
UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    group = typer.Typer(help="Keep a lab as it is now, and bring it back.", no_args_is_help=True)
    group.command("create")(create)
    group.command("list")(list_)
    group.command("restore")(restore)
    group.command("delete")(delete)
    app.add_typer(group, name="snapshot")


def create(
    name: Annotated[str | None, NAME] = None,
    lab: LabOption = DEFAULT_LAB,
    note: Annotated[str, typer.Option("--note", "-m", metavar="TEXT", help="A word for the list.")] = "",
    as_json: JsonOption = False,
    wait: WaitOption = 0,
) -> int:
    """Keep the lab as it is: nodes, cluster, disks. It runs on; for a moment it stands still."""
    require_root("snapshot create")
    from labctl.lab import capture, copying

    places = require_lab(lab)
    began = time.monotonic()
    with console.Steps(f"labctl snapshot create, lab {lab}", quiet=as_json) as steps:
        made = capture.create(known_lab(places), places, name, note=note, say=steps.say, patience=wait)
    seconds = time.monotonic() - began
    if as_json:
        console.document({"snapshot": made.document(), "seconds": round(seconds, 3)})
        return OK
    stood = f"; the lab stood still for {made.frozen:.2f} s" if made.frozen else ""
    console.line(f"Snapshot {made.name} of lab {lab}: {copying.text(made.size)} in {seconds:.1f} s{stood}.")
    console.line(console.command(f"  back to it  labctl snapshot restore {made.name}{lab_flag(lab)}"))
    return OK


def list_(lab: LabOption = DEFAULT_LAB, as_json: JsonOption = False) -> int:
    """The lab's snapshots, the newest first."""
    require_root("snapshot list")
    from labctl.lab import copying, snapshot

    places = require_lab(lab)
    found, damaged = [], []
    for name in snapshot.names(places):
        try:
            found.append(snapshot.load(places, name))
        except LabError as error:
            damaged.append({"name": name, "problem": error.message})
    found.sort(key=lambda one: one.created, reverse=True)
    if as_json:
        documents = [one.document() | {"age": round(one.age)} for one in found]
        console.document({"lab": lab, "snapshots": documents, "damaged": damaged})
        return OK
    for problem in damaged:
        console.warning(problem["problem"])
    if not found:
        console.line(
            console.command(f"Lab {lab} has no snapshot. Make one: labctl snapshot create{lab_flag(lab)}")
        )
        return OK
    rows = [
        [one.name, _age(one.age), copying.text(one.size), f"{len(one.nodes)} nodes, {_state(one)}", one.note]
        for one in found
    ]
    console.table(["snapshot", "age", "size", "of", "note"], rows)
    return OK


def restore(
    name: Annotated[str, NAME],
    lab: LabOption = DEFAULT_LAB,
    as_json: JsonOption = False,
    wait: WaitOption = 0,
) -> int:
    """Bring the lab back to a snapshot and start it. What it is now is lost."""
    require_root("snapshot restore")
    from labctl.lab.restore import restore as bring_back
    from labctl.lab.up import Progress

    places = require_lab(lab)
    with console.Steps(f"labctl snapshot restore, lab {lab}", quiet=as_json) as steps:
        done = bring_back(places, name, Progress(say=steps.say, stage=steps.stage), patience=wait)
    if as_json:
        console.document(done.document())
        return OK
    how = ", quorate" if done.quorate else ""
    console.line(f"Lab {lab} is back at snapshot {name}{how} ({done.seconds:.1f} s).")
    return OK


def delete(
    name: Annotated[list[str], NAME],
    lab: LabOption = DEFAULT_LAB,
    as_json: JsonOption = False,
    wait: WaitOption = 0,
) -> int:
    """Remove snapshots."""
    require_root("snapshot delete")
    from labctl.lab import snapshot

    places = require_lab(lab)
    with console.Steps(f"labctl snapshot delete, lab {lab}", quiet=as_json) as steps:
        snapshot.delete(places, name, say=steps.say, patience=wait)
    if as_json:
        console.document({"lab": lab, "deleted": name})
    else:
        console.line(f"Deleted: {', '.join(name)}.")
    return OK


def _state(one: Snapshot) -> str:
    return "quorate" if one.quorate else "no quorum"


def _age(seconds: float) -> str:
    for unit, name in UNITS:
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(0, seconds):.0f} s"
