"""The host as it is: what a lab must leave as it was.

Network, mounts, loop devices, cgroups, files and settings are compared whole.  Processes come and go
on any host, so those of the lab are told by a mark in their environment (inherited by all that
labctl starts) and by the namespaces that they are in.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labctl.places import image_store, labs_root, state_root, vm_images
from labctl.run import run

if TYPE_CHECKING:
    from tests.lab.driver import Driver

MARK = "LABCTL_TEST_MARK"
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "uts")
SYSCTLS = (
    "fs/inotify/max_user_instances",
    "fs/inotify/max_user_watches",
    "fs/nr_open",
    "fs/file-max",
    "kernel/core_pattern",
    "kernel/domainname",
    "kernel/hostname",
    "kernel/panic",
    "kernel/printk",
    "kernel/sysrq",
    "net/bridge/bridge-nf-call-iptables",
    "net/ipv4/conf/all/forwarding",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/conf/default/rp_filter",
    "net/ipv4/ip_forward",
    "net/ipv4/ip_nonlocal_bind",
    "net/ipv6/conf/all/forwarding",
    "vm/overcommit_memory",
)


def snapshot(lab: str) -> dict[str, Any]:
    """Everything that is compared, by subject."""
    return {
        "addresses": _addresses(),
        "routes": _ip("route", "show", "table", "all"),
        "routes of IPv6": _ip("-6", "route", "show", "table", "all"),
        "rules": _ip("rule"),
        "links": sorted(link["ifname"] for link in _ip("link")),
        "netns": _ip("netns"),
        "firewall": _nft(),
        "mounts": sorted(_mounts()),
        "loop devices": run(
            ["losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE"], timeout=20
        ).stdout,
        "kernel's block devices": sorted(path.name for path in Path("/sys/block").iterdir()),
        "iSCSI sessions": sorted(path.name for path in Path("/sys/class/iscsi_session").glob("*")),
        "iSCSI targets": sorted(path.name for path in Path("/sys/kernel/config/target/iscsi").glob("iqn.*")),
        "FUSE connections": sorted(path.name for path in Path("/sys/fs/fuse/connections").glob("*")),
        "cgroups": [str(folder) for folder in _cgroups(lab)],
        "files": sorted(str(path) for path in _files(lab)),
        "shared memory": sorted(path.name for path in Path("/dev/shm").glob("*")),  # noqa: S108
        "run": sorted(path.name for path in Path("/run").iterdir()),
        "sockets": sorted(_sockets(lab)),
        "settings": {name: _read(Path("/proc/sys", name)) for name in SYSCTLS},
        "resolver": _read(Path("/etc/resolv.conf")),
        "hosts": _read(Path("/etc/hosts")),
    }


def assert_as_before(before: dict[str, Any], lab: str) -> None:
    """Compare with what snapshot() said then."""
    after = snapshot(lab)
    for subject, was in before.items():
        assert after[subject] == was, f"{subject}: not as before: {was} -> {after[subject]}"


def down_leaves_nothing(lab: Driver, mark: str, namespaces: set[str]) -> None:
    """Numbers of namespaces are used again at once, so only what is older than `down` counts.

    mark: of the environment that the lab was brought up in.  namespaces: as namespaces_in() saw them.
    """
    began = clock()
    lab.down()
    left = marked(mark)
    assert left == {}, f"processes live on: {left}"
    inside = alive(namespaces, older_than=began)
    assert inside == {}, f"namespaces live on: {inside}"


def marked(mark: str) -> dict[int, str]:
    """Living processes with this mark in their environment: pid to command line."""
    wanted = f"{MARK}={mark}".encode()
    found = {}
    for pid in _pids():
        with contextlib.suppress(OSError):
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found[pid] = (
                    Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
    return found


def namespaces_of(pid: int) -> set[str]:
    """The namespaces of a process, as in /proc/PID/ns: mnt:[4026531841]."""
    return {str(Path(f"/proc/{pid}/ns/{kind}").readlink()) for kind in NAMESPACES}


def namespaces_below(init: int) -> set[str]:
    """The namespaces of every process that descends from `init`, without the host's."""
    ours = namespaces_of(os.getpid())
    found = set()
    for pid in _pids():
        with contextlib.suppress(OSError):
            if _descends(pid, init):
                found |= namespaces_of(pid)
    return found - ours


def namespaces_in(lab: Driver) -> set[str]:
    """Those of all that runs of the lab now."""
    return namespaces_below(lab.bubble().init) if lab.runs() else set()


def clock() -> int:
    """Now, in the kernel's ticks since boot, as processes' start times are told (proc_pid_stat(5))."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def alive(namespaces: set[str], *, older_than: int) -> dict[str, list[int]]:
    """Which of these namespaces some process is still in that started before a time of clock()."""
    found: dict[str, list[int]] = {}
    for pid in _pids():
        with contextlib.suppress(OSError):
            if int(_stat(pid)[19]) >= older_than:
                continue
            for each in namespaces & namespaces_of(pid):
                found.setdefault(each, []).append(pid)
    return found


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _descends(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        pid = int(_stat(pid)[1])
    return False


def _stat(pid: int) -> list[str]:
    """The fields of proc_pid_stat(5) from the third on, the state: 1 is the parent, 19 the start."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _ip(*words: str) -> list[Any]:
    said = run(["ip", "-json", *words], timeout=20).stdout.strip()
    listed: list[Any] = json.loads(said) if said else []
    return sorted(listed, key=str)


def _addresses() -> list[tuple[str, str]]:
    """Without life times, which run down."""
    return sorted(
        (link["ifname"], f"{address['local']}/{address['prefixlen']}")
        for link in _ip("address")
        for address in link["addr_info"]
    )


def _nft() -> str:
    """The rule set without counters, which count."""
    if not shutil.which("nft", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
        return "no nft here"
    return run(["nft", "--stateless", "list", "ruleset"], timeout=20, check=False).stdout


def _mounts() -> Iterator[str]:
    """Mount point and what is mounted there; ids change with nothing."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        yield f"{left.split()[4]} {right}"


def _cgroups(lab: str) -> Iterator[Path]:
    """Every cgroup folder that bears the lab's name."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.split()[0] in {"cgroup2", "cgroup"}:
            yield from (
                Path(folder) for folder, _, _ in os.walk(left.split()[4]) if lab in Path(folder).parts
            )


def _files(lab: str) -> Iterator[Path]:
    """What lies in the folder of labs and bears this lab's name, and whatever is new in the state's root.

    But for what is made once and stays for the next lab: on a fresh machine this one made it.
    """
    root = labs_root()
    yield from (path for path in state_root().glob("*") if path not in (image_store(), vm_images()))
    if root.is_dir():
        yield from (path for path in root.iterdir() if lab in path.name)


def _sockets(lab: str) -> Iterator[str]:
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        words = line.split(None, 7)
        if len(words) == 8 and f"/{lab}/" in words[7]:
            yield words[7]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return "not there"
