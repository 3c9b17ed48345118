"""What no single value of a lab's file can tell: clashes and names that lead nowhere.

Works on as much of the file as could be read, so that one mistake does not hide another.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from ipaddress import IPv4Address, IPv4Network

from labctl.lab.file.form import ComposePart, PortForm
from labctl.lab.file.yaml_tree import Data, Mistake, Where
from labctl.lab.model import nearest
from labctl.lab.sections import MAX_NODES, MIN_NODES

MAX_NETWORKS = 16

Path = tuple[str | int, ...]
Finding = tuple[Path, str, str]


def crosscheck(form: ComposePart, data: Data, locate: Callable[[Path], Where]) -> list[Mistake]:
    """All clashes in a file.

    form: as much of it as could be read.  data: all of it, for the names that it defines.
    locate: from a key path to its place.
    """
    nodes, networks = keys_at(data, "services"), keys_at(data, "networks")
    findings = [
        *_count(nodes, networks),
        *_extensions(data, nodes),
        *_names(form),
        *_legs(form, networks),
        *_subnets(form),
        *_addresses(form),
        *_references(form, networks, data),
        *_time(form, nodes),
        *_ports(form),
        *_fencing(form, nodes),
        *_disks(form),
        *_chap(form),
    ]
    return [Mistake(locate(path), path, code, text) for path, code, text in findings]


def keys_at(data: Data, *path: str | int) -> tuple[str, ...]:
    """The keys of the mapping, or the words of the list, at a path."""
    for part in path:
        if isinstance(data, dict) and isinstance(part, str):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return ()
    return tuple(str(key) for key in data) if isinstance(data, dict | list) else ()


def _count(nodes: Collection[str], networks: Collection[str]) -> Iterator[Finding]:
    if len(networks) > MAX_NETWORKS:
        text = f"a lab has at most {MAX_NETWORKS} networks, here are {len(networks)}"
        yield ("networks",), "network-count", text
    if not MIN_NODES <= len(nodes) <= MAX_NODES:
        yield (
            ("services",),
            "node-count",
            f"a lab has {MIN_NODES} to {MAX_NODES} nodes, here are {len(nodes)}",
        )


def _extensions(data: Data, nodes: Collection[str]) -> Iterator[Finding]:
    """Any x- key may stand there, so a slip in x-lab would go by unseen."""
    places: list[tuple[str, ...]] = [(), *(("services", node) for node in nodes)]
    for place in places:
        for key in keys_at(data, *place):
            if key != "x-lab" and key.startswith("x-") and sorted(key) == sorted("x-lab"):
                yield (*place, key), "unknown-key", "unknown key (did you mean x-lab?)"


def _names(form: ComposePart) -> Iterator[Finding]:
    seen = {"localhost": "every node's own name"}
    for name, service in form.services.items():
        path: Path = ("services", name)
        if service.hostname.partition(".")[0] != name:
            yield (*path, "hostname"), "host-name", f"must begin with the service's name: {name}.example.com"
        words = dict.fromkeys((name, service.hostname))
        for word, place in [(word, path) for word in words] + [
            (alias, (*path, "x-lab", "aliases")) for alias in service.x_lab.aliases
        ]:
            if word in seen:
                yield place, "duplicate-name", f"the name {word} is taken: {seen[word]}"
            seen.setdefault(word, f"services.{name}")


def _legs(form: ComposePart, networks: Collection[str]) -> Iterator[Finding]:
    for name, service in form.services.items():
        names: dict[str, str] = {}
        for network, leg in service.networks.items():
            path: Path = ("services", name, "networks", network)
            if network not in networks:
                yield path, "unknown-network", f"there is no such network{nearest(network, networks)}"
            if leg.interface_name in names:
                text = f"{leg.interface_name} is the interface in {names[leg.interface_name]}, too"
                yield (*path, "interface_name"), "duplicate-interface", text
            names[leg.interface_name] = network


def _subnets(form: ComposePart) -> Iterator[Finding]:
    seen: dict[str, IPv4Network] = {}
    for name, network in list(form.networks.items())[:MAX_NETWORKS]:
        subnet = network.ipam.config[0].subnet
        for other, taken in seen.items():
            if subnet.overlaps(taken):
                path: Path = ("networks", name, "ipam", "config", 0, "subnet")
                yield path, "subnet-overlap", f"{subnet} overlaps {taken} of {other}"
        seen[name] = subnet


def _claims(form: ComposePart) -> Iterator[tuple[Path, str, IPv4Address]]:
    """Every address the file gives away: its path, its network, itself."""
    for name, network in form.networks.items():
        gateway = network.ipam.config[0].gateway
        if gateway is not None:
            yield ("networks", name, "ipam", "config", 0, "gateway"), name, gateway
    for name, service in form.services.items():
        for leg_name, leg in service.networks.items():
            yield ("services", name, "networks", leg_name, "ipv4_address"), leg_name, leg.ipv4_address
    lab = form.x_lab
    if lab.vips is not None and lab.cluster is not None:
        for vip, address in lab.vips:
            yield ("x-lab", "vips", vip), lab.cluster.links[0], address
    if lab.storage is not None:
        yield ("x-lab", "storage", "address"), lab.storage.network, lab.storage.address


def _addresses(form: ComposePart) -> Iterator[Finding]:
    seen: dict[IPv4Address, str] = {}
    for path, network, address in _claims(form):
        if address in seen:
            yield path, "duplicate-address", f"{address} is taken by {seen[address]}"
        seen.setdefault(address, ".".join(str(part) for part in path[:-1]))
        if network not in form.networks:
            continue
        config = form.networks[network].ipam.config[0]
        subnet = config.subnet
        if address not in subnet:
            yield path, "outside-subnet", f"{address} is not in {subnet} of {network}"
        elif address == subnet.network_address:
            yield path, "reserved-address", f"{address} is the address of {subnet} itself"
        elif address == subnet.broadcast_address:
            yield path, "reserved-address", f"{address} is the broadcast address of {subnet}"
        elif config.gateway is None and address == subnet[1]:
            yield path, "reserved-address", f"{address} is what the bridge of {network} takes"


def _references(form: ComposePart, networks: Collection[str], data: Data) -> Iterator[Finding]:
    lab = form.x_lab
    wanted: list[tuple[Path, str]] = []
    if lab.cluster is not None:
        links = lab.cluster.links
        wanted += [(("x-lab", "cluster", "links", position), link) for position, link in enumerate(links)]
        if len(set(links)) < len(links):
            yield ("x-lab", "cluster", "links"), "duplicate-link", "a network stands here twice"
    if lab.storage is not None:
        wanted.append((("x-lab", "storage", "network"), lab.storage.network))
    if lab.fencing is not None:
        wanted.append((("x-lab", "fencing", "network"), lab.fencing.network))
    for path, network in wanted:
        if network not in networks:
            text = f"there is no network {network[:60]}{nearest(network, networks)}"
            yield path, "unknown-network", text
            continue
        absent = [
            name for name in form.services if network not in keys_at(data, "services", name, "networks")
        ]
        if absent:
            yield path, "not-in-network", f"these nodes are not in {network}: {', '.join(absent)}"


def _time(form: ComposePart, nodes: Collection[str]) -> Iterator[Finding]:
    time = form.x_lab.time
    if time is not None and time.server not in nodes:
        text = f"there is no node {time.server[:60]}{nearest(time.server, nodes)}"
        yield ("x-lab", "time", "server"), "unknown-node", text


def _ports(form: ComposePart) -> Iterator[Finding]:
    taken: list[tuple[Path, PortForm]] = []
    for name, service in form.services.items():
        for position, port in enumerate(service.ports):
            taken.append((("services", name, "ports", position), port))
    # Single ports first: a range then takes what is left, as it does when the lab starts.
    used: set[int] = set()
    for path, port in sorted(taken, key=lambda claim: claim[1].host_ports[1] - claim[1].host_ports[0]):
        first, last = port.host_ports
        free = next((number for number in range(first, last + 1) if number not in used), None)
        if free is None:
            yield path, "duplicate-port", f"no port of {port.published} is left: others of this file take it"
        else:
            used.add(free)


def _fencing(form: ComposePart, nodes: Collection[str]) -> Iterator[Finding]:
    fencing = form.x_lab.fencing
    if fencing is None:
        return
    last = fencing.first_port + max(len(nodes), 1) - 1
    if last > 65535:
        text = f"the last of {len(nodes)} BMCs would need port {last}, beyond 65535"
        yield ("x-lab", "fencing", "first_port"), "bmc-port", text
    network = form.networks.get(fencing.network)
    if network is not None and network.ipam.config[0].gateway is None:
        text = f"{fencing.network} has no gateway, where the BMCs would listen"
        yield ("x-lab", "fencing", "network"), "no-gateway", text


def _disks(form: ComposePart) -> Iterator[Finding]:
    storage = form.x_lab.storage
    if storage is None:
        return
    names = [disk.name for disk in storage.disks]
    for position, name in enumerate(names):
        if name in names[:position]:
            yield (
                ("x-lab", "storage", "disks", position, "name"),
                "duplicate-disk",
                f"{name} stands here twice",
            )
    for node in form.services:
        if len(storage.initiator.replace("{node}", node)) > 223:
            yield ("x-lab", "storage", "initiator"), "iqn", f"is too long for {node}: more than 223 bytes"


def _chap(form: ComposePart) -> Iterator[Finding]:
    chap = form.x_lab.storage.chap if form.x_lab.storage is not None else None
    if chap is None:
        return
    path: Path = ("x-lab", "storage", "chap")
    if (chap.mutual_userid is None) != (chap.mutual_password is None):
        yield path, "chap", "mutual_userid and mutual_password go together"
    elif chap.mutual_userid == chap.userid:
        yield (*path, "mutual_userid"), "chap", "must not be the userid: each direction has its own"
    elif chap.mutual_password == chap.password:
        # RFC 7143, section 9.2.1: with one secret for both, each answer to the target also answers for it.
        yield (*path, "mutual_password"), "chap", "must not be the password: each direction has its own"
