"""Copy a tree that is in use: most of it while it changes, the rest while it stands still.

cp(1) of GNU coreutils does the copying: it knows reflinks, holes, hard links, devices and extended
attributes (an overlay's upper layer is made of all of them).  Here stands what it cannot know: what has
changed since.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from labctl.errors import ActionFailed, HostLacks
from labctl.run import Result, run
from labctl.wait import wait_until

COPY_SECONDS = 1800.0
SYNC_SECONDS = 60.0
BATCH = 500  # paths of one cp, to stay below ARG_MAX
FICLONE = 0x40049409  # ioctl_ficlone(2)
MARGIN = 64 * 1024**2  # what must stay free beside the copy
# Ended by the kernel with whoever started it: an orphan must not write on into a folder being removed.
# The signal is not sent for a parent that was dead already (prctl(2)), so that is looked at afterwards.
WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "sh", "-c", '[ "$PPID" = "$0" ] && exec "$@"')
CP = ("cp", "-a", "--reflink=auto", "--sparse=auto")
REMOVE_SECONDS = 10.0
FULL = "No space left on device"


@dataclass(frozen=True)
class Usage:
    """What a tree holds: bytes on disk, sum of file sizes, number of entries."""

    disk: int
    size: int
    entries: int


@dataclass(frozen=True)
class Changes:
    """What sets a tree apart from its copy; paths relative to it.

    folders and files are to be brought over, gone is to be removed.  disk: bytes that files take.
    """

    folders: tuple[str, ...]
    files: tuple[str, ...]
    gone: tuple[str, ...]
    disk: int

    def __bool__(self) -> bool:
        return bool(self.folders or self.files or self.gone)


def usage(top: Path, names: Collection[str]) -> Usage:
    """What these entries of the folder take; what vanishes meanwhile does not count."""
    disk = size = entries = 0
    seen: set[int] = set()
    for _, about in _walk(top, names):
        entries += 1
        if about.st_ino in seen:
            continue
        if about.st_nlink > 1 and not stat.S_ISDIR(about.st_mode):
            seen.add(about.st_ino)
        disk += about.st_blocks * 512
        size += about.st_size if stat.S_ISREG(about.st_mode) else 0
    return Usage(disk, size, entries)


def require_room(folder: Path, needed: int, what: str, mend: str, *, freed: int = 0) -> None:
    """Raises HostLacks, with the figures, unless so many bytes can be written below the folder.

    freed: bytes that go before that.
    """
    if can_clone(folder):
        needed = 0
    about = os.statvfs(folder)
    free = about.f_bavail * about.f_frsize + freed
    if free < needed + MARGIN:
        raise HostLacks(
            f"There is no room for {what}.",
            details=f"It needs {text(needed + MARGIN)}, and {text(free)} are free for {folder}.",
            mend=mend,
        )


def can_clone(folder: Path) -> bool:
    """Whether files of this folder can share their blocks (Btrfs, XFS, bcachefs)."""
    one, two = folder / ".clone-1", folder / ".clone-2"
    try:
        one.write_bytes(b"x" * 4096)
        with one.open("rb") as source, two.open("wb") as target:
            fcntl.ioctl(target, FICLONE, source.fileno())
        return True
    except OSError:
        return False
    finally:
        for path in (one, two):
            with contextlib.suppress(OSError):
                path.unlink()


def flush(folder: Path) -> None:
    """Write the folder's file system to disk (syncfs(2)). Raises TimedOut."""
    run(["sync", "-f", folder], timeout=SYNC_SECONDS)


def copy_moving(top: Path, names: Sequence[str], copy: Path) -> None:
    """Copy these entries as they are at the moment; what vanishes in between is left out.

    Raises HostLacks for a full disk.
    """
    result = _cp(["-t", copy, "--", *names], top)
    if FULL in result.stderr:
        raise OSError(errno.ENOSPC, FULL, str(copy))


def copy_exactly(top: Path, names: Sequence[str], copy: Path) -> None:
    """Copy these entries of a folder that nobody writes to. Raises OSError (ENOSPC), ActionFailed."""
    _must(_cp(["-t", copy, "--", *names], top), copy)


def changes(top: Path, names: Collection[str], copy: Path, *, since: float | None) -> Changes:
    """How the entries differ from the copy, by kind, size, owner, mode and time.

    since: seconds since the epoch of a flush() before the copy was made: a file that was changed later is
    to be copied again, whatever it looks like. A write through mmap(2) leaves no other trace: it moves
    the file's times only when it first touches a page after that was written to disk. None: trust looks.
    """
    folders, files, disk = [], [], 0
    wanted = set()
    for path, about in _walk(top, names):
        wanted.add(path)
        if stat.S_ISDIR(about.st_mode):
            if _differs(about, copy / path, since, ("st_mode", "st_uid", "st_gid", "st_mtime_ns")):
                folders.append(path)
        elif _differs(
            about, copy / path, since, ("st_mode", "st_uid", "st_gid", "st_mtime_ns", "st_size", "st_rdev")
        ):
            files.append((about.st_ino, path))
            disk += about.st_blocks * 512
    there = {path for path, _ in _walk(copy, [path.name for path in copy.iterdir()])}
    gone = sorted(there - wanted, key=len, reverse=True)
    # Names of one file stand side by side, so that they go into one cp and stay one file.
    return Changes(tuple(sorted(folders)), tuple(path for _, path in sorted(files)), tuple(gone), disk)


def bring(top: Path, names: Collection[str], copy: Path, found: Changes, *, moving: bool) -> None:
    """Make the copy equal in what differs. moving: the tree may change meanwhile.

    Raises OSError (ENOSPC), ActionFailed.
    """
    for path in found.gone:
        remove(copy / path)
    for path in found.folders:
        if not stat.S_ISDIR(_mode(copy / path)):
            remove(copy / path)
            (copy / path).mkdir(mode=0o700)
    for path in found.files:
        if stat.S_ISDIR(_mode(copy / path)):
            remove(copy / path)  # a folder made way for a file, or for an overlay's whiteout
    for batch in _batches(top, found.files):
        result = _cp(["--parents", "--remove-destination", "-t", copy, "--", *batch], top)
        if not moving:
            _must(result, copy)
        elif FULL in result.stderr:
            raise OSError(errno.ENOSPC, FULL, str(copy))
    # Last and from the bottom up: every entry made in a folder changes the folder's time.
    for path, about in sorted(_walk(top, names), reverse=True):
        if stat.S_ISDIR(about.st_mode):
            with contextlib.suppress(FileNotFoundError):
                if path in found.folders or (copy / path).lstat().st_mtime_ns != about.st_mtime_ns:
                    _like(top / path, about, copy / path)


def remove_tree(top: Path) -> None:
    """Remove a folder; no error when there is none. Waits for a cp that was killed just now to end."""

    def removed() -> bool:
        try:
            shutil.rmtree(top)
        except FileNotFoundError:
            return not top.exists()
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            return False
        return True

    wait_until(f"{top} to be removed", removed, timeout=REMOVE_SECONDS, every=0.05)


def text(amount: int) -> str:
    """A number of bytes for people."""
    if amount < 1024**3:
        return f"{amount / 1024**2:.0f} MiB"
    return f"{amount / 1024**3:.1f} GiB"


def _walk(top: Path, names: Iterable[str]) -> Iterator[tuple[str, os.stat_result]]:
    """Every entry below, folders before what they hold; paths relative to top."""
    for name in sorted(names):
        with contextlib.suppress(FileNotFoundError):
            about = (top / name).lstat()
            yield name, about
            if stat.S_ISDIR(about.st_mode):
                yield from _below(f"{top}/{name}", name)


def _below(folder: str, name: str) -> Iterator[tuple[str, os.stat_result]]:
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            try:
                about = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield f"{name}/{entry.name}", about
            if stat.S_ISDIR(about.st_mode):
                yield from _below(entry.path, f"{name}/{entry.name}")


def _differs(about: os.stat_result, copy: Path, since: float | None, fields: Sequence[str]) -> bool:
    if since is not None and about.st_ctime >= since:
        return True
    try:
        other = copy.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    return any(getattr(about, field) != getattr(other, field) for field in fields)


def _batches(top: Path, files: Sequence[str]) -> Iterator[list[str]]:
    """The paths in portions; the names of one file are never parted."""
    batch, last = list[str](), -1
    for path in files:
        number = _inode(top / path)
        if len(batch) >= BATCH and number != last:
            yield batch
            batch = []
        batch.append(path)
        last = number
    if batch:
        yield batch


def _inode(path: Path) -> int:
    try:
        return path.lstat().st_ino
    except OSError:
        return -1


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


def remove(path: Path) -> None:
    """Remove an entry of whatever kind; no error when there is none."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if stat.S_ISDIR(path.lstat().st_mode):
            shutil.rmtree(path)
        else:
            path.unlink()


def _like(source: Path, about: os.stat_result, copy: Path) -> None:
    """Give a folder the owner, mode, extended attributes and times of another."""
    os.chown(copy, about.st_uid, about.st_gid)
    copy.chmod(stat.S_IMODE(about.st_mode))
    wanted = {name: os.getxattr(source, name) for name in os.listxattr(source)}
    for name in os.listxattr(copy):
        if name not in wanted:
            os.removexattr(copy, name)
    for name, value in wanted.items():
        os.setxattr(copy, name, value)
    os.utime(copy, ns=(about.st_atime_ns, about.st_mtime_ns))


def _cp(words: Sequence[str | Path], folder: Path) -> Result:
    """Only for the main thread: the kernel ends cp with the thread that started it (prctl(2))."""
    whole = [*WITH_PARENT, str(os.getpid()), *CP, *words]
    return run(whole, timeout=COPY_SECONDS, cwd=folder, check=False)


def _must(result: Result, copy: Path) -> None:
    if FULL in result.stderr:
        raise OSError(errno.ENOSPC, FULL, str(copy))
    if not result.ok:
        raise ActionFailed("A part of the lab could not be copied.", details=result.describe())
