"""labctl.vm.accel and trial, with a stand-in for QEMU that boots, hangs, stalls or dies as it is told."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from labctl.errors import Busy, HostLacks
from labctl.host import packages
from labctl.vm import accel, trial
from labctl.vm.accel import Acceleration, acceleration, remembered

# Its serial port is the file that -chardev names; how it behaves under KIND stands in the file KIND.
EMULATOR = r"""#!/bin/sh
here=$(dirname "$0")
[ "$1" != --version ] || { cat "$here/version"; exit 0; }
while [ $# -gt 0 ]; do
    case $1 in -accel) kind=$2 ;; -chardev) serial=${2#*path=} ;; esac
    shift
done
echo "$kind $$" >>"$here/log"
case $(cat "$here/$kind") in
    boots) printf 'SeaBIOS\r\n[    0.9] Run /init as init process\r\n' >"$serial" ;;
    waits) sleep 1; printf '[    0.9] Run /init as init process\r\n' >"$serial" ;;
    stalls) printf '[    0.1] Linux version 6\r\n[    0.2] x86/fpu: enabled\r\n\n' >"$serial" ;;
    dies) echo "qemu: could not access KVM: No such device" >&2; exit 3 ;;
    panics) printf '[    0.3] Kernel panic - not syncing: no memory\r\n' >"$serial"; exit 0 ;;
esac
exec sleep 600
"""
# Short only where the time has to run out.
LIMITS = {"hangs": 1.0, "stalls": 5.0}


@dataclass(frozen=True)
class Image:
    id: str = "0123456789abcdef"
    kernel: Path = Path("/nonexistent/vmlinuz")
    initramfs: Path = Path("/nonexistent/initramfs")


@dataclass
class Bench:
    """A host with the stand-in on PATH and a /dev/kvm that opens."""

    base: Path
    said: list[str]

    @property
    def cache(self) -> Path:
        return self.base / "state" / "vm" / "acceleration.json"

    @property
    def device(self) -> Path:
        return self.base / "kvm-device"

    def behave(self, *, kvm: str, tcg: str = "boots") -> None:
        (self.base / "kvm").write_text(kvm)
        (self.base / "tcg").write_text(tcg)

    def ask(self, image: Image = Image(), *, device: Path | None = None) -> Acceleration:
        limits: dict[trial.Kind, float] = {"kvm": self._limit("kvm"), "tcg": self._limit("tcg")}
        return acceleration(image, cache=self.cache, say=self.said.append,
                            device=device or self.device, limits=limits)  # fmt: skip

    def _limit(self, kind: str) -> float:
        return LIMITS.get((self.base / kind).read_text(), 60.0)

    def tried(self) -> list[str]:
        log = self.base / "log"
        return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []

    def alive(self) -> list[str]:
        lines = (self.base / "log").read_text().splitlines()
        return [line for line in lines if Path("/proc", line.split()[1]).exists()]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(tmp_path, [])
    program = tmp_path / "qemu-system-x86_64"
    program.write_text(EMULATOR)
    program.chmod(0o755)
    (tmp_path / "version").write_text("QEMU emulator version 7.2.22\nCopyright\n")
    made.device.touch()
    made.behave(kvm="boots")
    monkeypatch.setattr(trial, "EMULATORS", (str(program),))
    return made


def test_kvm_that_works_is_taken(bench: Bench) -> None:
    found = bench.ask()
    assert found.kind == "kvm"
    assert bench.tried() == ["kvm"]
    assert bench.alive() == []
    assert found.reason.startswith(f"Guests run on {bench.device} (a small one takes")
    assert [line.split()[0] for line in bench.said] == ["trying"]


def test_a_host_that_is_busy_just_then_does_not_count(bench: Bench) -> None:
    bench.behave(kvm="waits")
    assert bench.ask().boot_seconds < 1


def test_kvm_that_hangs_gives_way_to_emulation(bench: Bench) -> None:
    bench.behave(kvm="hangs")
    found = bench.ask()
    assert found.kind == "tcg"
    why = f"{bench.device} does not work here: a guest ran for 1 s and its kernel said nothing."
    assert found.reason.endswith(why)
    assert bench.tried() == ["kvm", "tcg"]
    assert bench.alive() == []


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("stalls", "had not booted after 5 s; its last words: [    0.2] x86/fpu: enabled"),
        ("dies", "(exit code 3): qemu: could not access KVM: No such device"),
        ("panics", "(exit code 0): [    0.3] Kernel panic - not syncing: no memory"),
    ],
)
def test_the_reason_says_how_kvm_failed(bench: Bench, behaviour: str, words: str) -> None:
    bench.behave(kvm=behaviour)
    found = bench.ask()
    assert (found.kind, words in found.reason) == ("tcg", True)
    assert bench.alive() == []


def test_without_the_device_kvm_is_not_tried(bench: Bench) -> None:
    found = bench.ask(device=bench.base / "gone")
    assert (found.kind, bench.tried()) == ("tcg", ["tcg"])
    assert f"there is no {bench.base / 'gone'}" in found.reason


def test_a_device_that_does_not_open_is_not_tried(bench: Bench) -> None:
    found = bench.ask(device=bench.base)  # a folder: not even root opens it to write
    assert (found.kind, bench.tried()) == ("tcg", ["tcg"])
    assert "cannot be opened (Is a directory)" in found.reason


def test_no_guest_at_all_is_what_the_host_lacks(bench: Bench) -> None:
    bench.behave(kvm="hangs", tcg="dies")
    for _ in range(2):  # and it is not remembered
        with pytest.raises(HostLacks) as caught:
            bench.ask()
    assert "said nothing" in caught.value.details
    assert "No such device" in caught.value.details
    assert caught.value.mend == "labctl up --mode container"
    assert bench.tried() == ["kvm", "tcg"] * 2


def test_no_emulator_names_the_package(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_program", lambda name: None)
    monkeypatch.setattr(packages, "manager", lambda: "apt")
    monkeypatch.setattr(trial, "EMULATORS", ("qemu-system-x86_64",))
    with pytest.raises(HostLacks) as caught:
        bench.ask()
    assert caught.value.mend.endswith("install qemu-system-x86")


# ---- what is kept ----------------------------------------------------------------------------


def test_it_is_tried_once(bench: Bench) -> None:
    bench.behave(kvm="hangs")
    first = bench.ask()
    bench.said.clear()
    assert bench.ask() == first
    assert bench.said == []
    assert bench.tried() == ["kvm", "tcg"]
    assert remembered(bench.cache) == first


def test_what_is_known_waits_for_nobodys_trial(bench: Bench) -> None:
    first = bench.ask()
    bench.behave(kvm="hangs", tcg="hangs")
    with accel._alone(bench.cache, timeout=1):
        assert bench.ask() == first


def test_another_image_or_qemu_is_tried_anew(bench: Bench) -> None:
    bench.ask()
    bench.ask(Image(id="fedcba9876543210"))
    assert len(bench.tried()) == 2
    bench.ask()
    assert len(bench.tried()) == 2
    (bench.base / "version").write_text("QEMU emulator version 10.1.0\n")
    bench.ask()
    assert len(bench.tried()) == 3


def test_a_host_that_booted_is_tried_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.ask()
    (bench.base / "boot").write_text("another\n")
    monkeypatch.setattr(accel, "BOOT_ID", bench.base / "boot")
    assert remembered(bench.cache) is None
    bench.behave(kvm="dies")
    found = bench.ask()
    assert found.kind == "tcg"
    assert remembered(bench.cache) == found
    assert len(json.loads(bench.cache.read_text())) == 1


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", "\x00", '{"KEY": 1}', '{"KEY": {"kind": "kvm"}}',
     '{"KEY": {"kind": "xen", "reason": "", "boot_seconds": 1}}'],
)  # fmt: skip
def test_a_damaged_file_is_as_good_as_none(bench: Bench, content: str) -> None:
    found = bench.ask()
    (key,) = json.loads(bench.cache.read_text())
    bench.cache.write_text(content.replace("KEY", key))
    assert remembered(bench.cache) is None
    assert bench.ask().kind == found.kind
    assert len(bench.tried()) == 2
    assert remembered(bench.cache) is not None


def test_two_at_once_try_once(bench: Bench) -> None:
    found: list[Acceleration] = []
    threads = [threading.Thread(target=lambda: found.append(bench.ask())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bench.tried() == ["kvm"]
    assert len(set(found)) == 1


def test_a_trial_that_never_ends_elsewhere_is_busy(bench: Bench) -> None:
    bench.cache.parent.mkdir(parents=True)
    with accel._alone(bench.cache, timeout=1), pytest.raises(Busy), accel._alone(bench.cache, timeout=0.2):
        pytest.fail("two held the folder")


# ---- the guest --------------------------------------------------------------------------------


def test_the_guest_has_neither_disk_nor_network() -> None:
    words = trial.command(Path("/usr/bin/qemu"), "tcg", Image(), Path("/a,b/serial"))
    assert {"-nodefaults", "-no-user-config", "-no-reboot"} <= set(words)
    assert not {"-drive", "-netdev", "-nic", "-hda"} & set(words)
    assert "file,id=serial,path=/a,,b/serial" in words
    assert words[:4] == ["setpriv", "--pdeathsig", "KILL", "--"]
