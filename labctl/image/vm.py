"""The disk that every virtual machine of a lab starts from: the node image, a kernel, and vm-init.

It is one ext4 file system without partitions or boot loader; QEMU starts the kernel that lies beside it
(docs/adr/0013-vm-image.md). What comes on top of the node image is data below images/vm.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from labctl import places
from labctl.errors import CommandFailed, HostLacks
from labctl.image.build import BuiltImage
from labctl.image.disk import add_layer, pack
from labctl.image.family import sources
from labctl.image.store import ImageStore
from labctl.image.vm_kernel import startable

OnLine = Callable[[str], None]

DISK_MIB = 16384
# Layer and disk; both are mostly what the packages unpack to.
NEEDS = 5 * 1024**3
# The serial numbers of the virtio disks, by which the guest knows them.
ROOT_SERIAL = "root"
FILES_SERIAL = "labctl-files"
# The kernel's command line. A console on the serial port, interfaces named eth0, eth1, … in the order of
# their devices, and nothing that only costs an emulated processor time.
CMDLINE = (
    "root=LABEL=root rw rootflags=noinit_itable fsck.mode=skip console=ttyS0 net.ifnames=0 "
    "init=/usr/lib/labctl/vm-init quiet mitigations=off security=none audit=0 nowatchdog "
    "tsc=reliable no_timer_check random.trust_cpu=on rcupdate.rcu_expedited=1 cryptomgr.notests"
)

# Counted up when the packing itself changes.
_FORMAT = 1
_DISK, _KERNEL, _INITRAMFS = "disk.img", "vmlinuz", "initramfs"  # as labctl.image.disk.pack() names them


@dataclass(frozen=True)
class VmImage:
    """A disk to lay overlays upon, and what starts it with CMDLINE.

    id: 16 hex digits over everything it was made from.  disk: raw, sparse, DISK_MIB large, never written
    to.  All paths are absolute.  cmdline: the kernel's.  source: the cloud image's file that it was made of.
    """

    id: str
    family: str
    disk: Path
    kernel: Path
    initramfs: Path
    cmdline: str = CMDLINE
    source: str = ""


def vm_tag(family: str) -> str:
    """The name, in the store, of the node image with a kernel."""
    return f"localhost/labctl/vm:{family}"


def find_vm_image(image: BuiltImage, *, store: ImageStore) -> VmImage | None:  # noqa: ARG001 (as build_vm_image)
    """The disk for this node image when it is there and up to date, else None. Builds nothing."""
    identity = image_id(image.id, sources(), image.family)
    return _at(places.vm_images() / image.family / identity, image.family)


def build_vm_image(image: BuiltImage, *, store: ImageStore, on_line: OnLine, force: bool = False) -> VmImage:
    """The disk for this node image, made when it is not there or its inputs changed, or when force is set.

    on_line gets the build's lines as they come. Disks that no lab refers to are removed.
    Raises HostLacks (no room, no mke2fs), ActionFailed (packages), CommandFailed (packing), TimedOut.
    """
    found = None if force else find_vm_image(image, store=store)
    if found is not None:
        return found
    if shutil.which("mke2fs") is None:
        raise HostLacks("The program mke2fs is not installed.", mend="labctl doctor --fix")
    folder = places.vm_images() / image.family
    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    require_room(folder)
    with store.locked(on_line):
        # The one that was waited for may have made it.
        found = None if force else find_vm_image(image, store=store)
        if found is not None:
            return found
        store.clear_leftovers()
        clear_partial(folder)
        source = sources()
        identity = image_id(image.id, source, image.family)
        on_line(f"Adding a kernel to the {image.family} node image.")
        if force:
            store.podman("rmi", "--force", vm_tag(image.family), timeout=120, check=False)
        steps = (source / "images" / "vm" / image.family / "steps").read_text()
        add_layer(store, image.id, vm_tag(image.family), steps, on_line=on_line)
        on_line("Packing the disk of the virtual machines.")
        _pack(store, image.family, folder / identity, source)
        remove_unused(folder, keep=identity, labs=places.labs_root())
    made = _at(folder / identity, image.family)
    if made is None:
        raise CommandFailed(f"The disk in {folder / identity} is not whole.")
    return made


def require_room(folder: Path, needed: int = NEEDS) -> None:
    """Raises HostLacks where the disk that folder is on has less than needed bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise HostLacks(
            f"The disk of the virtual machines needs {needed / 1024**3:.0f} GiB free below {folder}.",
            details=f"{free / 1024**3:.1f} GiB are free.",
            mend="free some room, or point LABCTL_STATE at a folder on a larger disk",
        )


def image_id(node_image: str, source: Path, family: str) -> str:
    """16 hex digits over the node image's id and all that is laid upon it."""
    digest = hashlib.sha256(f"{_FORMAT} {DISK_MIB} {node_image}".encode())
    for name, path in _inputs(source, family):
        content = path.read_bytes()
        digest.update(f"\0{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _inputs(source: Path, family: str) -> Iterator[tuple[str, Path]]:
    vm = source / "images" / "vm"
    for part in ("masks.txt", "root", f"{family}/steps", f"{family}/root"):
        top = vm / part
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file():
                yield path.relative_to(vm).as_posix(), path


def masked(source: Path) -> list[str]:
    """The units and generators that images/vm/masks.txt names."""
    lines = (source / "images" / "vm" / "masks.txt").read_text().splitlines()
    return [word for line in lines if (word := line.partition("#")[0].strip())]


def lay(top: Path, target: Path) -> None:
    """Copy a folder's files over the folder target.

    A clone's modes follow its user's umask and a wheel's say little: scripts (files that begin with #!)
    become 0755, other files 0644.
    """
    for path in sorted(top.rglob("*")):
        if not path.is_file():
            continue
        copy = target / path.relative_to(top)
        copy.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes()
        copy.write_bytes(content)
        copy.chmod(0o755 if content.startswith(b"#!") else 0o644)


def stage(source: Path, family: str, target: Path) -> None:
    """Write what lies over the image's file system to the folder target; folders become 0755.

    What masks.txt names becomes a link to /dev/null.
    """
    for top in (source / "images/vm/root", source / "images/vm" / family / "root"):
        lay(top, target)
    for name in masked(source):
        kind = "system-generators" if name.endswith("-generator") else "system"
        link = target / "etc/systemd" / kind / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to("/dev/null")
    for folder, _, _ in os.walk(target):
        Path(folder).chmod(0o755)


def _pack(store: ImageStore, family: str, folder: Path, source: Path) -> None:
    """Make the folder, aside first: a build that is killed leaves none of this name."""
    aside = folder.with_name(f".{folder.name}.partial")
    extra = aside / "extra"
    extra.mkdir(parents=True)
    stage(source, family, extra)
    disk = pack(store, vm_tag(family), aside, size_mib=DISK_MIB, extra=extra)
    shutil.rmtree(extra)
    kernel = startable(disk.kernel.read_bytes())
    if kernel is not None:
        disk.kernel.write_bytes(kernel)
    for path in (disk.image, disk.kernel, disk.initramfs):
        path.chmod(0o444)
    if folder.exists():
        # Only when forced: guests that run keep the file they opened.
        shutil.rmtree(folder)
    aside.rename(folder)


def _at(folder: Path, family: str) -> VmImage | None:
    disk, kernel, initramfs = folder / _DISK, folder / _KERNEL, folder / _INITRAMFS
    if not (disk.is_file() and kernel.is_file() and initramfs.is_file()):
        return None
    return VmImage(folder.name, family, disk, kernel, initramfs)


def clear_partial(folder: Path) -> None:
    """Remove what killed builds left; only under the store's lock."""
    for left in folder.glob(".*.partial"):
        shutil.rmtree(left, ignore_errors=True)


def remove_unused(folder: Path, *, keep: str, labs: Path) -> None:
    """Remove a family's disks but this one and those that labs' overlays lie upon.

    A lab names its disk in vms/NODE/base, one line each, also in its snapshots.
    """
    used = set()
    for pattern in ("*/vms/*/base", "*/snapshots/*/tree/vms/*/base"):
        for path in labs.glob(pattern):
            used.add(Path(path.read_text().strip()).parent)
    for other in folder.iterdir():
        if other.name != keep and not other.name.startswith(".") and other not in used:
            shutil.rmtree(other, ignore_errors=True)
