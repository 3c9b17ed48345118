"""A node's facts, parsed from the JSON document that labctl.probe.script prints.

A tool that is missing or a daemon that does not answer leaves its facts empty or None, and its
reason in `silent`; nothing here raises for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from labctl.probe.facts.cluster import ClusterView, FenceSetup, parse_cib, parse_crm_mon
from labctl.probe.facts.corosync import Corosync, parse_corosync
from labctl.probe.facts.storage import DiskSeen, SessionSeen, parse_disks, parse_sessions

FORMAT = 1


@dataclass(frozen=True)
class Unit:
    """A systemd unit; enabled is systemd's word ("enabled", "disabled", "static", ""); age in seconds."""

    name: str
    active: str
    sub: str
    enabled: str
    age: float = 0.0


@dataclass(frozen=True)
class Leg:
    """A network interface: its IPv4 addresses as "192.0.2.1/24"."""

    name: str
    up: bool
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class TimeSource:
    """A line of `chronyc sources`: state "*" is the selected one; reach is the octal register as a number."""

    address: str
    state: str
    stratum: int
    reach: int


@dataclass(frozen=True)
class Tracking:
    """`chronyc tracking`: reference "7F7F0101" is the node's own clock; offset in seconds."""

    reference: str
    address: str
    stratum: int
    offset: float
    leap: str


@dataclass(frozen=True)
class ProbeFailure:
    """Why there are no facts of a node. state: its machine's ("off", "missing", "frozen", "on") or ""."""

    node: str
    state: str
    reason: str


@dataclass(frozen=True)
class NodeFacts:
    """What the probe found in one node.

    started, ended: the node's clock in seconds since 1970, when the probe began and ended.
    clock: (least, most) seconds that the node's clock is ahead of labctl's; set by gather.
    units: by the name that was asked for, only those that are loaded.
    jobs: units that systemd is still starting or stopping (systemctl(1), list-jobs).
    names: name → its IPv4 addresses.  reach: address → whether it answered an echo.
    disk_free, disk_total: bytes of the root file system.  blocks: name → size in bytes.
    mounts: mount point → (type, source).  power: node → what its BMC said ("on", "off") when
    this node asked it, or the reason why there is no answer, after "no answer: ".
    outside: whether a name server outside answered, None when nobody asked.
    controller: the state of pacemaker-controld, "S_IDLE" only on a DC with nothing to do.
    cib: digest of the cluster's configuration without its status, "" when there is none.
    pcs_hosts, iscsi: None when there is no such file or tool.  silent: tool → why it said nothing.
    """

    hostname: str
    fqdn: str
    boot_id: str
    uptime: float
    started: float
    ended: float
    os: str = ""
    clock: tuple[float, float] = (0.0, 0.0)
    units: Mapping[str, Unit] = field(default_factory=dict)
    failed_units: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    legs: Mapping[str, Leg] = field(default_factory=dict)
    gateway: str = ""
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reach: Mapping[str, bool] = field(default_factory=dict)
    outside: bool | None = None
    disk_free: int = 0
    disk_total: int = 0
    blocks: Mapping[str, int] = field(default_factory=dict)
    mounts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    tracking: Tracking | None = None
    sources: tuple[TimeSource, ...] = ()
    corosync_conf: bool = False
    corosync: Corosync | None = None
    cluster: ClusterView | None = None
    controller: str = ""
    fencing: FenceSetup | None = None
    cib: str = ""
    pcs_hosts: tuple[str, ...] | None = None
    iscsi: tuple[str, ...] | None = None
    disks: Mapping[str, DiskSeen] = field(default_factory=dict)
    sessions: tuple[SessionSeen, ...] = ()
    power: Mapping[str, str] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)

    def unit(self, *names: str) -> Unit | None:
        """The first of these units that the node has: families name some differently."""
        return next((self.units[name] for name in names if name in self.units), None)


Facts: TypeAlias = Mapping[str, NodeFacts | ProbeFailure]


def parse_node(document: Mapping[str, Any], *, clock: tuple[float, float] = (0.0, 0.0)) -> NodeFacts:
    """Facts from the probe's document.

    Raises ValueError for a document of another format, KeyError or TypeError for one that is
    not the probe's at all; labctl.probe.gather turns these into a ProbeFailure.
    """
    if document["format"] != FORMAT:
        raise ValueError(f"the probe's format is {document['format']}, not {FORMAT}")
    commands: Mapping[str, Mapping[str, Any]] = document["commands"]
    out = {name: str(told["out"]) if told["rc"] is not None else "" for name, told in commands.items()}
    good = {name: text if commands[name]["rc"] == 0 else "" for name, text in out.items()}
    routes = [route for route in _documents(good.get("routes", "")) if route.get("dst") == "default"]
    corosync = parse_corosync(good.get("links", ""), out.get("quorum", ""), good.get("cmap", ""))
    return NodeFacts(
        hostname=str(document["hostname"]),
        fqdn=str(document["fqdn"]),
        boot_id=str(document["boot_id"]),
        uptime=float(document["uptime"]),
        started=float(document["started"]),
        ended=float(document["ended"]),
        os=_os_name(document["os"]),
        clock=clock,
        units=_units(out.get("units", ""), float(document["monotonic"])),
        failed_units=tuple(line.split()[0] for line in out.get("failed", "").splitlines() if line.split()),
        jobs=tuple(row[1] for row in map(str.split, out.get("jobs", "").splitlines()) if len(row) > 2),
        legs={leg.name: leg for leg in map(_leg, _documents(good.get("addresses", "")))},
        gateway=str(routes[0].get("gateway", "")) if routes else "",
        names={name: tuple(addresses) for name, addresses in document["names"].items()},
        reach=dict(document["reach"]),
        outside=document["outside"],
        disk_free=int(document["root"]["free"]),
        disk_total=int(document["root"]["total"]),
        blocks=_blocks(good.get("blocks", "")),
        mounts={point: (kind, source) for point, kind, source in document["mounts"]},
        tracking=_tracking(good.get("tracking", "")),
        sources=_sources(good.get("sources", "")),
        corosync_conf=bool(document["corosync_conf"]),
        corosync=corosync,
        cluster=parse_crm_mon(good.get("crm_mon", "")),
        controller=_controller(good.get("controller", "")),
        fencing=parse_cib(good.get("cib", "")),
        cib=hashlib.sha256(good["cib"].encode()).hexdigest()[:16] if good.get("cib") else "",
        pcs_hosts=None if document["pcs_hosts"] is None else tuple(document["pcs_hosts"]),
        iscsi=tuple(out["iscsi"].splitlines()) if commands.get("iscsi", {}).get("rc") is not None else None,
        disks=parse_disks(
            document.get("disks", ()),
            {name[5:]: _unread(told) for name, told in commands.items() if name.startswith("read:")},
        ),
        sessions=parse_sessions(document.get("sessions", ())),
        power={name[4:]: _power(commands[name]) for name in commands if name.startswith("bmc:")},
        silent={
            name: str(told["err"]).strip() or f"exit code {told['rc']}"
            for name, told in commands.items()
            if told["rc"] != 0
        },
    )


def _units(text: str, now: float) -> dict[str, Unit]:
    """Blocks of `systemctl show`; an alias such as sshd shows the unit it stands for."""
    units = {}
    for block in text.split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if values.get("LoadState") not in {"loaded", "masked"}:
            continue
        since = int(values.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
        name = values["Id"].removesuffix(".service")
        enabled = values.get("UnitFileState", "")
        age = max(0.0, now - since) if since else 0.0
        units[name] = Unit(name, values.get("ActiveState", ""), values.get("SubState", ""), enabled, age)
    return units


def _leg(item: Mapping[str, Any]) -> Leg:
    addresses = [
        f"{address['local']}/{address['prefixlen']}"
        for address in item.get("addr_info", ())
        if address.get("family") == "inet"
    ]
    return Leg(str(item.get("ifname", "")), "UP" in item.get("flags", ()), tuple(addresses))


def _blocks(text: str) -> dict[str, int]:
    try:
        devices = json.loads(text)["blockdevices"]
        # lsblk of util-linux before 2.33 writes numbers as strings.
        return {str(device["name"]): int(device["size"] or 0) for device in devices}
    except (ValueError, KeyError, TypeError):
        return {}


def _tracking(text: str) -> Tracking | None:
    """One line of commas: reference, its name, stratum, time, offset … leap status last."""
    fields = text.strip().split(",")
    if len(fields) < 14 or not fields[2].isdecimal():
        return None
    return Tracking(fields[0], fields[1], int(fields[2]), float(fields[4]), fields[13])


def _sources(text: str) -> tuple[TimeSource, ...]:
    """Lines of commas: mode, state, address, stratum, poll, reach (octal), …"""
    rows = [line.split(",") for line in text.splitlines()]
    rows = [row for row in rows if len(row) >= 6 and row[3].isdecimal() and row[5].isdecimal()]
    return tuple(TimeSource(row[2], row[1], int(row[3]), int(row[5], 8)) for row in rows)


def _controller(text: str) -> str:
    """'Controller on node1 in state S_IDLE: ok', or of older releases 'Status of crmd@node1: S_IDLE (ok)'."""
    return next((word for word in text.replace(":", " ").split() if word.startswith("S_")), "")


def _power(told: Mapping[str, Any]) -> str:
    answer = str(told["out"]).strip().lower()
    if told["rc"] == 0 and answer.startswith("chassis power is "):
        return answer.rpartition(" ")[2]
    reason = str(told["err"]).strip().splitlines()
    return f"no answer: {reason[-1] if reason else 'exit code ' + str(told['rc'])}"


def _unread(told: Mapping[str, Any]) -> str:
    """Why dd(1) could not read a block, "" when it could."""
    if told["rc"] == 0:
        return ""
    reason = str(told["err"]).strip().splitlines()
    return reason[0] if reason else f"exit code {told['rc']}"


def _os_name(lines: list[str]) -> str:
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    return values.get("PRETTY_NAME", values.get("ID", "")).strip('"')


def _documents(text: str) -> list[Mapping[str, Any]]:
    """The objects of a JSON array; none when it is not one."""
    try:
        found = json.loads(text) if text else []
    except ValueError:
        return []
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
