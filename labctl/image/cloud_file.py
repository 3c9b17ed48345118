"""Whether a file is a disk image that a lab can be made of: looked at before anything is started.

The file comes from somewhere else. So its format is told by its first bytes, never guessed by QEMU, and an
image that refers to other files is refused: it could name the host's.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from labctl import run
from labctl.errors import BadFile, HostLacks, UsageError
from labctl.image.vm import DISK_MIB

MIB = 1024**2
LEAST_MIB = 256
CHECK_SECONDS = 300.0
QCOW2 = b"QFI\xfb"
# What people take for a disk image: first bytes, what it is, what to do.
_OTHERS = (
    (b"\xfd7zXZ", "compressed by xz", "xz -dk {file}"),
    (b"\x1f\x8b", "compressed by gzip", "gzip -dk {file}"),
    (b"BZh", "compressed by bzip2", "bzip2 -dk {file}"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "zstd -dk {file}"),
    (b"PK\x03\x04", "a zip archive", "unzip {file}"),
    (b"KDMV", "a VMware disk", "qemu-img convert -O qcow2 {file} new.qcow2"),
    (b"<", "a page or a text, so the download has failed", "download it again"),
)


@dataclass(frozen=True)
class CloudFile:
    """A disk image that was looked at. path: absolute.  size: of the disk, bytes.  digest: of its content."""

    path: Path
    format: Literal["qcow2", "raw"]
    size: int
    digest: str


def look(path: Path) -> CloudFile:
    """The file, judged. Raises UsageError (no such file), BadFile (a wrong one), HostLacks (no qemu-img)."""
    path = path.absolute()
    if not path.exists():
        raise UsageError(f"There is no file {path}.", mend="name the image that you have downloaded")
    if not path.is_file():
        raise BadFile(f"{path} is not a file.", mend="name a disk image: --vm-image FILE.qcow2")
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise BadFile(f"{path} cannot be read.", details=str(error)) from None
    form = told_format(start, path)
    if form == "qcow2":
        require_alone(start, path)
    size = path.stat().st_size if form == "raw" else _qcow2(path)
    require_size(size, path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return CloudFile(path, form, size, digest)


def told_format(start: bytes, path: Path) -> Literal["qcow2", "raw"]:
    """The format by the first 512 bytes. Raises BadFile."""
    if start.startswith(QCOW2):
        return "qcow2"
    for magic, what, mend in _OTHERS:
        if start.startswith(magic):
            raise BadFile(f"{path} is no disk image: it is {what}.", mend=mend.format(file=path))
    if start[510:512] == b"\x55\xaa":
        return "raw"
    raise BadFile(
        f"{path} is no disk image: neither qcow2 nor a raw disk with a partition table.",
        mend="download a cloud image for x86_64, for example debian-12-generic-amd64.qcow2",
    )


def require_alone(start: bytes, path: Path) -> None:
    """Raises BadFile for a qcow2 that refers to another file, before qemu-img would open that one.

    docs/interop/qcow2.txt of QEMU: backing_file_offset, and bit 2 of the incompatible features (version 3).
    """
    start = start.ljust(104, b"\0")
    version, backing = struct.unpack_from(">IQ", start, 4)
    features = struct.unpack_from(">Q", start, 72)[0] if version >= 3 else 0
    if backing:
        raise _refused(path, "lies upon another image")
    if features & 4:
        raise _refused(path, "keeps its data in another file")


def _refused(path: Path, words: str) -> BadFile:
    return BadFile(f"{path} {words}, so it is not taken.", mend="use the image as the distribution gives it")


def require_size(size: int, path: Path) -> None:
    """Raises BadFile for a disk on which no node fits, or that is larger than a node's."""
    if not LEAST_MIB * MIB <= size <= DISK_MIB * MIB:
        raise BadFile(
            f"The disk in {path} has {size / MIB:.0f} MiB; a node's has {LEAST_MIB} to {DISK_MIB}.",
            mend="use the distribution's own cloud image",
        )


def judge(info: Mapping[str, Any], path: Path) -> int:
    """The disk's size by what `qemu-img info` says. Raises BadFile for an image with strings attached."""
    special = info.get("format-specific", {}).get("data", {})
    refused = (
        (info.get("backing-filename") or info.get("full-backing-filename"), "lies upon another image"),
        (special.get("data-file"), "keeps its data in another file"),
        (info.get("encrypted") or special.get("encrypt"), "is encrypted"),
        (special.get("corrupt"), "is marked as damaged"),
    )
    for found, words in refused:
        if found:
            raise _refused(path, words)
    size = info.get("virtual-size")
    if info.get("format") != "qcow2" or not isinstance(size, int):
        raise BadFile(f"{path} is not a qcow2 image.", details=json.dumps(dict(info))[:400])
    return size


def _qcow2(path: Path) -> int:
    words = ("--output=json", "-f", "qcow2", str(path))
    told = run.run(["qemu-img", "info", *words], timeout=CHECK_SECONDS, check=False)
    if not told.ok:
        raise BadFile(f"{path} is a damaged qcow2 image.", details=told.describe(), mend="download it again")
    size = judge(json.loads(told.stdout), path)
    # A download that was cut short reads as zeros; only the check sees it. Exit code 3: leaks, no harm.
    checked = run.run(["qemu-img", "check", *words], timeout=CHECK_SECONDS, check=False)
    if checked.rc not in (0, 3):
        raise BadFile(
            f"{path} is damaged; perhaps its download was cut short.",
            details="\n".join(checked.stderr.splitlines()[:5]),
            mend="download it again and compare its checksum with the distribution's",
        )
    return size


def require_boot_code(disk: Path, path: Path) -> None:
    """Raises HostLacks for a raw disk whose first sector has no program: nothing starts it but EFI."""
    with disk.open("rb") as file:
        if any(file.read(440)):
            return
    raise HostLacks(
        f"{path} starts by EFI only, or is made for another processor; labctl starts x86_64 images by BIOS.",
        mend="use the distribution's image for x86_64 that starts by BIOS, too (most do)",
    )
