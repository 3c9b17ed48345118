"""What goes into an image: the build's files, staged alike from any clone, and their hash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from labctl.image.family import Family

# Read on the host, never by the build: a change there needs no new image.
_HOST_SIDE = {"family.yaml", "SOURCES.md"}


def input_files(source: Path, family: Family) -> Iterator[tuple[str, Path]]:
    """(relative path, file) of everything the build of a family reads, in a fixed order."""
    yield "Containerfile.node", source / "Containerfile.node"
    for folder in ("common", "node", family.name):
        root = source / "images" / folder
        for path in sorted(root.rglob("*")):
            if path.is_file() and not (path.parent == root and path.name in _HOST_SIDE):
                yield path.relative_to(source).as_posix(), path


def inputs_hash(source: Path, family: Family) -> str:
    """SHA-256, in hex, over names and contents of the inputs and the base's reference."""
    digest = hashlib.sha256(family.base.encode())
    for name, path in input_files(source, family):
        content = path.read_bytes()
        digest.update(f"\0{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def stage(source: Path, family: Family, target: Path) -> None:
    """Copy the inputs below target with fixed modes and times.

    A clone's modes follow its user's umask and a wheel's say little; COPY would carry them
    into the image. Scripts (files that begin with #!) become 0755, others 0644.
    """
    target.chmod(0o755)
    for name, path in input_files(source, family):
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes()
        copy.write_bytes(content)
        copy.chmod(0o755 if content.startswith(b"#!") else 0o644)
    for folder, _, files in os.walk(target, topdown=False):
        for name in files:
            os.utime(Path(folder) / name, (0, 0))
        Path(folder).chmod(0o755)
        os.utime(folder, (0, 0))
