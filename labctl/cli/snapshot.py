"""Snapshots of a lab: create, list, restore, delete."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from labctl import console
from labctl.cli import tongue
from labctl.cli.frame import JsonOption, LabOption, WaitOption, known_lab, require_lab, require_root
from labctl.cli.helping import Group, add
from labctl.cli.tongue import say
from labctl.errors import OK, LabError
from labctl.places import DEFAULT_LAB, lab_flag

if TYPE_CHECKING:
    from labctl.lab.snapshot import Snapshot

NAME = typer.Argument(metavar="NAME", help="The snapshot.", show_default=False)
UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    group = typer.Typer(cls=Group, help="Keep a lab as it is now, and bring it back.", no_args_is_help=True)
    add(group, "create", create)
    add(group, "list", list_)
    add(group, "restore", restore)
    add(group, "delete", delete)
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
    with _steps("create", lab, quiet=as_json) as steps:
        told = tongue.told(steps.say)
        made = capture.create(known_lab(places), places, name, note=note, say=told, patience=wait)
    seconds = time.monotonic() - began
    if as_json:
        console.document({"snapshot": made.document(), "seconds": round(seconds, 3)})
        return OK
    words = {"name": made.name, "lab": lab, "size": copying.text(made.size), "seconds": f"{seconds:.1f}"}
    key = "snapshot-made-still" if made.frozen else "snapshot-made"
    console.line(say(key, **words, frozen=f"{made.frozen:.2f}"))
    console.line(say("snapshot-back", command=f"labctl snapshot restore {made.name}{lab_flag(lab)}"))
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
        console.warning(tongue.reworded(problem["problem"]))
    if not found:
        console.line(say("snapshot-none", lab=lab, command=f"labctl snapshot create{lab_flag(lab)}"))
        return OK
    rows = [
        [one.name, _age(one.age), copying.text(one.size), _of(one), tongue.note(one.note)] for one in found
    ]
    console.table(tongue.headings("snapshot", "age", "size", "of", "note"), rows)
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

    places = require_lab(lab)
    with _steps("restore", lab, quiet=as_json) as steps:
        done = bring_back(places, name, tongue.progress(steps), patience=wait)
    if as_json:
        console.document(done.document())
        return OK
    key = "snapshot-restored-quorate" if done.quorate else "snapshot-restored"
    console.line(say(key, lab=lab, name=name, seconds=f"{done.seconds:.1f}"))
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
    with _steps("delete", lab, quiet=as_json) as steps:
        snapshot.delete(places, name, say=tongue.told(steps.say), patience=wait)
    if as_json:
        console.document({"lab": lab, "deleted": name})
    else:
        console.line(say("snapshot-deleted", names=", ".join(name)))
    return OK


def _steps(what: str, lab: str, *, quiet: bool) -> console.Steps:
    return console.Steps(say("steps", command=f"labctl snapshot {what}", lab=lab), quiet=quiet)


def _of(one: Snapshot) -> str:
    quorum = say("quorate" if one.quorate else "no-quorum-now")
    return say("snapshot-of", count=len(one.nodes), quorum=quorum)


def _age(seconds: float) -> str:
    for unit, name in UNITS:
        if seconds >= unit:
            return say(f"age-{name}", count=f"{seconds / unit:.0f}")
    return say("age-s", count=f"{max(0, seconds):.0f}")
