"""Machines of a distribution's own cloud image: `up --vm-image FILE` (docs/adr/0017-vm-image-option.md)."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from labctl import places
from labctl.errors import HostLacks, LabError, UsageError
from labctl.image.store import ImageStore
from labctl.lab.model import Lab

if TYPE_CHECKING:
    from labctl.image.cloud import Work
    from labctl.image.cloud_file import CloudFile
    from labctl.image.vm import VmImage

Say = Callable[[str], None]
# Below the folder of prepared disks; the dot keeps it out of what is removed as unused.
FAILED_CONSOLE = ".failed-console.log"


def require_fits(lab: Lab, made_of: str | None, asked: Path | None) -> None:
    """Whether the lab can be of the image that was asked for. made_of: the one it has, "" for the packed
    disk, None for a lab that has no machines yet.  Raises UsageError.
    """
    if asked is None:
        return
    if not lab.has_machines:
        raise UsageError(
            "--vm-image is for virtual machines, and this lab has none.",
            mend=f"labctl up --lab {lab.name} --mode vm --vm-image {asked}",
        )
    path = str(asked.absolute())
    if made_of not in (None, path):
        raise UsageError(
            f"Lab {lab.name} was made of {made_of or 'the image of its family'}, not of {path}.",
            mend=f"labctl down --lab {lab.name} && labctl up --lab {lab.name} --mode vm --vm-image {asked}",
        )


def prepared(path: Path, family: str, *, store: ImageStore, say: Say) -> VmImage:
    """The disk made of this file: the one that is kept, else made now by booting it once.

    family: the wanted one, or auto.  Raises LabError; what a failed boot told stays in FAILED_CONSOLE.
    """
    from labctl.image import cloud
    from labctl.image.cloud_file import look
    from labctl.image.cloud_seed import payload
    from labctl.image.family import sources
    from labctl.image.vm import remove_unused

    file = look(path)
    archive = payload(sources())
    name = cloud.identity(file, archive)
    found = cloud.find(name, file.path)
    if found is None:
        with store.locked(say):
            found = cloud.find(name, file.path)  # the one that was waited for may have made it
            if found is None:
                say(f"preparing {file.path.name}: it boots once and installs the lab's packages")
                work = _booted(name, file, archive, family, say)
                found = cloud.finish(work, name, file.path)
                remove_unused(cloud.folder(), keep=name, labs=places.labs_root())
    require_family(found.family, family, file.path)
    return found


def require_family(found: str, wanted: str, path: Path) -> None:
    """Raises UsageError when the image is not of the family that was asked for."""
    if wanted not in ("auto", found):
        raise UsageError(
            f"{path} is of the family {found}, not {wanted}.",
            mend=f"labctl up --mode vm --vm-image {path} --family {found}",
        )


def _booted(name: str, file: CloudFile, archive: bytes, family: str, say: Say) -> Work:
    """The image after its first boot, by KVM or emulated."""
    from labctl.image import cloud
    from labctl.image.cloud_seed import seed, word
    from labctl.vm import first_boot

    failure: LabError | None = None
    for kind in first_boot.kinds():
        nonce = secrets.token_hex(8)
        work = cloud.begin(name, file)
        try:
            work.seed.write_bytes(seed(archive, nonce, family))
            if kind == "tcg":
                say("the machine is emulated, so this takes long")
            first_boot.boot(
                kind,
                word=word(nonce),
                disk=work.disk,
                seed=work.seed,
                out=work.out,
                serial=work.serial,
                say=say,
            )
        except HostLacks as error:
            _clear(work)
            say(f"{error.message} {error.details.strip().rpartition(chr(10))[2]}".strip())
            failure = error
            continue
        except BaseException:
            _clear(work)
            raise
        return work
    raise failure or HostLacks("This host runs no virtual machine.", mend="labctl up --mode container")


def _clear(work: Work) -> None:
    """Remove what was begun, but keep what the guest told."""
    with contextlib.suppress(OSError):
        work.serial.replace(work.folder.parent / FAILED_CONSOLE)
    shutil.rmtree(work.folder, ignore_errors=True)
