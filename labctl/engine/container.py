"""What podman is told to make: a node, or an appliance, as documents of libpod's SpecGenerator. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labctl.engine.base import Appliance

if TYPE_CHECKING:
    from labctl.lab.model import Lab, NodeSpec

LABEL_LAB = "labctl.lab"
LABEL_SPEC = "labctl.spec"
LABEL_APPLIANCE = "labctl.appliance"
SIGTERM = 15
SIGRTMIN_3 = 37  # systemd's orderly halt

Limits = Mapping[str, tuple[int, int]]


def of_node(name: str, lab: Lab, node: NodeSpec, image: str, limits: Limits) -> dict[str, Any]:
    """A node's container. name: the lab's own; limits: see PodmanEngine."""
    legs = {
        network_name(interface.network): {
            "static_ips": [str(interface.address)],
            "static_mac": mac(node.name, interface.name),
            "interface_name": interface.name,
        }
        for interface in node.interfaces
    }
    return {
        **_common(node.name, node.hostname, image, limits),
        "networks": legs,
        "mounts": _binds(()),
        "labels": {LABEL_LAB: name, LABEL_SPEC: node.spec_hash(lab)},
        "systemd": "always",
        "stop_signal": SIGRTMIN_3,
        # For a systemd container podman mounts a tmpfs here unless something else is: the journal
        # of a node that was fenced must still be there. Without a name it goes with the container.
        "volumes": [{"Dest": "/var/log/journal"}],
    }


def of_appliance(name: str, appliance: Appliance, image: str, limits: Limits) -> dict[str, Any]:
    """An appliance's container. name: the lab's."""
    leg = {
        "static_ips": [appliance.address],
        "static_mac": mac(appliance.name, "eth0"),
        "interface_name": "eth0",
    }
    return {
        **_common(appliance.name, appliance.hostname, image, limits),
        "networks": {network_name(appliance.network): leg},
        "mounts": _binds(appliance.mounts),
        "labels": {
            LABEL_LAB: name,
            LABEL_SPEC: appliance.spec_hash(image),
            LABEL_APPLIANCE: appliance.name,
        },
        "systemd": "false",
        "stop_signal": SIGTERM,
        "command": list(appliance.argv),
    }


def _common(name: str, hostname: str, image: str, limits: Limits) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "hostname": hostname,
        "privileged": True,
        "netns": {"nsmode": "bridge"},
        "use_image_hosts": True,
        "shm_size": 256 * 1024 * 1024,
        "r_limits": [{"type": kind, "soft": soft, "hard": hard} for kind, (soft, hard) in limits.items()],
        "env": {"container": "podman"},
        "restart_policy": "no",
    }


def _binds(folders: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """The kernel's settings read-only but for the node's own network, then these folders of the host."""
    binds = [("/proc/sys", "/proc/sys", "ro"), ("/proc/sys/net", "/proc/sys/net", "rw")]
    binds += [(source, inside, "rw") for source, inside in folders]
    return [
        {"type": "bind", "source": source, "destination": inside, "options": [mode, "bind"]}
        for source, inside, mode in binds
    ]


def bridge_name(network: str) -> str:
    """The bridge of a lab's network, in either mode; an interface's name has 15 characters at most."""
    return f"br-{network}"[:15]


def mac(machine: str, leg: str) -> str:
    """The address of a machine's card, in either mode: the same after every start, as a real one's is.

    Others know it by heart for half a minute (arp(7)): with a new one, nothing they send would arrive.
    QEMU's prefix, and three bytes that only need to differ within a lab.
    """
    digest = hashlib.sha256(f"{machine} {leg}".encode()).digest()
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in digest[:3])


def network_name(name: str) -> str:
    """podman's name for a lab's network: "default" alone would mean podman's own."""
    return f"lab-{name}"
