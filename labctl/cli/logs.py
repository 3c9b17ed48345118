"""What nodes and the lab have written down: logs."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from labctl import console, run
from labctl.cli.frame import LabOption, known_lab, require_lab, require_root, require_running
from labctl.cli.helping import add
from labctl.cli.reach import is_target, remote, root_at, ssh_options
from labctl.cli.tongue import reworded, say
from labctl.errors import FAILED, OK, LabError, UsageError
from labctl.places import DEFAULT_LAB, LabPlaces, lab_flag
from labctl.storage.base import TARGET

if TYPE_CHECKING:
    from labctl.lab.model import Lab


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    add(app, "logs", logs)


def logs(
    node: Annotated[
        str | None, typer.Argument(metavar="[NODE]", help="One node, or the target; without it, all nodes.")
    ] = None,
    lab: LabOption = DEFAULT_LAB,
    follow: Annotated[
        bool, typer.Option("--follow", "-F", help="Go on; Ctrl-C ends. One node only.")
    ] = False,
    lines: Annotated[
        int, typer.Option("--lines", min=1, max=100_000, help="How many of the last lines.")
    ] = 100,
    unit: Annotated[str | None, typer.Option("--unit", "-u", help="Only this systemd unit.")] = None,
) -> int:
    """A node's journal; of a node that is off, its console. Without a node: all, and the lab's own."""
    require_root("logs")
    places = require_lab(lab)
    known = known_lab(places)
    if node and is_target(known, node):
        return _of_target(places, known, lines, only=unit, follow=follow)
    names = [known.node(node).name] if node else [each.name for each in known.nodes]
    only = ["--unit", unit] if unit else []
    if node and follow:
        _, bubble = require_running(lab)
        words = ["journalctl", "--no-pager", "-n", str(lines), "-f", *only]
        spec = known.node(node)
        if spec.mode == "vm":
            login = [*ssh_options(places), root_at(known, spec)]
            return run.attach([*bubble.enter("--net"), "ssh", *login, shlex.join(words)])
        return run.attach(remote(places, "exec", "--interactive", spec.name, *words))
    if follow:
        raise UsageError("--follow goes with one node.", mend=f"labctl logs {names[0]} --follow")
    if not node:
        for file in sorted(places.logs.glob("*.log")):
            console.heading(f"== {file.name}")
            console.line("\n".join(file.read_text(errors="replace").splitlines()[-lines:]))
    from labctl.lab import bubble as lab_bubble

    engine = lab_bubble.engine(lab, places)
    worst = OK
    for name in names:
        if not node:
            console.heading(f"== {name}")
        try:
            argv = ["journalctl", "--no-pager", "-n", str(lines), *only]
            console.line(engine.node(name).run(argv, timeout=60).stdout.rstrip())
        except LabError as error:
            console.warning(say("console-instead", node=name, reason=reworded(error.message)))
            worst = FAILED if node else worst
            try:
                console.line(engine.console(name).rstrip())
            except LabError:
                console.line(say("lab-does-not-run"))
    return worst


def _of_target(places: LabPlaces, lab: Lab, lines: int, *, only: str | None, follow: bool) -> int:
    """A container's output, which is all that it writes; a machine's journal, or its console."""
    from labctl.lab import bubble as lab_bubble

    if follow or (only and not lab.has_machines):
        raise UsageError(f"The {TARGET} goes without that.", mend=f"labctl logs {TARGET}{lab_flag(lab.name)}")
    engine = lab_bubble.engine(places.lab, places)
    try:
        if lab.has_machines:
            argv = ["journalctl", "--no-pager", "-n", str(lines), *(["--unit", only] if only else [])]
            try:
                console.line(engine.node(TARGET).run(argv, timeout=60).stdout.rstrip())
                return OK
            except LabError as error:
                console.warning(say("console-instead", node=TARGET, reason=reworded(error.message)))
        console.line("\n".join(engine.console(TARGET).rstrip().splitlines()[-lines:]))
    finally:
        engine.close()
    return FAILED if lab.has_machines else OK
