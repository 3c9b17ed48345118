"""How guests run here: on the processor (KVM) or emulated (TCG). Tried, since /dev/kvm promises nothing.

Inside another virtual machine it may open and every guest may hang. The answer is kept until the
host boots again, QEMU changes, or the image does.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from labctl.errors import Busy, HostLacks, TimedOut
from labctl.places import vm_images
from labctl.vm.trial import Bootable, Kind, Trial, attempt, emulator, version
from labctl.wait import wait_until

# Seconds on the wall that a guest may take to begin. Emulated, on a busy small machine, it takes 13.
LIMITS: Mapping[Kind, float] = {"kvm": 15.0, "tcg": 120.0}
KVM = Path("/dev/kvm")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Acceleration:
    """kind: kvm or tcg.  reason: why, a whole sentence.  boot_seconds: see Trial."""

    kind: Kind
    reason: str
    boot_seconds: float


def cache_file() -> Path:
    """Where the answer is kept."""
    return vm_images() / "acceleration.json"


class Runner(Protocol):
    """Who starts the trial's guests.

    version: what the answer depends on beside the image.  unusable: why KVM need not be tried, "" when it
    is worth a trial.
    """

    @property
    def version(self) -> str: ...
    @property
    def unusable(self) -> str: ...
    def attempt(self, kind: Kind, image: Bootable, limit: float) -> Trial: ...


class ByUs:
    """QEMU as labctl starts it. Raises HostLacks when there is none."""

    def __init__(self, device: Path = KVM) -> None:
        self._program, self._device = emulator(), device

    @property
    def version(self) -> str:
        return version(self._program)

    @property
    def unusable(self) -> str:
        return unusable(self._device)

    def attempt(self, kind: Kind, image: Bootable, limit: float) -> Trial:
        return attempt(self._program, kind, image, limit=limit)


def acceleration(
    image: Bootable,
    *,
    cache: Path,
    say: Callable[[str], None],
    device: Path = KVM,
    limits: Mapping[Kind, float] = LIMITS,
    by: Runner | None = None,
) -> Acceleration:
    """The answer for this image, tried once per boot of the host, version of QEMU, and image.

    say gets a line before each trial; the reason, cached or not, is for the caller to say.
    by: who starts the guests, when not labctl itself.
    Raises HostLacks when there is no QEMU, or when no guest starts at all; Busy when another labctl
    tries for too long.
    """
    by = by or ByUs(device)
    key = _key(image, by.version)
    known = _entries(cache).get(key)
    if known is not None:
        return known
    with _alone(cache, timeout=2 * sum(limits.values())):
        known = _entries(cache).get(key)  # the one that was waited for may have found it
        if known is not None:
            return known
        found = _try(by, image, device, limits, say)
        _keep(cache, key, found)
    return found


def remembered(cache: Path) -> Acceleration | None:
    """What was found last since this host has booted; None when nothing was tried."""
    return next(reversed(list(_entries(cache).values())), None)


def unusable(device: Path = KVM) -> str:
    """Why KVM need not be tried at all, as words; nothing when it is worth a trial."""
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return f"there is no {device}"
    except OSError as error:
        return f"{device} cannot be opened ({error.strerror})"
    return ""


def _try(
    by: Runner, image: Bootable, device: Path, limits: Mapping[Kind, float], say: Callable[[str], None]
) -> Acceleration:
    why = by.unusable
    if not why:
        say(f"trying {device} with a small guest (at most {limits['kvm']:.0f} s, once)")
        trial = by.attempt("kvm", image, limits["kvm"])
        if trial.boot_seconds is not None:
            reason = f"Guests run on {device} (a small one takes {trial.boot_seconds:.1f} s to begin)."
            return Acceleration("kvm", reason, round(trial.boot_seconds, 2))
        why = f"{device} does not work here: {trial.why}"
    say(f"trying an emulated guest (at most {limits['tcg']:.0f} s, once)")
    trial = by.attempt("tcg", image, limits["tcg"])
    if trial.boot_seconds is None:
        raise HostLacks(
            "This host runs no virtual machine, not even an emulated one.",
            details=f"KVM: {why}\nemulation: {trial.why}",
            mend="labctl up --mode container",
        )
    took = f"a small one takes {trial.boot_seconds:.1f} s to begin"
    reason = f"Guests are emulated, which is slow ({took}): {why.removesuffix('.')}."
    return Acceleration("tcg", reason, round(trial.boot_seconds, 2))


def _key(image: Bootable, qemu: str) -> str:
    return f"{BOOT_ID.read_text().strip()} {image.id} {qemu}"


def _entries(cache: Path) -> dict[str, Acceleration]:
    """What is kept of this boot of the host, oldest first. A file that cannot be read holds nothing."""
    boot = BOOT_ID.read_text().strip()
    try:
        kept = json.loads(cache.read_text())
        found = {
            str(key): Acceleration(entry["kind"], str(entry["reason"]), float(entry["boot_seconds"]))
            for key, entry in kept.items()
            if key.startswith(boot)
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
    return {key: entry for key, entry in found.items() if entry.kind in ("kvm", "tcg")}


def _keep(cache: Path, key: str, found: Acceleration) -> None:
    entries = {**_entries(cache), key: found}
    fresh = cache.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps({name: asdict(entry) for name, entry in entries.items()}, indent=1) + "\n")
    fresh.replace(cache)


@contextlib.contextmanager
def _alone(cache: Path, *, timeout: float) -> Iterator[None]:
    """One trial at a time: two would measure each other. The folder itself is the lock."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(cache.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def take() -> bool:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    try:
        try:
            wait_until("another labctl's trial guest", take, timeout=timeout)
        except TimedOut as error:
            raise Busy(error.message, mend="see what it does: ps -ef | grep qemu") from None
        yield
    finally:
        os.close(handle)
