"""A family of nodes: one distribution, with what differs from the other as data.

The data is images/<family>/family.yaml; the package lists and scripts beside it
are read by the build itself (see docs/images.md).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import pydantic
import yaml

from labctl.errors import BadFile, UsageError
from labctl.packaged import data_file


class FromPackages(pydantic.BaseModel):
    """How to make the base without a registry: mmdebstrap with this suite."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    suite: str


class Family(pydantic.BaseModel):
    """One family. units, paths and values are keyed by the same logical names in every family.

    base: the image reference to pull.  units: systemd unit names.  paths: absolute paths in a node.
    values: users, words and switches ("yes"/"no") that differ.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    base: str
    base_from_packages: FromPackages | None = None
    package_format: Literal["deb", "rpm"]
    units: dict[str, str]
    paths: dict[str, str]
    values: dict[str, str]


def sources() -> Path:
    """The folder with Containerfile.node and images/: in the wheel, or the clone's top."""
    return data_file("Containerfile.node").parent


def families() -> list[str]:
    """The names of all families, sorted."""
    return sorted(path.parent.name for path in (sources() / "images").glob("*/family.yaml"))


@cache
def load_family(name: str) -> Family:
    """The family of this name. Raises UsageError for an unknown one, BadFile for broken data."""
    known = families()
    if name not in known:
        raise UsageError(
            f"There is no family {name!r}; there are {', '.join(known)}.", mend=f"use --family {known[0]}"
        )
    path = sources() / "images" / name / "family.yaml"
    try:
        family = Family.model_validate(yaml.safe_load(path.read_text()))
    except (yaml.YAMLError, pydantic.ValidationError) as error:
        raise BadFile(f"{path} is not a family's description.", details=str(error)) from None
    if family.name != name:
        raise BadFile(f"{path} names the family {family.name!r}, its folder {name!r}.")
    return family
