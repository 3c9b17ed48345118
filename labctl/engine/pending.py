"""Files for a virtual machine that is off: numbered archives on a second, read-only disk.

The machine unpacks those that it has not yet at its next boot (images/vm, vm-init).
"""

from __future__ import annotations

import contextlib
import io
import os
import posixpath
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from labctl.engine.base import File
from labctl.engine.podman_api import pack

NAME = "files.tar"
LINKS = 8  # that are followed one after another


def add(disk: Path, files: Sequence[File]) -> None:
    """Add one more archive to the disk, at once or not at all."""
    known = [*_archives(disk), pack(files)]
    temporary = disk.with_suffix(".new")
    with tarfile.open(temporary, "w") as outer:
        for number, content in enumerate(known, 1):
            entry = tarfile.TarInfo(f"{number:04d}.tar")
            entry.size = len(content)
            outer.addfile(entry, io.BytesIO(content))
    temporary.chmod(0o600)
    if disk.exists():
        # Another libvirtd's QEMU reads it by an account of its own (labctl.engine.elsewhere).
        about = disk.stat()
        os.chown(temporary, about.st_uid, about.st_gid)
    temporary.replace(disk)


def find(disk: Path, path: str) -> bytes | None:
    """The newest content of a file on the disk, links followed; None when it is not there, or no file."""
    archives = list(_archives(disk))
    for _ in range(LINKS):
        entry, content = _newest(archives, path)
        if entry is None or not entry.issym():
            return content
        path = posixpath.normpath(posixpath.join("/", posixpath.dirname(path), entry.linkname))
    return None


def _newest(archives: Sequence[bytes], path: str) -> tuple[tarfile.TarInfo | None, bytes | None]:
    for archive in reversed(archives):
        with tarfile.open(fileobj=io.BytesIO(archive)) as inner, contextlib.suppress(KeyError):
            entry = inner.getmember(path.lstrip("/"))
            content = inner.extractfile(entry) if entry.isfile() else None
            return entry, content.read() if content else None
    return None, None


def _archives(disk: Path) -> Iterator[bytes]:
    if disk.exists():
        with tarfile.open(disk) as outer:
            for member in outer:
                content = outer.extractfile(member)
                if content is not None:
                    yield content.read()
