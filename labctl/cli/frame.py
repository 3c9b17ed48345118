"""What every command shares: the lab's name, the error table, rights."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labctl.bubble import start as bubble
from labctl.bubble.start import Bubble
from labctl.errors import ActionFailed, NotPermitted, UsageError
from labctl.places import LabPlaces, lab_flag, lab_places

if TYPE_CHECKING:
    from labctl.lab.model import Lab

LAB_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")


def _lab_name(value: str) -> str:
    if not LAB_NAME.fullmatch(value):
        raise UsageError(
            f"{value!r} is not a lab's name.",
            details="Lower-case letters, digits and dashes, a letter first, 31 at most.",
            mend="labctl up --lab my-lab",
        )
    return value


LabOption = Annotated[
    str,
    typer.Option("--lab", "-l", metavar="NAME", envvar="LABCTL_LAB", help="Which lab.", callback=_lab_name),
]
JsonOption = Annotated[bool, typer.Option("--json", help="The result as JSON on standard output.")]
FileOption = Annotated[
    Path | None,
    typer.Option("--file", "-f", metavar="FILE", help="Another lab description than the built-in one."),
]
WaitOption = Annotated[
    float,
    typer.Option(
        "--wait", metavar="SECONDS", min=0, help="Wait that long for another labctl that holds the lab."
    ),
]


def require_root(what: str) -> None:
    """Raises NotPermitted unless this is root."""
    if os.geteuid() != 0:
        raise NotPermitted(
            f"labctl {what} needs root: it makes namespaces, mounts and containers.",
            mend=f"sudo labctl {what}   (or ./lab {what}, which asks for it)",
        )


def require_lab(name: str) -> LabPlaces:
    """The places of a lab that exists. Raises UsageError."""
    places = lab_places(name)
    if not places.root.is_dir():
        raise UsageError(
            f"There is no lab {name!r}.", mend=f"labctl up{lab_flag(name)}   (labctl ls shows the labs)"
        )
    return places


def require_running(name: str) -> tuple[LabPlaces, Bubble]:
    """The places and the bubble of a lab that runs. Raises UsageError, ActionFailed."""
    places = require_lab(name)
    found = bubble.find(places)
    if found is None:
        raise ActionFailed(f"Lab {name} does not run.", mend=f"labctl up{lab_flag(name)}")
    return places, found


def known_lab(places: LabPlaces) -> Lab:
    """The lab as `up` was last called for it. Raises BadFile."""
    from labctl.lab import record
    from labctl.lab.request import Request, described

    return described(Request(lab=places.lab), record.load(places.record, places.lab))
