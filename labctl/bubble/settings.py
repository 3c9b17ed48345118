"""What the host side tells a bubble's first process, as one JSON file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Forward:
    """A listener on 127.0.0.1 of the host: the first free port of first..last, to address:port inside."""

    first: int
    last: int
    address: str
    port: int


@dataclass(frozen=True)
class Bmc:
    """One node's IPMI address, as labctl.bmc.server.BmcSpec."""

    node: str
    address: str
    port: int
    user: str
    password: str


@dataclass(frozen=True)
class Bridge:
    """A network's bridge: its hardware address, and its address with prefix length.

    outside: it leads virtual machines out.  shared: containers hang on it.
    """

    name: str
    mac: str
    address: str
    outside: bool
    shared: bool


@dataclass(frozen=True)
class Settings:
    """Everything that a bubble's processes need; paths are absolute host paths.

    addresses: each node's, by which corosync's other members and iSCSI targets know it.
    storage: name of the driver that serves the shared disks, or none.
    subnets: the lab's own, never to be looked for outside.
    machines: names of those that are virtual machines.  libvirtd: for these; else empty.
    pace: how many times slower they are than under KVM.  wires: the folder of the sockets of machines in
    another libvirtd, and seen: the host's folder with that one's own; else both are empty.
    exports: what serves the disks of machines on another host, else empty.
    """

    lab: str
    root: str
    socket: str
    podman: list[str]
    environment: dict[str, str]
    outside: list[str]
    forwards: list[Forward]
    bmcs: list[Bmc]
    addresses: dict[str, list[str]]
    storage: str
    subnets: list[str]
    machines: list[str] = field(default_factory=list)
    bridges: list[Bridge] = field(default_factory=list)
    libvirtd: list[str] = field(default_factory=list)
    pace: float = 1.0
    wires: str = ""
    seen: str = ""
    exports: list[str] = field(default_factory=list)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, path: Path) -> Settings:
        raw: dict[str, Any] = json.loads(path.read_text())
        raw["forwards"] = [Forward(**item) for item in raw["forwards"]]
        raw["bmcs"] = [Bmc(**item) for item in raw["bmcs"]]
        raw["bridges"] = [Bridge(**item) for item in raw["bridges"]]
        return cls(**raw)


def made_for_libvirt(labs: Path) -> Path:
    """The file that names the host's folders that were made for libvirt's to be mounted on.

    labs: the folder of all labs; the last one of them takes those folders along.
    """
    return labs.parent / "vm" / "made"
