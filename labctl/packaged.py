"""Where the files stand that labctl carries: in the wheel, or at the top of a clone."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from labctl.errors import HostLacks

NAMES: Final = ("compose.yaml", "Containerfile.node", "images", "docs/errata.md")

_PACKAGE: Final = Path(__file__).resolve().parent


def data_file(name: str) -> Path:
    """The path of compose.yaml, Containerfile.node, images or docs/errata.md.

    In a clone (also an editable install) they stand beside the package, a wheel holds them
    in labctl/data.  Raises HostLacks when the installation has lost them.
    """
    return find(name, _PACKAGE)


def find(name: str, package: Path) -> Path:
    """Like data_file(), for a package at another place."""
    if name not in NAMES:
        raise ValueError(f"labctl carries no file {name!r}")
    # A clone's own files first: a copy within it is what some build left.  Beside an installed
    # package stand other packages, whose files are none of ours.
    clone = (package.parent / "pyproject.toml").is_file()
    places = [*([package.parent] if clone else []), package / "data"]
    for place in places:
        if (place / name).exists():
            return place / name
    raise HostLacks(
        f"labctl's own file {name} is missing.",
        details=f"looked in: {', '.join(map(str, places))}",
        mend="pip install --force-reinstall labctl, or from a clone: pip install --force-reinstall .",
    )
