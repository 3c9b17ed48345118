"""One boot of a distribution's cloud image, in which it makes itself a node (images/vm/prepare).

QEMU runs by itself, with its own user-mode network: nothing listens on the host, no bridge is needed.
What the guest tells on its serial port, which is a file here, says how far it is and how it ended.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from labctl.errors import ActionFailed, BadFile, CommandFailed, HostLacks, TimedOut
from labctl.run import kill_group, spawn
from labctl.vm.accel import cache_file, remembered, unusable
from labctl.vm.trial import KILL_SECONDS, Kind, emulator
from labctl.wait import wait_until

MEMORY_MIB = 2048
CPUS = 2
LAST_LINES = 20


@dataclass(frozen=True)
class Limits:
    """Seconds: until the guest says anything, until its preparation begins, until it has ended."""

    first: float
    begin: float
    end: float


LIMITS: Mapping[Kind, Limits] = {
    "kvm": Limits(first=60.0, begin=300.0, end=2700.0),
    # Twenty times as slow, but no mirror is.
    "tcg": Limits(first=300.0, begin=1800.0, end=4 * 3600.0),
}
PROCESSORS: Mapping[Kind, str] = {"kvm": "host", "tcg": "Nehalem"}  # as labctl.engine.domain has them


class Console:
    """What the guest has told so far. word: begins the lines that are for labctl.

    steps: those lines, without it.  Everything else is the distribution's.
    """

    def __init__(self, word: str) -> None:
        self._word = word
        self._rest = ""
        self.lines: list[str] = []
        self.steps: list[str] = []

    def feed(self, text: str) -> list[str]:
        """More of the console; the lines that it completes, made harmless to a terminal."""
        *whole, self._rest = (self._rest + text).replace("\r", "\n").split("\n")
        fresh = [line for raw in whole if (line := plain(raw).strip())]
        self.lines = [*self.lines, *fresh][-400:]
        # Behind a kernel's message without a newline, the word is not the line's beginning.
        found = [line.partition(f"{self._word} ")[2] for line in fresh if f"{self._word} " in line]
        self.steps += found
        return fresh

    @property
    def spoke(self) -> bool:
        """A kernel runs, or what it has started; a boot loader alone does not count."""
        return bool(self.steps) or any(
            mark in line for line in self.lines for mark in ("Linux version", "] ", "Welcome to", "login:")
        )

    def said(self, step: str) -> str | None:
        """The last line for labctl that begins with this word, without it; None when there was none."""
        found = [line for line in self.steps if line.split(" ")[0] == step]
        return found[-1].partition(" ")[2] if found else None

    @property
    def tail(self) -> str:
        return "\n".join(self.lines[-LAST_LINES:])


def plain(text: str) -> str:
    """A line without control characters, and without the sequences that colour it."""
    out, skipping = [], False
    for char in text:
        if skipping:
            skipping = not ("@" <= char <= "~" and char != "[")
        elif char == "\x1b":
            skipping = True
        elif char.isprintable() or char == "\t":
            out.append(char)
    return "".join(out)


def kinds() -> Iterator[Kind]:
    """What to try, in this order: KVM only where it opens and is not known to fail."""
    known = remembered_kind()
    if known != "tcg" and not unusable():
        yield "kvm"
    if known != "kvm":
        yield "tcg"


def remembered_kind() -> Kind | None:
    """What the last trial since this host's boot has found."""
    found = remembered(cache_file())
    return found.kind if found else None


# fmt: off
def command(program: Path, kind: Kind, *, disk: Path, seed: Path, out: Path, serial: Path) -> list[str]:
    """The words that start the guest; it dies with the thread that started it (setpriv(1))."""
    words = [
        "setpriv", "--pdeathsig", "KILL", "--", str(program),
        "-no-user-config", "-nodefaults", "-display", "none", "-no-reboot", "-sandbox", "on",
        "-machine", "pc", "-accel", kind, "-cpu", PROCESSORS[kind], "-smp", str(CPUS), "-m", str(MEMORY_MIB),
        "-chardev", f"file,id=serial,path={_value(serial)}", "-serial", "chardev:serial",
        "-device", "virtio-rng-pci", "-device", "virtio-scsi-pci",
        "-drive", f"if=none,id=system,format=raw,cache=unsafe,discard=unmap,file={_value(disk)}",
        "-device", "scsi-hd,drive=system,serial=root,bootindex=1",
    ]
    for name, file, more in (("seed", seed, ",readonly=on"), ("out", out, "")):
        words += ["-drive", f"if=none,id={name},format=raw{more},file={_value(file)}",
                  "-device", f"virtio-blk-pci,drive={name},serial=labctl-{name}"]
    return [*words, "-netdev", "user,id=way-out", "-device", "virtio-net-pci,netdev=way-out,romfile="]
# fmt: on


def _value(path: Path) -> str:
    return str(path).replace(",", ",,")  # qemu(1): a comma in a value is written twice


def boot(
    kind: Kind,
    *,
    word: str,
    disk: Path,
    seed: Path,
    out: Path,
    serial: Path,
    say: Callable[[str], None],
    limits: Mapping[Kind, Limits] = LIMITS,
) -> None:
    """Boot the disk once and wait for the guest's word that it is prepared, and for its end.

    say gets the guest's lines from its preparation on.  Raises HostLacks when nothing runs by this kind,
    BadFile when the image is refused, ActionFailed, TimedOut.
    """
    limit, console = limits[kind], Console(word)
    said = serial.with_suffix(".qemu")
    serial.write_text("")
    words = command(emulator(), kind, disk=disk, seed=seed, out=out, serial=serial)
    began = time.monotonic()
    process = spawn(words, log_file=said)
    try:
        with serial.open(errors="replace", newline="") as file:

            def look() -> bool:
                lines = console.feed(file.read())
                if console.steps:
                    for line in lines:
                        say(line)
                if process.poll() is not None:
                    console.feed(file.read() + "\n")
                    return _ended(console, kind, said)
                return _judge(console, kind, limit, time.monotonic() - began)

            wait_until("the image's preparation", look, timeout=limit.end, every=0.5)
        with contextlib.suppress(TimedOut):  # all is on the disk: the guest has synced
            wait_until("the guest's end", lambda: process.poll() is not None, timeout=limit.begin)
    except TimedOut:
        raise TimedOut(
            f"The image was not prepared within {limit.end / 60:.0f} minutes.", details=console.tail
        ) from None
    finally:
        kill_group(process)
        with contextlib.suppress(TimedOut):
            wait_until("QEMU's end", lambda: process.poll() is not None, timeout=KILL_SECONDS)


def _ended(console: Console, kind: Kind, emulator_said: Path) -> bool:
    """The same for a machine that has ended."""
    if _judge(console, kind, LIMITS[kind], 0.0):
        return True
    text = emulator_said.read_text(errors="replace").strip()
    if not console.spoke and text:
        raise HostLacks(f"QEMU did not run the image ({kind}).", details=text[-2000:])
    details = f"{text}\n{console.tail}".strip()
    raise CommandFailed("The machine ended before it was prepared.", details=details)


def _judge(console: Console, kind: Kind, limit: Limits, seconds: float) -> bool:
    """Whether the guest is prepared; raises when it never will be."""
    refused = console.said("refused")
    if refused is not None:
        mend = "use another image, or another --family"
        raise BadFile(f"The image cannot be a node: {refused}.", mend=mend)
    if console.said("ok") is not None:
        return True
    if console.said("failed") is not None:
        mend = "look at the lines above; is the distribution's mirror in reach?"
        raise ActionFailed("The image's preparation failed.", details=console.tail, mend=mend)
    if seconds > limit.first and not console.spoke and kind == "kvm":
        raise HostLacks(f"No guest begins to run on /dev/kvm within {limit.first:.0f} s.")
    if seconds > limit.begin and not console.steps:
        raise BadFile(
            f"The image did not begin its preparation within {limit.begin / 60:.0f} minutes.",
            details=console.tail or "It wrote nothing to its serial port.",
            mend="use a cloud image for x86_64 with cloud-init, as the distributions offer it",
        )
    return False
