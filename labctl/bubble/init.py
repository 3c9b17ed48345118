"""PID 1 of a lab's bubble.

unshare(1) starts it in a mount and a PID namespace of its own.  It makes the rest
of the bubble (cgroup and network namespace, private /run), starts the lab's
services, and reaps orphans.  When it ends, however it ends, the kernel ends every
process of the lab and drops every mount, link and rule with the namespaces.

Run as: python -m labctl.bubble.init SETTINGS.json
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Sequence
from ipaddress import ip_interface
from pathlib import Path

from labctl.bubble import kernel
from labctl.bubble.forward import listen
from labctl.bubble.settings import Bridge, Forward, Settings, made_for_libvirt
from labctl.errors import LabError
from labctl.places import write_whole
from labctl.run import run, spawn

log = logging.getLogger("labctl.bubble")

CGROUP = Path("/sys/fs/cgroup")
RESTARTS_PER_MINUTE = 5
ESSENTIAL = frozenset({"podman", "labd", "libvirtd", "wires", "exports"})
LIBVIRT_ACCOUNTS = ("libvirt-qemu",)  # Debian's; in other families they come with QEMU
LIBVIRT_FOLDERS = ("etc/libvirt", "var/lib/libvirt", "var/cache/libvirt", "var/log/libvirt")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "fuse", "net/tun")


def main() -> int:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    settings_file = Path(sys.argv[1])
    settings = Settings.load(settings_file)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        enter_cgroup(settings.lab)
        private_run(settings)
        private_dev((*DEVICES, "kvm") if settings.libvirtd else DEVICES)
        if settings.libvirtd:
            private_libvirt(Path(settings.root) / "libvirt")
            own_accounts(Path(settings.root) / "libvirt")
        listeners = [(forward, listen(forward.first, forward.last)) for forward in settings.forwards]
        host_network = os.open("/proc/self/ns/net", os.O_RDONLY)
        own_network(settings.subnets)
        for bridge in settings.bridges:
            make_bridge(bridge)
        # Nodes are root on machines of their own, but the clock, the modules, the log and the
        # raw memory are the host's.
        kernel.drop_capabilities(kernel.CAPABILITIES)
    except Exception as error:  # noqa: BLE001 (PID 1 has nobody above it; the host side shows this)
        log.error("bubble: %s", error)
        if isinstance(error, LabError) and error.mend:
            tell(settings, {"error": error.message, "mend": error.mend})
        else:
            tell(settings, {"error": str(error)})
        return 1
    services = Services(settings, settings_file, listeners, host_network)
    services.start_all()
    tell(
        settings,
        {"forwards": [[at.getsockname()[1], f.first, f.address, f.port] for f, at in listeners]},
    )
    return services.reap()


def tell(settings: Settings, what: dict[str, object]) -> None:
    """Tell the host side how it went, atomically."""
    write_whole(Path(settings.root) / "ready.json", json.dumps(what))


def enter_cgroup(lab: str) -> None:
    """Mount a cgroup v2 tree of our own and make labctl/LAB its root.

    A fresh mount is what makes hosts with hybrid cgroups work: they have v2, only
    not at /sys/fs/cgroup.  Nodes then live below our root and go with it.
    """
    if run(["umount", "-R", str(CGROUP)], timeout=10, check=False).rc != 0:
        run(["umount", "-l", str(CGROUP)], timeout=10, check=False)
    run(["mount", "-t", "cgroup2", "cgroup2", str(CGROUP)], timeout=10)
    ours = CGROUP / "labctl" / lab
    ours.mkdir(parents=True, exist_ok=True)
    (ours / "cgroup.procs").write_text("0")
    kernel.unshare(kernel.CLONE_NEWCGROUP)
    run(["umount", str(CGROUP)], timeout=10)
    run(["mount", "-t", "cgroup2", "cgroup2", str(CGROUP)], timeout=10)
    # cgroup v2 wants processes in leaves only, or no child could have controllers.
    (CGROUP / "init").mkdir(exist_ok=True)
    (CGROUP / "init" / "cgroup.procs").write_text("0")


def private_run(settings: Settings) -> None:
    """Give podman, crun and netavark an empty /run, as after a boot, and our resolver.

    Their run-time state must not survive the bubble: the processes it speaks of do not.
    """
    resolver = Path(os.path.realpath("/etc/resolv.conf"))
    content = "nameserver 10.0.2.3\n" if settings.outside else "# this lab has no outside\n"
    seen = Path(os.path.realpath(settings.seen)) if settings.seen else Path("/")
    before = os.open(seen, os.O_PATH)
    run(["mount", "-t", "tmpfs", "-o", "mode=0755,size=256m", "labctl", "/run"], timeout=10)
    Path("/run/lock").mkdir()
    if seen.is_relative_to("/run"):
        # The libvirtd that the machines are in is the host's; the daemon asks it for their power.
        seen.mkdir(parents=True)
        run(
            ["mount", "--no-canonicalize", "--bind", f"/proc/self/fd/{before}", str(seen)],
            timeout=10,
            pass_fds=[before],
        )
    os.close(before)
    if resolver.is_relative_to("/run"):
        resolver.parent.mkdir(parents=True, exist_ok=True)
        resolver.write_text(content)
        return
    ours = Path(settings.root) / "conf" / "resolv.conf"
    ours.write_text(content)
    if resolver.exists():
        run(["mount", "--bind", str(ours), str(resolver)], timeout=10)


def private_dev(devices: Sequence[str]) -> None:
    """A /dev that holds only what a node may have: no disk, no terminal of the host's.

    Privileged containers get every device node they can see; these are all there are.
    """
    kept = {}
    for name in devices:
        with contextlib.suppress(OSError):
            about = Path("/dev", name).stat()
            kept[name] = (about.st_mode, about.st_rdev)
    run(["mount", "-t", "tmpfs", "-o", "mode=0755,size=1m", "labctl", "/dev"], timeout=10)
    mask = os.umask(0)
    for name, (mode, number) in kept.items():
        path = Path("/dev", name)
        path.parent.mkdir(exist_ok=True)
        os.mknod(path, mode, number)
    os.umask(mask)
    for name, target in {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}.items():
        Path("/dev", name).symlink_to(target)
    Path("/dev/pts").mkdir()
    terminals = "newinstance,ptmxmode=0666,mode=620,gid=5"
    run(["mount", "-t", "devpts", "-o", terminals, "devpts", "/dev/pts"], timeout=10)
    Path("/dev/ptmx").symlink_to("pts/ptmx")
    shared = Path("/dev", "shm")
    shared.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "mode=1777", "shm", str(shared)], timeout=10)


def private_libvirt(folder: Path) -> None:
    """Put the lab's own folders where libvirt looks: it never sees the host's machines, nor they it."""
    for name in LIBVIRT_FOLDERS:
        ours, place = folder / name.replace("/", "-"), Path("/", name)
        ours.mkdir(mode=0o755, parents=True, exist_ok=True)
        if not place.is_dir():
            place.mkdir(mode=0o755)
            with made_for_libvirt(folder.parents[1]).open("a") as made:  # labctl.lab.down removes it
                made.write(f"{place}\n")
        run(["mount", "--bind", str(ours), str(place)], timeout=10)


def own_accounts(folder: Path) -> None:
    """The accounts that libvirt insists on at its start, though our machines run as root (qemu.conf).

    Debian makes them in libvirt-daemon-system, which would also start a libvirtd of the host's.
    """
    fields = {"passwd": ":x:64055:64055::/nonexistent:/usr/sbin/nologin", "group": ":x:64055:"}
    for name, rest in fields.items():
        known = Path("/etc", name).read_text()
        missing = [user for user in LIBVIRT_ACCOUNTS if not re.search(rf"(?m)^{user}:", known)]
        if missing:
            ours = folder / name
            ours.write_text(known + "".join(f"{user}{rest}\n" for user in missing))
            ours.chmod(0o644)
            run(["mount", "--bind", str(ours), f"/etc/{name}"], timeout=10)


def make_bridge(bridge: Bridge) -> None:
    """A bridge without a spanning tree, which would keep a new port silent for half a minute.

    Its hardware address stays: left to itself a bridge takes that of one of its ports, so when that node's
    power was cut, no other node reached its BMC before its ARP cache forgot the old one (arp(7)).
    Outgoing packets take the address of the lab's own way out (iptables(8), MASQUERADE).
    """
    words = ["ip", "link", "add", bridge.name, "address", bridge.mac, "type", "bridge", "stp_state", "0"]
    run(words, timeout=10)
    run(["ip", "address", "add", bridge.address, "dev", bridge.name], timeout=10)
    run(["ip", "link", "set", bridge.name, "up"], timeout=10)
    if bridge.shared:
        # netavark removes a bridge with its last port; this one stays.
        port = f"keep-{bridge.name.removeprefix('br-')}"[:15]
        run(["ip", "link", "add", port, "type", "veth", "peer", "name", f"{port[:13]}-p"], timeout=10)
        run(["ip", "link", "set", port, "master", bridge.name, "up"], timeout=10)
    if bridge.outside:
        inside = str(ip_interface(bridge.address).network)
        # fmt: off
        run(["iptables", "-t", "nat", "-A", "POSTROUTING", "-s", inside, "!", "-d", inside,
             "-j", "MASQUERADE"], timeout=10)
        # fmt: on


def own_network(subnets: list[str]) -> None:
    """A network namespace of our own, with loopback up and no way out for the lab's own addresses.

    Until a bridge has its address, a packet for a node would else follow the default route and
    reach whoever has that address on the host's own network.
    """
    kernel.unshare(kernel.CLONE_NEWNET)
    run(["ip", "link", "set", "lo", "up"], timeout=10)
    for subnet in subnets:
        run(["ip", "route", "add", "unreachable", subnet, "metric", "4294967295"], timeout=10)
    for name, value in {
        "net/ipv4/ip_forward": "1",
        # BMCs bind the bridge's address before the first node makes the bridge.
        "net/ipv4/ip_nonlocal_bind": "1",
    }.items():
        Path("/proc/sys", name).write_text(value)


class Services:
    """Starts the lab's services, starts again what dies, reaps what nobody waits for."""

    def __init__(
        self,
        settings: Settings,
        settings_file: Path,
        listeners: list[tuple[Forward, socket.socket]],
        host_network: int,
    ) -> None:
        logs = Path(settings.root) / "log"
        fds = [at.fileno() for _, at in listeners]
        environment = settings.environment
        self._commands: dict[str, tuple[list[str], Path, list[int]]] = {
            "podman": (
                [*settings.podman, "system", "service", "--time", "0", f"unix://{settings.socket}"],
                logs / "podman.log",
                [],
            ),
            "labd": (
                [
                    sys.executable,
                    "-m",
                    "labctl.bubble.labd",
                    str(settings_file),
                    str(host_network),
                    *(str(fd) for fd in fds),
                ],
                logs / "labd.log",
                [host_network, *fds],
            ),
        }
        if settings.outside:
            self._commands["outside"] = (
                ["nsenter", f"--net=/proc/self/fd/{host_network}", "--", *settings.outside],
                logs / "outside.log",
                [host_network],
            )
        if settings.wires:
            words = [sys.executable, "-m", "labctl.bubble.wires", settings.wires]
            self._commands["wires"] = (words, logs / "wires.log", [])
        if settings.exports:
            self._commands["exports"] = (settings.exports, logs / "exports.log", [])
        if settings.libvirtd:
            self._commands["libvirtd"] = (settings.libvirtd, logs / "libvirtd.log", [])
        self._environment = environment
        self._running: dict[int, str] = {}
        self._started: dict[str, list[float]] = {}

    def start_all(self) -> None:
        for name in self._commands:
            self._start(name)

    def _start(self, name: str) -> None:
        argv, log_file, fds = self._commands[name]
        process = spawn(argv, log_file=log_file, env=self._environment, pass_fds=fds)
        # PID 1 reaps everything itself; Popen must not wait for this child a second time.
        process.returncode = 0
        self._running[process.pid] = name
        self._started.setdefault(name, []).append(time.monotonic())
        log.info("started %s (%d)", name, process.pid)

    def reap(self) -> int:
        """Wait for children for ever. Ends only when a service cannot be kept up."""
        while True:
            try:
                pid, status = os.wait()
            except ChildProcessError:
                return 1
            name = self._running.pop(pid, "")
            if not name:
                continue
            log.info("%s ended with status %d", name, status)
            recent = [at for at in self._started[name] if at > time.monotonic() - 60]
            if len(recent) >= RESTARTS_PER_MINUTE:
                if name not in ESSENTIAL:
                    log.error("%s ended %d times within a minute; the lab goes on without", name, len(recent))
                    continue
                log.error("%s ended %d times within a minute; the lab ends", name, len(recent))
                return 1
            self._start(name)


if __name__ == "__main__":
    sys.exit(main())
