"""How commands reach a node: podman's client for containers, ssh with the lab's key for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labctl.places import LabPlaces
from labctl.storage.base import NONE, TARGET

if TYPE_CHECKING:
    from labctl.lab.model import Lab, NodeSpec


def remote(places: LabPlaces, *words: str) -> list[str]:
    """The host's podman as a client of the lab's service."""
    return ["podman", "--remote", "--url", f"unix://{places.socket}", *words]


def root_at(lab: Lab, node: NodeSpec) -> str:
    """Root at a node's address on the cluster's first link, as ssh takes it."""
    return f"root@{node.address(lab.cluster.links[0])}"


def ssh_options(places: LabPlaces, *, shared: bool = False) -> list[str]:
    """Options of ssh for the lab's nodes.

    shared: over one connection for a minute's commands, kept by a process of the bubble.
    """
    from labctl.cluster.secrets import ssh_key_file

    options = [
        "-i", str(ssh_key_file(places.secrets)),
        "-o", "IdentitiesOnly=yes",
        # A node that is made anew has new host keys, and nobody else can be at this address.
        "-o", "StrictHostKeyChecking=no",
        "-o", "UserKnownHostsFile=/dev/null",
        "-o", "LogLevel=ERROR",
        "-o", "ConnectTimeout=10",
    ]  # fmt: skip
    if shared:
        path = f"ControlPath={places.logs}/ssh-%h"  # logs are in no snapshot
        options += ["-o", "ControlMaster=auto", "-o", "ControlPersist=60", "-o", path]
        # A connection whose other end was locked out must not be taken for one that works.
        options += ["-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4", "-o", "BatchMode=yes"]
    return options


def is_target(lab: Lab, name: str) -> bool:
    """Whether the name is of the machine that serves the lab's disks."""
    return name == TARGET and lab.storage.driver != NONE
