"""What the steps of the proof stand on: the lab, its nodes, and a picture of the host to compare with."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from labctl.engine.base import Engine  # noqa: E402
from labctl.errors import LabError  # noqa: E402
from labctl.lab.bubble import engine  # noqa: E402
from labctl.places import lab_places  # noqa: E402
from labctl.run import Result, run  # noqa: E402
from labctl.wait import wait_until  # noqa: E402

LAB = "lio"
UP_SECONDS = 900.0
# An emulated node takes longer to boot than `up` waits; it goes on where it was when it is called again.
UP_ATTEMPTS = 5
DISKS = Path("/var/lib/labctl/labs", LAB, "disks")
NOTE = Path("/run/labctl-proof.json")  # what the host was like before; the steps may be run in several calls
# An emulated machine is some twenty times slower than what Pacemaker's and corosync's defaults are made for.
# Its fence devices would be started and watched all the time: step_fence calls the agent itself.
OVERRIDE = """\
x-lab:
  cluster: {token_ms: 30000, dc_deadtime: 20s}
  fencing: {enabled: false}
"""
DIRTY_SECONDS = 40.0  # the kernel writes dirty pages after 30 s, and looks every 5 (vm.dirty_*)


class NotShown(Exception):
    """A step did not show what it should."""


def show(holds: object, what: str) -> None:
    if not holds:
        raise NotShown(what)


def labctl(*words: str, timeout: float = 300.0, check: bool = True) -> Result:
    return run(["labctl", *words], timeout=timeout, check=check)


def node(name: str, script: str, *, timeout: float = 120.0, check: bool = True) -> Result:
    """A shell script in a node. Without check, a node that cannot be asked is one more failure of it."""
    with machines() as lab:
        try:
            return lab.node(name).run(["sh", "-c", script], timeout=timeout, check=check)
        except LabError as error:
            if check:
                raise
            return Result((script,), 125, "", str(error))


def up(*words: str) -> int:
    """`labctl up` until it is done; how often it was called."""
    override = Path("/run/labctl-proof.yaml")
    override.write_text(OVERRIDE)
    words = ("--override", str(override), *words)
    for attempt in range(1, UP_ATTEMPTS + 1):
        done = labctl("up", "--lab", LAB, "--nodes", "2", *words, timeout=UP_SECONDS, check=False)
        if done.ok:
            return attempt
        why = [
            line for line in done.stderr.splitlines() if line.startswith(("error:", "Waited", "Last seen"))
        ]
        print(f"# up, attempt {attempt}: {' '.join(why)}", flush=True)
        if done.rc != 1:
            raise NotShown(done.describe())
    raise NotShown(done.describe())


# -- what the host has -----------------------------------------------------------------------


def kernel_state() -> dict[str, object]:
    """What a lab of this driver may have in the kernel and in the host's files."""
    modules = {}
    for line in Path("/proc/modules").read_text().splitlines():
        name, _, users, holders = line.split()[:4]
        if name in ("iscsi_tcp", "iscsi_target_mod", "target_core_mod", "target_core_file"):
            # Without other modules: loading one backend has the kernel load all of them.
            modules[name] = int(users) - holders.count(",")
    target = Path("/sys/kernel/config/target")
    return {
        "sessions": sorted(path.name for path in Path("/sys/class/iscsi_session").glob("*")),
        "disks": sorted(path.name for path in Path("/sys/class/block").glob("sd*")),
        "targets": sorted(str(path) for path in target.glob("iscsi/iqn*")),
        "backstores": sorted(str(path) for path in target.glob("core/*/*/info")),
        "records": sorted(str(path) for path in Path("/etc/iscsi").rglob("*")),
        "claims": sorted(str(path) for path in Path("/run/labctl-lio").glob("*")),
        "rules": sorted(str(path) for path in Path("/run/udev").glob("rules.d/*")),
        "device mapper": sorted(path.name for path in Path("/sys/class/block").glob("dm-*")),
        "users of modules": modules,
        "iscsid": run(["pgrep", "-c", "iscsid"], timeout=20, check=False).stdout.strip(),
        "mounts": sum("labctl" in line for line in Path("/proc/self/mountinfo").read_text().splitlines()),
    }


def host_network() -> str:
    """Addresses, routes, rules, and who listens elsewhere than on loopback."""
    commands = (["ip", "-br", "address"], ["ip", "route"], ["nft", "list", "ruleset"])
    words = [run(argv, timeout=30).stdout for argv in commands]
    listening = run(["ss", "-Hltn"], timeout=30).stdout.splitlines()
    return "".join(words) + "\n".join(sorted(at for at in (line.split()[3] for line in listening)
                                             if not at.startswith("127.0.0.1:")))  # fmt: skip


def checksum(disk: str) -> str:
    """Over the written parts of a disk's sparse file and their places (lseek(2), SEEK_DATA)."""
    digest = hashlib.md5(usedforsecurity=False)
    with (DISKS / f"{disk}.img").open("rb") as file:
        at, end = 0, file.seek(0, os.SEEK_END)
        while at < end:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:  # ENXIO: no data any more
                break
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            digest.update(f"{start}-{at}".encode())
            for block in range(start, at, 1 << 20):
                digest.update(os.pread(file.fileno(), min(1 << 20, at - block), block))
    return digest.hexdigest()


def fence(victim: str, by: str) -> float:
    """What Pacemaker does, by the same agent against the same BMC; seconds until it reported success."""
    began = time.monotonic()
    agent = "fence_ipmilan -P -a 192.168.122.1 -l centos -p centos --power-timeout=120 --ipmitool-timeout=60"
    node(by, f"{agent} -u {7750 + int(victim[-1])} -o off", timeout=300)
    return time.monotonic() - began


def back(name: str) -> None:
    wait_until(
        f"{name} to be back with its disks",
        lambda: node(name, "for d in sdb sdc sdd; do blockdev --getsize64 /dev/$d; done", check=False).ok,
        timeout=300,
        every=2,
    )


@contextlib.contextmanager
def machines() -> Iterator[Engine]:
    """The lab's own engine."""
    handle = engine(LAB, lab_places(LAB))
    try:
        yield handle
    finally:
        handle.close()


def remember() -> None:
    """Note what the host is like without a lab."""
    NOTE.write_text(json.dumps({"state": kernel_state(), "network": host_network()}))


def before() -> dict[str, Any]:
    """What remember() noted."""
    noted: dict[str, Any] = json.loads(NOTE.read_text())
    return noted
