"""Building the node image of a family, and finding one that is still right.

An image is right when its label labctl.inputs is the hash of today's inputs: then
nothing is built. podman's layer cache lets a build that failed go on at the package
group that failed. Package versions and the CIB's feature set are read from the
finished image and put on it as labels.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import labctl
from labctl.errors import LabError
from labctl.image import base as bases
from labctl.image.failure import BuildFailed, Watch
from labctl.image.family import Family, load_family, sources
from labctl.image.inputs import inputs_hash, stage
from labctl.image.store import BUILD_NEEDS, ImageStore, no_room

__all__ = ["BuildFailed", "BuiltImage", "FamilyName", "ImageStore", "build", "find_image", "node_tag"]

FamilyName = Literal["auto", "debian", "centos"]
OnLine = Callable[[str], None]

BUILD_SECONDS = 3600.0
# In the order that --family auto prefers.
_PREFERRED = ("centos", "debian")
_FACTS = ("/usr/lib/labctl/packages.list", "/usr/lib/labctl/empty-cib.xml")


@dataclass(frozen=True)
class BuiltImage:
    """A node image in the store.

    inputs: hash of what it was built from.  base: pulled, packages or local (kind of its base).
    packages: name → version.  seconds: how long this call built.  rebuilt: whether it built at all.
    """

    tag: str
    id: str
    family: str
    inputs: str
    base: str
    packages: dict[str, str]
    empty_cib: str
    size: int
    seconds: float
    rebuilt: bool


def node_tag(family: str) -> str:
    """The image's name in the store."""
    return f"localhost/labctl/node:{family}"


def find_image(family: FamilyName, *, store: ImageStore) -> BuiltImage | None:
    """The node image when it is there and its inputs are today's, else None. Builds and pulls nothing."""
    for name in _PREFERRED if family == "auto" else (family,):
        found = _find(load_family(name), store)
        if found is not None:
            return found
    return None


def build(family: FamilyName, *, store: ImageStore, on_line: OnLine, force: bool = False) -> BuiltImage:
    """The node image, built when it is not there or its inputs changed, or when force is set.

    on_line gets the build's lines as they come.  Raises HostLacks (no base, no room, no podman),
    BuildFailed, UsageError (unknown family), NotPermitted, TimedOut.
    """
    store.prepare()
    if not force:
        found = find_image(family, store=store)
        if found is not None:
            return found
    start = time.monotonic()
    store.require_room()
    with store.locked(on_line):
        if not force:
            found = find_image(family, store=store)  # the one that was waited for may have made it
            if found is not None:
                return found
        store.clear_leftovers()
        chosen, base = _choose(family, store, on_line)
        _build(chosen, base, store, on_line, force=force)
    image = _find(chosen, store)
    if image is None:
        raise LabError(f"The built image {node_tag(chosen.name)} is not in {store.graph_root}.")
    return BuiltImage(**{**vars(image), "seconds": time.monotonic() - start, "rebuilt": True})


def _choose(family: FamilyName, store: ImageStore, on_line: OnLine) -> tuple[Family, bases.Base]:
    """The family and its base; auto says in one line which it took and why."""
    if family != "auto":
        chosen = load_family(family)
        return chosen, bases.get_base(store, chosen, on_line)
    first, second = (load_family(name) for name in _PREFERRED)
    base = bases.local_base(store, first)
    if base is not None:
        on_line(f"Family: {first.title}, because its base {first.base} is here.")
        return first, base
    quiet: list[str] = []
    base, why = bases.pull(store, first, quiet.append)
    if base is not None:
        on_line(f"Family: {first.title}, because its base {first.base} can be pulled.")
        return first, base
    on_line(f"Family: {second.title}, because {first.base} is not here and cannot be pulled ({why}).")
    return second, bases.get_base(store, second, on_line)


def _build(family: Family, base: bases.Base, store: ImageStore, on_line: OnLine, *, force: bool) -> None:
    watch = Watch()

    def both(line: str) -> None:
        watch.line(line)
        on_line(line)

    unlabelled = f"localhost/labctl/unlabelled:{family.name}"
    with tempfile.TemporaryDirectory(dir=store.run_root, prefix="context-") as folder:
        context = Path(folder)
        stage(sources(), family, context)
        inputs = inputs_hash(context, family)
        # fmt: off
        result = store.podman_stream(
            "build", "--isolation=chroot", "--network=host", "--layers", "--force-rm",
            *(["--no-cache"] if force else []),
            "--file", str(context / "Containerfile.node"),
            "--build-arg", f"BASE={base.reference}", "--build-arg", f"FAMILY={family.name}",
            "--tag", unlabelled, str(context),
            timeout=BUILD_SECONDS, on_line=both,
        )
        # fmt: on
        if watch.no_room and not result.ok:
            raise no_room(store.root, BUILD_NEEDS, result.describe())
        if not result.ok:
            raise watch.error(family.name)
        _label(family, unlabelled, _labels(family, base, inputs, unlabelled, store), store, context)


def _labels(
    family: Family, base: bases.Base, inputs: str, unlabelled: str, store: ImageStore
) -> dict[str, str]:
    listing, empty_cib = store.read_files(unlabelled, *_FACTS)
    packages = dict(line.split(" ", 1) for line in listing.splitlines() if " " in line)
    return {
        "labctl.family": family.name,
        "labctl.inputs": inputs,
        "labctl.base": f"{base.kind} {base.reference}",
        "labctl.version": labctl.__version__,
        "labctl.empty_cib": "".join(line.strip() for line in empty_cib.splitlines()),
        "labctl.packages": json.dumps(packages, sort_keys=True, separators=(",", ":")),
    }


def _label(family: Family, unlabelled: str, labels: dict[str, str], store: ImageStore, context: Path) -> None:
    """A last, empty layer with the labels: what they say is known only when the image is made."""
    one_liner = context / "Containerfile.labels"
    one_liner.write_text(f"FROM {unlabelled}\n")
    words = [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
    # fmt: off
    store.podman("build", "--quiet", "--isolation=chroot", *words, "--file", str(one_liner),
                 "--tag", node_tag(family.name), str(context), timeout=300)
    # fmt: on
    store.podman("untag", unlabelled, timeout=60, check=False)


def _find(family: Family, store: ImageStore) -> BuiltImage | None:
    raw = store.inspect(node_tag(family.name))
    if raw is None:
        return None
    image = image_from_inspect(raw, family.name)
    return image if image is not None and image.inputs == inputs_hash(sources(), family) else None


def image_from_inspect(raw: dict[str, Any], family: str) -> BuiltImage | None:
    """podman image inspect's JSON as a BuiltImage; None where labctl's labels are missing or damaged."""
    labels: dict[str, str] = raw.get("Labels") or {}
    try:
        packages: dict[str, str] = json.loads(labels["labctl.packages"])
        return BuiltImage(
            tag=node_tag(family),
            id=str(raw["Id"]),
            family=family,
            inputs=labels["labctl.inputs"],
            base=labels["labctl.base"],
            packages=packages,
            empty_cib=labels["labctl.empty_cib"],
            size=int(raw.get("Size", 0)),
            seconds=0.0,
            rebuilt=False,
        )
    except (KeyError, ValueError):
        return None
