"""From an image in the store to a virtual machine's disk: a layer with a kernel, then a packed file system.

No loop device and no mount of the disk: mke2fs(8) -d writes a folder's content into the file itself.
The machine boots directly from the kernel and initramfs that are copied out beside the disk.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from labctl import run
from labctl.errors import ActionFailed
from labctl.image.store import ImageStore

BUILD_SECONDS = 1800.0
PACK_SECONDS = 600.0
MIB = 1024**2

# $1 the image, $2 a folder of additions, $3 the output folder, $4 the size in MiB, the rest: podman image.
# The additions lie over the image as a read-only overlay mount, which ends with this mount namespace.
# Of several kernels the last in the order of versions is taken.
_PACK = """\
set -eu
image=$1 extra=$2 out=$3 size=$4
shift 4
top=$("$@" mount "$image")
trap '"$@" unmount "$image" >/dev/null' EXIT
whole=$out/merged
mkdir -p "$whole"
mount -t overlay -o "ro,lowerdir=$extra:$top" labctl "$whole"
kernel=$(ls "$whole"/boot/vmlinuz-* | sort -V | tail -n 1)
cp -- "$kernel" "$out/vmlinuz"
cp -- "$whole/boot/initrd.img-${kernel##*/vmlinuz-}" "$out/initramfs"
rm -f "$out/disk.img"
mke2fs -q -F -t ext4 -L root -m 0 -d "$whole" "$out/disk.img" "${size}M"
umount "$whole"
rmdir "$whole"
"""


@dataclass(frozen=True)
class Disk:
    """A raw, sparse disk (ext4 without partitions) and what boots from it, with root=LABEL=root."""

    image: Path
    kernel: Path
    initramfs: Path


def add_layer(
    store: ImageStore,
    base: str,
    tag: str,
    steps: str,
    *,
    on_line: Callable[[str], None],
    timeout: float = BUILD_SECONDS,
) -> None:
    """Build `tag` from the image `base` and Containerfile steps (what follows FROM); layers are cached.

    The caller holds the store's lock. Raises ActionFailed, TimedOut.
    """
    with tempfile.TemporaryDirectory(dir=store.run_root, prefix="context-") as folder:
        file = Path(folder) / "Containerfile"
        file.write_text(f"FROM {base}\n{steps}")
        # fmt: off
        result = store.podman_stream(
            "build", "--isolation=chroot", "--network=host", "--layers", "--force-rm",
            "--file", str(file), "--tag", tag, folder, timeout=timeout, on_line=on_line,
        )
        # fmt: on
    if not result.ok:
        raise ActionFailed(
            f"The layer {tag} could not be built upon {base}.",
            details=result.describe(),
            mend="look at the last lines above; is the distribution's mirror in reach?",
        )


def pack(
    store: ImageStore, reference: str, folder: Path, *, size_mib: int, extra: Path | None = None
) -> Disk:
    """Write the image's file system, which holds a kernel, to folder/disk.img.

    extra: a folder whose content lies over the image's. size_mib: the disk's size, sparse.
    Raises CommandFailed (no kernel in it, no room), TimedOut.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as nothing:
        # fmt: off
        argv = store.isolated("sh", "-c", _PACK, "sh", reference, str(extra or nothing), str(folder),
                              str(size_mib), *store.podman_words("image"))
        # fmt: on
        run.run(argv, timeout=PACK_SECONDS, env=store.environment)
    return Disk(folder / "disk.img", folder / "vmlinuz", folder / "initramfs")


def pack_folder(source: Path, image: Path, *, spare_mib: int, label: str) -> None:
    """Write a folder's content to an ext4 file system in the file `image`, with spare_mib MiB left free.

    Owners, extended attributes and hard links are kept. Raises CommandFailed, TimedOut.
    """
    image.parent.mkdir(parents=True, exist_ok=True)
    image.unlink(missing_ok=True)
    used = run.run(["du", "-sm", "--apparent-size", source], timeout=300).stdout.split()
    if not used or not used[0].isdigit():
        raise ActionFailed(f"The size of {source} cannot be told.", details=" ".join(used))
    # File systems take room of their own: inodes, and whole blocks for small files.
    size = int(int(used[0]) * 1.25) + spare_mib
    # fmt: off
    run.run(["mke2fs", "-q", "-F", "-t", "ext4", "-L", label, "-m", "0", "-d", source, image, f"{size}M"],
            timeout=PACK_SECONDS)
    # fmt: on
