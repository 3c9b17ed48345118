"""What runs inside a node: one process that gathers everything the checks need.

labctl.probe.gather hands this file's source to the node's own `python3 -I -S -c`, so that the
probe is never of another version than the tool.  It therefore uses the standard library alone,
keeps to Python 3.9 (CentOS Stream 9) and starts its programs itself: this is the node's side,
where labctl.run does not exist.  It only looks; parsing is labctl.probe.facts' part.

Argument: one JSON document, see labctl.probe.gather.request.  Output: one JSON document.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

FORMAT = 1
COMMAND_TIMEOUT = 5.0
PING_TIMEOUT = 0.6  # kernels answer, on networks within one host
NAME_SERVER_TIMEOUT = 1.0
LONGEST_OUTPUT = 2_000_000
ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
UNIT_PROPERTIES = "Id,LoadState,ActiveState,SubState,UnitFileState,ActiveEnterTimestampMonotonic"
CMAP_KEYS = ("nodelist.", "totem.", "quorum.", "runtime.members.")


def commands(request: Mapping[str, Any]) -> dict[str, list[str]]:
    """Name → words of every program to start."""
    pace = request.get("pace", 1.0)
    found = {
        "units": ["systemctl", "show", f"--property={UNIT_PROPERTIES}", *request["units"]],
        "jobs": ["systemctl", "list-jobs", "--plain", "--no-legend"],
        "failed": ["systemctl", "list-units", "--failed", "--plain", "--no-legend"],
        "addresses": ["ip", "-j", "address"],
        "routes": ["ip", "-j", "-4", "route"],
        "blocks": ["lsblk", "-J", "-b", "-o", "NAME,TYPE,SIZE,MOUNTPOINT,SERIAL,WWN"],
        "tracking": ["chronyc", "-c", "tracking"],
        "sources": ["chronyc", "-c", "-n", "sources"],
        "links": ["corosync-cfgtool", "-s"],
        "quorum": ["corosync-quorumtool", "-s"],
        "cmap": ["corosync-cmapctl"],
        "crm_mon": ["crm_mon", "--output-as=xml", "-r"],
        "cib": ["cibadmin", "--query", "--scope=configuration"],
        "controller": ["crmadmin", f"--timeout={2 * pace:.0f}s", "-S", socket.gethostname()],
    }
    if os.path.isdir("/sys/class/iscsi_session"):  # noqa: PTH112 - pathlib would double the start-up time
        found["iscsi"] = ["iscsiadm", "-m", "session"]
    for disk in request["disks"]:
        if os.path.exists(f"/dev/{disk}"):  # noqa: PTH110
            # Read past every cache: a disk whose target is away must not look well.
            found[f"read:{disk}"] = [
                "dd",
                f"if=/dev/{disk}",
                "of=/dev/null",
                "bs=4096",
                "count=1",
                "iflag=direct",
            ]
    for bmc in request["bmcs"]:
        where = ["-I", "lanplus", "-H", bmc["address"], "-p", str(bmc["port"]), "-U", bmc["user"], "-E"]
        patience = ["-N", f"{pace:.0f}", "-R", "2"]
        found[f"bmc:{bmc['node']}"] = ["ipmitool", *where, *patience, "chassis", "power", "status"]
    return found


def run_all(
    programs: Mapping[str, Sequence[str]], environment: Mapping[str, str], timeout: float
) -> dict[str, dict[str, Any]]:
    """Start all programs at once; {"rc", "out", "err"} of each; rc None with a reason in err.

    Output goes to memory files: no pipe can fill up, no thread need read it.
    """
    deadline = time.monotonic() + timeout
    running: list[tuple[str, subprocess.Popen[bytes], int, int]] = []
    results: dict[str, dict[str, Any]] = {}
    for name, words in programs.items():
        out, err = os.memfd_create("out"), os.memfd_create("err")
        try:
            process = subprocess.Popen(
                list(words), stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=dict(environment), cwd="/"
            )
            running.append((name, process, out, err))
        except OSError as error:
            os.close(out)
            os.close(err)
            results[name] = {"rc": None, "out": "", "err": f"{words[0]}: {error.strerror}"}
    for name, process, out, err in running:
        try:
            rc = process.wait(max(0.01, deadline - time.monotonic()))
            results[name] = {"rc": rc, "out": _read(out), "err": _read(err)[-2000:]}
        except subprocess.TimeoutExpired:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
            os.close(out)
            os.close(err)
            results[name] = {"rc": None, "out": "", "err": f"no answer within {timeout:.0f} s"}
    return results


def ping(addresses: Sequence[str], timeout: float) -> dict[str, bool]:
    """Which addresses answer an ICMP echo (RFC 792); all are asked at once, twice at most.

    One raw socket instead of one ping(8) for each: 16 nodes with 3 networks have 720 pairs.
    """
    waiting, answered = set(addresses), {}
    mark = os.urandom(8)
    try:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    except OSError:
        return {}
    with raw:
        deadline = time.monotonic() + timeout
        for until in (deadline - timeout / 2, deadline):
            for address in sorted(waiting):
                try:
                    raw.sendto(_echo(mark), (address, 0))
                except OSError:
                    continue
            while waiting and (left := until - time.monotonic()) > 0:
                if not select.select([raw], [], [], left)[0]:
                    break
                packet, (sender, _) = raw.recvfrom(2048)
                header = (packet[0] & 15) * 4
                if packet[header] == 0 and packet[header + 8 :] == mark and sender in waiting:
                    waiting.discard(sender)
                    answered[sender] = True
    return {address: answered.get(address, False) for address in addresses}


def nameserver_answers(timeout: float, path: str = "/etc/resolv.conf", port: int = 53) -> bool | None:
    """Whether a name server of resolv.conf answers for the DNS root; None when none is named."""
    servers = [line.split()[1] for line in _lines(path) if line.split()[:1] == ["nameserver"] and "." in line]
    if not servers:
        return None
    number = os.urandom(2)
    # One question: the root's NS records (RFC 1035, 4.1).
    question = number + struct.pack(">HHHHH", 0x0100, 1, 0, 0, 0) + b"\0" + struct.pack(">HH", 2, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for server in servers[:3]:
            try:
                udp.sendto(question, (server, port))
            except OSError:
                continue
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0 and select.select([udp], [], [], left)[0]:
            try:
                answer = udp.recv(4096)
            except OSError:
                continue
            # Answered, and without an error code such as SERVFAIL.
            if answer[:2] == number and len(answer) > 4 and answer[3] & 15 == 0:
                return True
    return False


def resolve(names: Sequence[str]) -> dict[str, list[str]]:
    """The IPv4 addresses of each name as programs of the node see them; all are asked at once."""
    found: dict[str, list[str]] = {name: [] for name in names}

    def one(name: str) -> None:
        with contextlib.suppress(OSError):
            answers = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
            found[name] = sorted({str(answer[4][0]) for answer in answers})

    # A name that nobody knows takes as long as the name server does.
    threads = [threading.Thread(target=one, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def pcs_hosts(path: str = "/var/lib/pcsd/known-hosts") -> list[str] | None:
    """Names of the hosts that pcs knows; their tokens stay in the node."""
    try:
        return sorted(json.loads("\n".join(_lines(path)))["known_hosts"])
    except (ValueError, KeyError, TypeError):
        return None


def disks(names: Sequence[str]) -> list[dict[str, Any]]:
    """Those of these disks that the node has: name, size in bytes, and its wwn- link in /dev/disk/by-id."""
    links: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for entry in sorted(os.listdir("/dev/disk/by-id")):  # noqa: PTH208
            if entry.startswith("wwn-") and "-part" not in entry:
                leads_to = os.path.realpath(f"/dev/disk/by-id/{entry}")
                links[os.path.basename(leads_to)] = entry  # noqa: PTH119
    found = []
    for name in names:
        with contextlib.suppress(OSError):
            descriptor = os.open(f"/dev/{name}", os.O_RDONLY | os.O_NONBLOCK)
            try:
                size = os.lseek(descriptor, 0, os.SEEK_END)
            finally:
                os.close(descriptor)
            found.append({"name": name, "size": size, "wwn": links.get(name, "")})
    return found


def sessions(folder: str = "/run/labctl-iscsi/sessions") -> list[Any]:
    """What the user-space initiator says of its sessions, by its state files."""
    found = []
    with contextlib.suppress(OSError):
        for entry in sorted(os.listdir(folder)):  # noqa: PTH208
            if entry.endswith(".json"):
                with contextlib.suppress(ValueError):
                    found.append(json.loads("\n".join(_lines(f"{folder}/{entry}"))))
    return found


def look(request: Mapping[str, Any]) -> dict[str, Any]:
    """The whole document."""
    pace = request.get("pace", 1.0)  # a slow machine's tools get longer
    # First of all: gather narrows the node's clock down between its own two readings.
    started = time.time()
    side: dict[str, Any] = {"reach": {}, "names": {}, "outside": None, "fqdn": ""}
    patience = NAME_SERVER_TIMEOUT * pace
    threads = [
        threading.Thread(target=lambda: side.update(reach=ping(request["ping"], PING_TIMEOUT * pace))),
        # Beside the programs, since a name server may have to be waited for.
        threading.Thread(target=lambda: side.update(names=resolve(request["names"]))),
        threading.Thread(target=lambda: side.update(fqdn=socket.getfqdn())),
    ]
    if request["outside"]:
        threads.append(threading.Thread(target=lambda: side.update(outside=nameserver_answers(patience))))
    for thread in threads:
        thread.start()
    bmc_password = request["bmcs"][0]["password"] if request["bmcs"] else ""
    environment = {**ENVIRONMENT, "IPMI_PASSWORD": bmc_password}
    outputs = run_all(commands(request), environment, COMMAND_TIMEOUT * pace)
    if "cmap" in outputs:
        kept = [line for line in outputs["cmap"]["out"].splitlines() if line.startswith(CMAP_KEYS)]
        outputs["cmap"]["out"] = "\n".join(kept)
    root = os.statvfs("/")
    document = {
        "format": FORMAT,
        "hostname": socket.gethostname(),
        "boot_id": "".join(_lines("/proc/sys/kernel/random/boot_id")),
        "uptime": _age_of_pid1(),
        "monotonic": time.clock_gettime(time.CLOCK_MONOTONIC),
        "os": _lines("/etc/os-release"),
        "mounts": _mounts(),
        "root": {"total": root.f_blocks * root.f_frsize, "free": root.f_bavail * root.f_frsize},
        "pcs_hosts": pcs_hosts(),
        "disks": disks(request["disks"]),
        "sessions": sessions(),
        "corosync_conf": os.path.exists("/etc/corosync/corosync.conf"),  # noqa: PTH110
        "commands": outputs,
    }
    for thread in threads:
        thread.join(2 * patience)
    return {**document, **side, "started": started, "ended": time.time()}


def _age_of_pid1() -> float:
    """Seconds since the node booted: /proc/uptime is the host's in a container (proc(5), starttime)."""
    fields = "".join(_lines("/proc/1/stat")).rpartition(")")[2].split()
    uptime = float("".join(_lines("/proc/uptime")).split()[0])
    return round(uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK"), 2)


def _echo(mark: bytes) -> bytes:
    body = struct.pack(">HH", os.getpid() & 0xFFFF, 1) + mark
    words = sum(struct.unpack(f">{len(body) // 2}H", body)) + 0x0800
    words = (words >> 16) + (words & 0xFFFF)
    return struct.pack(">BBH", 8, 0, ~(words + (words >> 16)) & 0xFFFF) + body


def _mounts() -> list[list[str]]:
    """[mount point, type, source] of every mount (proc(5), mountinfo)."""
    halves = [line.split(" - ") for line in _lines("/proc/self/mountinfo") if " - " in line]
    return [[before.split()[4], *after.split()[:2]] for before, after, *_ in halves]


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read().splitlines()
    except OSError:
        return []


def _read(descriptor: int) -> str:
    try:
        return os.pread(descriptor, LONGEST_OUTPUT, 0).decode("utf-8", "replace")
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(look(json.loads(sys.argv[1]))))
    sys.stdout.flush()
    # A thread that still waits must not hold up the answer.
    os._exit(0)
