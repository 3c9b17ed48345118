"""What a lab is: nodes, networks, cluster, storage, fencing.  Frozen; made by labctl.lab.load.

Sizes are whole MiB, addresses are ipaddress objects, sequences are tuples.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated

from pydantic import Field

from labctl.errors import UsageError
from labctl.lab.sections import (
    MAX_NODES,
    MIN_NODES,
    Chap,
    Cluster,
    Credentials,
    Disk,
    Family,
    Fencing,
    Frozen,
    Mode,
    Scale,
    Storage,
    Time,
    Vips,
    Vm,
)
from labctl.lab.values import Address, HostName, InterfaceName, Iqn, NodeName, Port, Subnet

__all__ = [
    "MAX_NODES",
    "MIN_NODES",
    "Chap",
    "Cluster",
    "Credentials",
    "Disk",
    "Family",
    "Fencing",
    "Interface",
    "Lab",
    "Mode",
    "Network",
    "NodeSpec",
    "PortForward",
    "Scale",
    "Storage",
    "Time",
    "Vips",
    "Vm",
    "nearest",
    "resized",
]


class Network(Frozen):
    """A network of the lab; internal ones have no way out."""

    name: str
    subnet: Subnet
    gateway: Address | None
    internal: bool

    @property
    def bridge(self) -> IPv4Address:
        """The address that the bridge takes: the gateway, or the subnet's first."""
        return self.gateway or self.subnet[1]


class Interface(Frozen):
    """A node's leg in one network."""

    network: str
    name: InterfaceName
    address: Address


class PortForward(Frozen):
    """The first free port of host_ports (first, last) on host_ip leads to the node's port."""

    host_ip: Address
    host_ports: tuple[Port, Port]
    port: Port


class NodeSpec(Frozen):
    """One node; interfaces are in the order of their names."""

    name: NodeName
    hostname: HostName
    index: Annotated[int, Field(ge=1)]
    mode: Mode
    interfaces: tuple[Interface, ...]
    aliases: tuple[NodeName, ...]
    ports: tuple[PortForward, ...]
    initiator: Iqn
    bmc_port: Port
    memory_mib: int
    cpus: int

    def address(self, network: str) -> IPv4Address:
        """The node's address in a network; UsageError when it has none there."""
        for interface in self.interfaces:
            if interface.network == network:
                return interface.address
        raise _unknown(f"network of {self.name}", network, [leg.network for leg in self.interfaces])

    def spec_hash(self, lab: Lab) -> str:
        """16 hex digits over all that, when changed, asks for the machine to be made anew.

        Family counts as lab.family says it: resolve "auto" before comparing.  Names in
        /etc/hosts, passwords, forwarded ports, BMC ports and initiator names are left out:
        they are put into, or beside, a machine that stays.
        """
        networks = [lab.network(leg.network) for leg in self.interfaces]
        facts: dict[str, object] = {
            "name": self.name,
            "hostname": self.hostname,
            "mode": self.mode,
            "family": lab.family,
            "interfaces": [leg.model_dump(mode="json") for leg in self.interfaces],
            "networks": [network.model_dump(mode="json") for network in networks],
            "vm": [self.memory_mib, self.cpus] if self.mode == "vm" else None,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


class Lab(Frozen):
    """A whole lab.  source: the main file it was read from."""

    name: str
    source: Path | None
    family: Family
    nodes: tuple[NodeSpec, ...]
    networks: tuple[Network, ...]
    cluster: Cluster
    credentials: Credentials
    fencing: Fencing
    vips: Vips
    storage: Storage
    time: Time
    vm: Vm
    scale: Scale = Scale()

    @property
    def bmc_address(self) -> IPv4Address:
        """Where the nodes' BMCs listen."""
        return self.network(self.fencing.network).bridge

    @property
    def has_machines(self) -> bool:
        """Whether any node is a virtual machine; the target is one, too, then."""
        return any(node.mode == "vm" for node in self.nodes)

    @property
    def has_containers(self) -> bool:
        """Whether any node is a container; beside machines it is a mixed lab."""
        return any(node.mode == "container" for node in self.nodes)

    def node(self, name: str) -> NodeSpec:
        """A node by short or full name; UsageError names the nearest and lists all."""
        for node in self.nodes:
            if name in (node.name, node.hostname):
                return node
        raise _unknown("node", name, [node.name for node in self.nodes])

    def network(self, name: str) -> Network:
        """A network by name; UsageError names the nearest and lists all."""
        for network in self.networks:
            if network.name == name:
                return network
        raise _unknown("network", name, [network.name for network in self.networks])

    def hosts_table(self) -> str:
        """/etc/hosts of every node: names lead to the cluster's first link, so corosync binds there."""
        lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
        for node in self.nodes:
            names = dict.fromkeys((node.hostname, node.name, *node.aliases))
            lines.append(f"{node.address(self.cluster.links[0])} {' '.join(names)}")
        return "\n".join(lines) + "\n"

    def with_mode(self, mode: Mode) -> Lab:
        """The same lab with every node a container, or every node a VM."""
        return self.model_copy(
            update={"nodes": tuple(node.model_copy(update={"mode": mode}) for node in self.nodes)}
        )


def resized(lab: Lab, count: int) -> Lab:
    """The lab with its first `count` nodes, or with nodes added after its last.

    Aliases and the time service of a node that goes fall to the last that stays.
    Raises UsageError outside 2 to scale.max, or when the subnets have no room.
    """
    if not MIN_NODES <= count <= lab.scale.max:
        raise UsageError(
            f"A lab has {MIN_NODES} to {lab.scale.max} nodes, not {count}.",
            mend=f"labctl up --nodes {min(max(count, MIN_NODES), lab.scale.max)}",
        )
    kept, cut = list(lab.nodes[:count]), lab.nodes[count:]
    last = kept[-1]
    if cut:
        inherited = tuple(alias for node in cut for alias in node.aliases)
        kept[-1] = last.model_copy(update={"aliases": last.aliases + inherited})
    while len(kept) < count:
        kept.append(_next_node(lab, kept, last))
    time = Time(server=last.name) if lab.time.server in {node.name for node in cut} else lab.time
    return lab.model_copy(update={"nodes": tuple(kept), "time": time})


def _next_node(lab: Lab, nodes: list[NodeSpec], template: NodeSpec) -> NodeSpec:
    """One more node after the given ones, like `template`, at the next free addresses."""
    index = len(nodes) + 1
    name = f"node{index}"
    taken_names = {word for node in nodes for word in (node.name, *node.aliases)}
    if name in taken_names:
        raise UsageError(f"A node cannot be added: the name {name} is taken.")
    bmc_port = lab.fencing.first_port + index - 1
    if bmc_port > 65535:
        raise UsageError(f"{name} cannot be added: its BMC port would be {bmc_port}.")
    domain = template.hostname.partition(".")[2]
    return template.model_copy(
        update={
            "name": name,
            "hostname": f"{name}.{domain}" if domain else name,
            "index": index,
            "interfaces": tuple(_next_leg(lab, nodes, leg, name) for leg in template.interfaces),
            "aliases": (),
            "ports": (),
            "initiator": lab.storage.initiator.replace("{node}", name),
            "bmc_port": bmc_port,
        }
    )


def _next_leg(lab: Lab, nodes: list[NodeSpec], leg: Interface, name: str) -> Interface:
    """The leg's network at the last node's address there plus the step, past any taken address."""
    network = lab.network(leg.network)
    taken = {other.address for node in nodes for other in node.interfaces}
    taken |= {lab.vips.nfs, lab.vips.web, lab.vips.mariadb, lab.vips.web_exercise}
    taken |= {lab.storage.address, network.bridge}
    candidate = int(nodes[-1].address(leg.network)) + lab.scale.address_step
    while candidate < int(network.subnet.broadcast_address):
        if IPv4Address(candidate) not in taken:
            return leg.model_copy(update={"address": IPv4Address(candidate)})
        candidate += lab.scale.address_step
    raise UsageError(
        f"{name} cannot be added: the subnet {network.subnet} of {network.name} has no free address left "
        f"in steps of {lab.scale.address_step}.",
        mend="a smaller x-lab.scale.address_step or a larger subnet in the lab's file",
    )


def nearest(word: str, known: Iterable[str]) -> str:
    """' (did you mean X?)' for the known word that is near, or nothing."""
    close = difflib.get_close_matches(word[:200], list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""


def _unknown(kind: str, name: str, known: list[str]) -> UsageError:
    return UsageError(
        f"There is no {kind} {name!r}{nearest(name, known)}.", details=f"There are: {', '.join(known)}"
    )
