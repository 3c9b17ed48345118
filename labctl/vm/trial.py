"""One small guest, to see whether and how fast this host runs guests.

It is the lab's own kernel and initramfs without any disk or network. Its kernel writes to a serial
port that is a file here; when it starts the initramfs's first program, the trial has succeeded. The guest is
killed then, as in every other case.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from labctl.errors import HostLacks, TimedOut
from labctl.host import packages
from labctl.run import Result, kill_group, run, spawn
from labctl.wait import wait_until

Kind = Literal["kvm", "tcg"]

# kernel_init() in the kernel's init/main.c prints this (level info) after it has unpacked the initramfs.
MARKER = "Run /init as init process"
# RHEL and its kin keep the program outside PATH, under KVM's name; it emulates as well.
EMULATORS = ("qemu-system-x86_64", "/usr/libexec/qemu-kvm", "qemu-kvm")
MEMORY_MIB = 512
# panic=-1 with -no-reboot: a guest that cannot go on ends at once.
CMDLINE = "console=ttyS0 loglevel=7 panic=-1 mitigations=off"
# The processor each kind gets; "max" emulates all that CentOS Stream's builds ask for.
PROCESSORS: dict[Kind, str] = {"kvm": "host", "tcg": "max"}
KILL_SECONDS = 10.0


class Bootable(Protocol):
    """What a guest is started from; labctl.image.vm.VmImage is one."""

    @property
    def id(self) -> str: ...
    @property
    def kernel(self) -> Path: ...
    @property
    def initramfs(self) -> Path: ...


@dataclass(frozen=True)
class Trial:
    """boot_seconds: what the processor took for it up to the marker; None without one, and why, in words.

    Not the time on the wall: a host that is busy just then would stay slow until it boots again.
    """

    boot_seconds: float | None
    why: str = ""


def emulator() -> Path:
    """QEMU's program. Raises HostLacks with the command that installs it."""
    found = next((path for path in map(packages.find_program, EMULATORS) if path), None)
    if found is not None:
        return found
    needs = [need for need in packages.table() if need.group == "vm" and EMULATORS[0] in need.programs]
    raise HostLacks("This host has no QEMU.", mend=packages.mend(needs, packages.manager()))


def version(program: Path) -> str:
    """The first line that QEMU prints about itself."""
    return run([program, "--version"], timeout=20).stdout.partition("\n")[0].strip()


def command(program: Path, kind: Kind, image: Bootable, serial: Path) -> list[str]:
    """The words that start the guest; it dies with the thread that started it (setpriv(1))."""
    # fmt: off
    return [
        "setpriv", "--pdeathsig", "KILL", "--", str(program),
        "-no-user-config", "-nodefaults", "-display", "none", "-no-reboot",
        "-machine", "q35", "-accel", kind, "-cpu", PROCESSORS[kind], "-smp", "1", "-m", str(MEMORY_MIB),
        "-chardev", f"file,id=serial,path={str(serial).replace(',', ',,')}", "-serial", "chardev:serial",
        "-kernel", str(image.kernel), "-initrd", str(image.initramfs), "-append", CMDLINE,
    ]
    # fmt: on


def attempt(program: Path, kind: Kind, image: Bootable, *, limit: float) -> Trial:
    """Start the guest and wait for its marker, at most limit seconds. Never raises for a guest that fails."""
    with tempfile.TemporaryDirectory(prefix="labctl-trial-") as folder:
        serial, said = Path(folder, "serial"), Path(folder, "emulator")
        words = command(program, kind, image, serial)
        start = time.monotonic()
        process = spawn(words, log_file=said)

        def told() -> str:
            return "began" if MARKER in _text(serial) else "ended" if process.poll() is not None else ""

        try:
            if wait_until("the guest", told, timeout=limit, every=0.05) == "began":
                return Trial(min(time.monotonic() - start, _processor_seconds(process.pid)))
        except TimedOut:
            return Trial(None, _hung(_text(serial), limit))
        finally:
            kill_group(process)
            with contextlib.suppress(TimedOut):  # the kernel ends it, or nobody can
                wait_until("the guest's end", lambda: process.poll() is not None, timeout=KILL_SECONDS)
        return Trial(None, _ended(Result(tuple(words), process.returncode, _text(serial), _text(said))))


def _processor_seconds(pid: int) -> float:
    """What all threads of a process that lives have used so far (proc_pid_stat(5): utime, stime)."""
    # The program's name, in brackets, may hold blanks: fields are counted from behind it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _hung(serial: str, limit: float) -> str:
    last = _last(serial)
    if not last:
        return f"a guest ran for {limit:.0f} s and its kernel said nothing"
    return f"a guest had not booted after {limit:.0f} s; its last words: {last}"


def _ended(result: Result) -> str:
    """What the emulator said, else the guest's own last line."""
    last = _last(result.stderr) or _last(result.stdout)
    return f"a guest ended by itself (exit code {result.rc})" + (f": {last}" if last else "")


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""
