"""The files behind the target's disks, and the target's configuration beside them.  On the host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labctl.errors import ActionFailed, HostLacks
from labctl.places import write_whole
from labctl.storage import saveconfig
from labctl.storage.base import CONFIG_NAME

if TYPE_CHECKING:
    from labctl.lab.model import Lab
    from labctl.places import LabPlaces


def current(lab: Lab, places: LabPlaces, *, on_host: bool) -> bool:
    """Whether the configuration is what the model says. Raises ActionFailed for a damaged disk.

    on_host: the disks are files in the lab's folder (Driver.disks_on_host), here and below.
    """
    known = _configuration(places)
    if on_host:
        _check(lab, places, known)
    return known == saveconfig.document(lab)


def prepare(lab: Lab, places: LabPlaces, *, on_host: bool) -> None:
    """Make the sparse files that are missing and write the configuration.

    A file that was there before and is gone, or shorter, is not made anew: its data would be
    lost without a word.  Raises ActionFailed for such a one, HostLacks when the disk is full.
    """
    images = _images(lab, places) if on_host else {}
    if on_host:
        _check(lab, places, _configuration(places))
    try:
        for folder in (places.disks, places.target):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, size in images.items():
            if not path.exists():
                # At once or not at all: a short one would be taken for a disk that was damaged.
                aside = path.with_name(f".{path.name}.new")
                aside.unlink(missing_ok=True)  # of a labctl that was killed
                with aside.open("xb") as image:
                    image.truncate(size)
                aside.chmod(0o600)
                aside.replace(path)
        text = json.dumps(saveconfig.document(lab), indent=2) + "\n"
        write_whole(places.target / CONFIG_NAME, text, mode=0o600)
    except OSError as error:
        raise HostLacks(
            "The disks of the target could not be made.", details=str(error), mend="make room, then labctl up"
        ) from None


def leaving(lab: Lab, places: LabPlaces) -> list[str]:
    """Names of the disks that the target has and the model no longer; their files stay."""
    wanted = {entry["name"] for entry in saveconfig.document(lab)["storage_objects"]}
    had = (_configuration(places) or {}).get("storage_objects", ())
    return [entry["name"] for entry in had if entry["name"] not in wanted]


def _images(lab: Lab, places: LabPlaces) -> dict[Path, int]:
    """Host path of every disk's file → its size in bytes."""
    return {
        places.disks / Path(entry["dev"]).name: int(entry["size"])
        for entry in saveconfig.document(lab)["storage_objects"]
    }


def _check(lab: Lab, places: LabPlaces, known: dict[str, Any] | None) -> None:
    """Every disk that the target had must still be whole, and as large as it was."""
    before = {
        places.disks / Path(entry["dev"]).name: int(entry["size"])
        for entry in (known or {}).get("storage_objects", ())
    }
    problems = []
    for path, size in _images(lab, places).items():
        had = before.get(path)
        if had is not None and not path.exists():
            problems.append(f"{path} is gone")
        elif path.exists() and path.stat().st_size < size:
            found = path.stat().st_size
            problems.append(f"{path} has {found} bytes, not {size}: truncated, or the disk was made larger")
        elif had is not None and had != size:
            problems.append(f"{path} was made with {had} bytes; the lab's file now says {size}")
    if problems:
        raise ActionFailed(
            f"{len(problems)} of the target's disks cannot be served.",
            details="\n".join(problems),
            mend=f"labctl snapshot restore NAME --lab {lab.name}, or begin anew: "
            f"labctl down --lab {lab.name} && labctl up --lab {lab.name}",
        )


def _configuration(places: LabPlaces) -> dict[str, Any] | None:
    try:
        found = json.loads((places.target / CONFIG_NAME).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
