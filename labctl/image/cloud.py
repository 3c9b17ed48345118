"""Disks made of distributions' cloud images, kept like the packed ones: found, begun, finished.

What comes from the guest, its kernel above all, is taken by name and size out of the tar that it wrote
(docs/adr/0017-vm-image-option.md).
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labctl import places, run
from labctl.errors import CommandFailed
from labctl.image.cloud_file import CloudFile, require_boot_code
from labctl.image.cloud_seed import user_data
from labctl.image.family import families
from labctl.image.vm import CMDLINE, DISK_MIB, VmImage, clear_partial, require_room
from labctl.image.vm_kernel import startable

# Counted up when the preparation changes in what labctl itself does.
_FORMAT = 1
_ABOUT = "about.json"
_LIMITS = {"about": 4096, "vmlinuz": 64 * 1024**2, "initramfs": 128 * 1024**2}
_ROOT = "root=LABEL=root"
_ROOT_FLAGS = "rootflags=noinit_itable"  # ext4's
COPY_SECONDS = 900.0
MIB_OUT = 256


@dataclass(frozen=True)
class Work:
    """A preparation under way: a folder, which becomes the disk's by being renamed, and what lies in it."""

    folder: Path

    @property
    def disk(self) -> Path:
        return self.folder / "disk.img"

    @property
    def seed(self) -> Path:
        return self.folder / "seed.iso"

    @property
    def out(self) -> Path:
        return self.folder / "out.tar"

    @property
    def serial(self) -> Path:
        return self.folder / "console.log"


def folder() -> Path:
    """Where they are kept, all families' together: the family is known only when the image has booted."""
    return places.vm_images() / "prepared"


def identity(file: CloudFile, archive: bytes) -> str:
    """16 hex digits over the image's content and all that the guest is given."""
    told = f"{_FORMAT} {DISK_MIB} {file.digest} {user_data('', '', {})}"
    return hashlib.sha256(told.encode() + b"\0" + archive).hexdigest()[:16]


def find(name: str, source: Path) -> VmImage | None:
    """The disk of this id, when it is there and whole."""
    home = folder() / name
    disk, kernel, initramfs, about = (home / part for part in ("disk.img", "vmlinuz", "initramfs", _ABOUT))
    if not all(path.is_file() for path in (disk, kernel, initramfs, about)):
        return None
    told = json.loads(about.read_text())
    return VmImage(name, told["family"], disk, kernel, initramfs, told["cmdline"], str(source))


def begin(name: str, file: CloudFile) -> Work:
    """A fresh copy of the image, as large as a node's disk. Only under the store's lock.

    Raises HostLacks (no room, an image that only EFI starts), CommandFailed, TimedOut.
    """
    home = folder()
    home.mkdir(parents=True, exist_ok=True, mode=0o755)
    clear_partial(home)
    require_room(home)
    work = Work(home / f".{name}.partial")
    work.folder.mkdir(mode=0o755)
    try:
        copy: list[str | Path] = ["qemu-img", "convert", "-f", file.format, "-O", "raw", file.path, work.disk]
        run.run(copy, timeout=COPY_SECONDS)
        require_boot_code(work.disk, file.path)
        run.run(["qemu-img", "resize", "-q", "-f", "raw", work.disk, f"{DISK_MIB}M"], timeout=60)
        with work.out.open("wb") as out:
            out.truncate(MIB_OUT * 1024**2)
    except BaseException:
        shutil.rmtree(work.folder, ignore_errors=True)
        raise
    return work


def finish(work: Work, name: str, source: Path) -> VmImage:
    """Take what the guest has written, and give the disk its name. Raises CommandFailed."""
    told = taken(work.out, work.folder)
    about = {
        "family": told["family"],
        "cmdline": cmdline(told),
        "kernel": told["kernel"],
        "source": str(source),
    }
    kernel = startable((work.folder / "vmlinuz").read_bytes())
    if kernel is not None:
        (work.folder / "vmlinuz").write_bytes(kernel)
    (work.folder / _ABOUT).write_text(json.dumps(about, indent=1) + "\n")
    work.seed.unlink(missing_ok=True)
    work.out.unlink()
    for part in ("disk.img", "vmlinuz", "initramfs"):
        (work.folder / part).chmod(0o444)
    run.run(["sync", "--file-system", work.folder], timeout=COPY_SECONDS)
    home = work.folder.with_name(name)
    if home.exists():
        shutil.rmtree(home)
    work.folder.rename(home)
    made = find(name, source)
    if made is None:
        raise CommandFailed(f"The disk in {home} is not whole.")
    return made


def taken(out: Path, target: Path) -> dict[str, str]:
    """What the guest says about itself; its kernel and initramfs go to the folder target.

    Nothing else of the tar is looked at: a guest is nobody's word.  Raises CommandFailed.
    """
    try:
        with tarfile.open(out, "r:") as tar:
            contents = {name: _member(tar, name, most) for name, most in _LIMITS.items()}
    except (tarfile.TarError, KeyError, OSError, ValueError) as error:
        raise CommandFailed("The image's preparation has left no kernel.", details=str(error)) from None
    for name in ("vmlinuz", "initramfs"):
        (target / name).write_bytes(contents[name])
    lines = contents["about"].decode(errors="replace").splitlines()
    told = {key: value for key, _, value in (line.partition("=") for line in lines)}
    _require(told)
    return told


def _member(tar: tarfile.TarFile, name: str, most: int) -> bytes:
    member = tar.getmember(name)
    file = tar.extractfile(member) if member.isreg() and 0 < member.size <= most else None
    if file is None:
        raise ValueError(f"{name} is no file, or too large")
    return file.read()


def _require(told: Mapping[str, str]) -> None:
    forms = {"uuid": r"[0-9a-fA-F-]{8,36}", "type": "ext4|xfs", "kernel": r"[\w.+~-]+"}
    forms["family"] = "|".join(families())
    for key, form in forms.items():
        if not re.fullmatch(form, told.get(key, "")):
            raise CommandFailed(
                "The image's preparation tells nonsense.", details=f"{key}: {told.get(key)!r}"
            )


def cmdline(told: Mapping[str, str]) -> str:
    """The kernel's command line for this root file system."""
    flags = (_ROOT_FLAGS,) if told["type"] == "ext4" else ()
    kept = [word for word in CMDLINE.split() if word not in (_ROOT, _ROOT_FLAGS)]
    return " ".join((f"root=UUID={told['uuid']}", *flags, *kept))
