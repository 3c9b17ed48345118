"""From the model to a bubble: what its processes are told, and podman's own configuration."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import labctl
from labctl.bubble.settings import Bmc, Bridge, Forward, Settings
from labctl.engine import exports
from labctl.engine.base import Engine
from labctl.engine.container import bridge_name, mac
from labctl.engine.libvirt_host import socket_folder
from labctl.engine.podman import PodmanEngine, network_document
from labctl.errors import HostLacks
from labctl.host.limits import container_limits
from labctl.host.packages import find_program
from labctl.lab import machines
from labctl.lab.machines import Ground
from labctl.lab.model import Lab
from labctl.places import LabPlaces, write_whole

# Relative to /run inside the bubble, which is empty at every start: run-time state must not
# outlive the processes that it describes.
STORAGE_CONF = """\
[storage]
driver = "overlay"
runroot = "/run/containers/storage"
graphroot = "{graphroot}"
[storage.options]
additionalimagestores = ["{images}"]
"""
CONTAINERS_CONF = """\
[network]
network_backend = "netavark"
network_config_dir = "{networks}"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "/run/libpod"
[containers]
# Hosts without the pids controller refuse any limit but none.
pids_limit = 0
log_driver = "k8s-file"
"""
# libvirtd and virtqemud name their socket after themselves; unix_sock_dir moves it.
LIBVIRTD_CONF = """\
unix_sock_dir = "{folder}"
unix_sock_rw_perms = "0600"
unix_sock_ro_perms = "0600"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_level = 3
log_outputs = "3:stderr"
"""
# The bubble is the machines' confinement: it has no host files but the lab's, and no host devices.
QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
security_default_confined = 0
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
"""
# slirp4netns(1): user-mode networking, no route, address or rule on the host.
OUTSIDE = ("slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback", "1", "tap0")


def prepare(lab: Lab, places: LabPlaces, images: Path, ground: Ground | None = None) -> Settings:
    """Write the configuration of the lab's podman and libvirt; what the bubble is to be started with.

    ground: what its virtual machines are made of.  Raises HostLacks without a libvirtd for them.
    """
    places.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in (places.conf, places.logs, places.storage, places.networks):
        folder.mkdir(mode=0o700, exist_ok=True)
    storage, containers = places.conf / "storage.conf", places.conf / "containers.conf"
    storage.write_text(STORAGE_CONF.format(graphroot=places.storage, images=images))
    containers.write_text(CONTAINERS_CONF.format(networks=places.networks))
    if lab.has_containers:
        _write_networks(lab, places)
    return Settings(
        lab=lab.name,
        root=str(places.root),
        socket=str(places.socket),
        podman=["podman"],
        environment={
            **podman_environment(places),
            # The bubble's own Python processes import this very labctl, wherever it was started from.
            "PYTHONPATH": str(Path(labctl.__file__).resolve().parent.parent),
        },
        outside=list(OUTSIDE) if has_outside() else [],
        forwards=[
            Forward(*port.host_ports, str(node.address(lab.cluster.links[0])), port.port)
            for node in lab.nodes
            for port in node.ports
        ],
        bmcs=[
            Bmc(node.name, str(lab.bmc_address), node.bmc_port, lab.fencing.user, lab.fencing.password)
            for node in lab.nodes
        ],
        addresses={node.name: [str(leg.address) for leg in node.interfaces] for node in lab.nodes},
        storage=lab.storage.driver,
        subnets=[str(network.subnet) for network in lab.networks],
        machines=sorted(ground.names) if ground else [],
        bridges=_bridges(lab),
        libvirtd=_libvirtd(places) if ground and places.in_bubble else [],
        pace=ground.pace if ground else 1.0,
        wires="" if places.in_bubble else str(places.wires),
        seen="" if places.in_bubble else str(socket_folder(places.libvirt_address)),
        exports=_exports(places) if places.token else [],
    )


def _exports(places: LabPlaces) -> list[str]:
    """What serves the disks of machines on another host. Raises HostLacks."""
    program = find_program(exports.PROGRAM)
    if program is None:
        raise exports.lacking()
    places.remote.mkdir(mode=0o700, exist_ok=True)
    return exports.command(program, places)


def _write_networks(lab: Lab, places: LabPlaces) -> None:
    """podman's networks on the bubble's bridges, which machines use, too.

    As files: asked by its API, podman refuses a subnet that a bridge of the bubble has already.
    """
    for network in lab.networks:
        document = network_document(network)
        name = str(document["name"])
        document |= {"id": hashlib.sha256(name.encode()).hexdigest(), "ipv6_enabled": False}
        path = places.networks / f"{name}.json"
        if not path.exists():
            # In one step: podman passes over a file that an interrupted labctl left half written.
            write_whole(path, json.dumps(document, indent=1) + "\n")


def _bridges(lab: Lab) -> list[Bridge]:
    return [
        Bridge(
            bridge_name(network.name),
            mac("bridge", network.name),
            f"{network.bridge}/{network.subnet.prefixlen}",
            # Containers are led out by netavark.
            outside=lab.has_machines and not network.internal and has_outside(),
            shared=lab.has_containers,
        )
        for network in lab.networks
    ]


def _libvirtd(places: LabPlaces) -> list[str]:
    """The command of the lab's own libvirtd, and its configuration written. Raises HostLacks."""
    program = next(
        (found for name in ("libvirtd", "virtqemud") if (found := shutil.which(name, path=_path()))), None
    )
    if program is None:
        raise HostLacks("The host has no libvirtd.", mend="labctl doctor --fix")
    daemon = places.conf / "libvirtd.conf"
    daemon.write_text(LIBVIRTD_CONF.format(folder=places.root))
    qemu = places.libvirt / "etc-libvirt" / "qemu.conf"
    qemu.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    qemu.write_text(QEMU_CONF)
    return [program, "--config", str(daemon)]


def podman_environment(places: LabPlaces) -> dict[str, str]:
    """What makes any podman command line use the lab's storage and networks."""
    return {
        "CONTAINERS_CONF": str(places.conf / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(places.conf / "storage.conf"),
    }


def has_outside() -> bool:
    """Whether the host has a way out (a default route) and the program that shares it."""
    routes = Path("/proc/net/route").read_text().splitlines()[1:]
    default = any(line.split()[1] == "00000000" for line in routes)
    return default and shutil.which("slirp4netns", path=_path()) is not None


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def engine(lab: str, places: LabPlaces) -> Engine:
    """The lab's engine. The bubble must run for its calls to succeed. Raises BadFile."""
    ground = machines.load(places)
    containers = PodmanEngine(lab, places.socket, limits=container_limits())
    if ground is None:
        return containers
    from labctl.engine.libvirt import LibvirtEngine
    from labctl.engine.mixed import MixedEngine

    virtual = LibvirtEngine(places, ground.hardware)
    return virtual if ground.alone else MixedEngine(containers, virtual, ground.names)
