"""From the model to a bubble: what its processes are told, and podman's own configuration."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import labctl
from labctl.bubble.settings import Bmc, Forward, Settings
from labctl.engine.podman import PodmanEngine
from labctl.host.limits import container_limits
from labctl.lab.model import Lab
from labctl.places import LabPlaces

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
# slirp4netns(1): user-mode networking, no route, address or rule on the host.
OUTSIDE = ("slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback", "1", "tap0")


def prepare(lab: Lab, places: LabPlaces, images: Path) -> Settings:
    """Write the lab's podman configuration; what the bubble is to be started with."""
    places.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in (places.conf, places.logs, places.storage, places.networks):
        folder.mkdir(mode=0o700, exist_ok=True)
    storage, containers = places.conf / "storage.conf", places.conf / "containers.conf"
    storage.write_text(STORAGE_CONF.format(graphroot=places.storage, images=images))
    containers.write_text(CONTAINERS_CONF.format(networks=places.networks))
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
    )


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


def engine(lab: str, places: LabPlaces) -> PodmanEngine:
    """The lab's engine. The bubble must run for its calls to succeed."""
    return PodmanEngine(lab, places.socket, limits=container_limits())
