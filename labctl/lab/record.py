"""What a lab's folder says about the lab: who made it, from what."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import labctl
from labctl.errors import BadFile
from labctl.places import write_whole

FORMAT = 1  # raised whenever an older lab's folder cannot be carried on with


@dataclass(frozen=True)
class Record:
    """One lab. image: id of the node image.  empty_cib: what its Pacemaker starts from.

    file, overrides, scenario, nodes: how `up` was called, so that later commands see the same lab.
    storage: the driver that serves its disks, or none.
    """

    lab: str
    family: str
    image: str
    mode: str
    until: str
    nodes: int
    file: str = ""
    overrides: tuple[str, ...] = ()
    scenario: str = ""
    storage: str = ""
    version: str = labctl.__version__
    format: int = FORMAT


def load(path: Path, lab: str) -> Record | None:
    """The lab's record, None when there is none. Raises BadFile for a damaged one or another format."""
    anew = f"labctl down --lab {lab} && labctl up --lab {lab}"
    try:
        raw = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BadFile(
            f"The record of lab {lab}, {path}, is damaged.", details=str(error), mend=anew
        ) from None
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        version = raw.get("version", "an unknown version") if isinstance(raw, dict) else "an unknown version"
        raise BadFile(
            f"Lab {lab} was made by labctl {version}.",
            details=f"This labctl ({labctl.__version__}) cannot carry on with the labs of that version.",
            mend=anew,
        )
    try:
        return Record(**{**raw, "overrides": tuple(raw.get("overrides", ()))})
    except TypeError as error:
        raise BadFile(
            f"The record of lab {lab}, {path}, is damaged.", details=str(error), mend=anew
        ) from None


def save(path: Path, record: Record) -> None:
    """Write the record, at once or not at all."""
    write_whole(path, json.dumps(asdict(record), indent=1) + "\n")
