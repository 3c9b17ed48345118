"""What Pacemaker says: crm_mon(8) --output-as=xml for what is, the CIB's configuration for what should be.

crm_mon's schema: /usr/share/pacemaker/api/ in Pacemaker 2.0.3 and newer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET


@dataclass(frozen=True)
class ClusterNode:
    """A member as one node's Pacemaker sees it."""

    name: str
    online: bool
    standby: bool
    maintenance: bool
    pending: bool
    unclean: bool


@dataclass(frozen=True)
class Resource:
    """A primitive or an instance of a clone; nodes: where it runs."""

    id: str
    agent: str
    role: str
    nodes: tuple[str, ...]
    active: bool
    managed: bool
    failed: bool
    blocked: bool

    @property
    def is_fencing(self) -> bool:
        return self.agent.startswith("stonith:")


@dataclass(frozen=True)
class FailedAction:
    """An action in crm_mon's list of failures; reason may be empty."""

    resource: str
    task: str
    node: str
    status: str
    reason: str


@dataclass(frozen=True)
class ClusterView:
    """One node's view of the cluster.

    dc: the coordinator's name, "" when there is none yet.  stonith: None when not told.
    fencing: targets of fence actions that are under way.
    """

    dc: str
    quorate: bool
    stonith: bool | None
    maintenance: bool
    nodes: tuple[ClusterNode, ...] = ()
    resources: tuple[Resource, ...] = ()
    failures: tuple[FailedAction, ...] = ()
    fencing: tuple[str, ...] = ()

    @property
    def online(self) -> tuple[str, ...]:
        return tuple(node.name for node in self.nodes if node.online)


@dataclass(frozen=True)
class FenceDevice:
    """A configured fence device: the hosts it says it covers and the nodes banned from running it."""

    id: str
    agent: str
    hosts: tuple[str, ...]
    banned: tuple[str, ...]


@dataclass(frozen=True)
class FenceSetup:
    """The fencing part of the CIB. topology: target → its levels in order, each a tuple of device ids."""

    enabled: bool
    devices: tuple[FenceDevice, ...] = ()
    topology: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    cluster_name: str = ""


def parse_crm_mon(text: str) -> ClusterView | None:
    """None when crm_mon had no answer (no daemon) or what it wrote is not its XML."""
    root = _parse(text)
    summary = root.find("summary") if root is not None else None
    if root is None or summary is None:
        return None
    dc, options = summary.find("current_dc"), summary.find("cluster_options")
    stonith = options.get("stonith-enabled") if options is not None else None
    return ClusterView(
        dc=dc.get("name", "") if dc is not None and _yes(dc, "present") else "",
        quorate=dc is not None and _yes(dc, "with_quorum"),
        stonith=None if stonith is None else stonith == "true",
        maintenance=options is not None and _yes(options, "maintenance-mode"),
        nodes=tuple(_node(item) for item in root.findall("nodes/node")),
        resources=tuple(_resource(item) for item in root.iterfind("resources//resource")),
        failures=tuple(_failure(item) for item in root.findall("failures/failure")),
        fencing=tuple(
            item.get("target", "")
            for item in root.findall("fence_history/fence_event")
            if item.get("status") == "pending"
        ),
    )


def parse_cib(text: str) -> FenceSetup | None:
    """From a whole CIB or its configuration section; None when there is neither."""
    root = _parse(text)
    if root is None:
        return None
    configuration = root if root.tag == "configuration" else root.find("configuration")
    if configuration is None:
        return None
    properties = _pairs(configuration, "crm_config//nvpair")
    banned: dict[str, list[str]] = {}
    for rule in configuration.iterfind("constraints/rsc_location"):
        if rule.get("score") == "-INFINITY":
            banned.setdefault(rule.get("rsc", ""), []).append(rule.get("node", ""))
    devices = [
        FenceDevice(
            id=item.get("id", ""),
            agent=item.get("type", ""),
            hosts=_hosts(_pairs(item, "instance_attributes/nvpair")),
            banned=tuple(banned.get(item.get("id", ""), ())),
        )
        for item in configuration.iterfind("resources//primitive")
        if item.get("class") == "stonith"
    ]
    return FenceSetup(
        # Pacemaker's own default is true.
        enabled=properties.get("stonith-enabled", "true").lower() in {"true", "yes", "on", "1"},
        devices=tuple(devices),
        topology=_topology(configuration),
        cluster_name=properties.get("cluster-name", ""),
    )


def _topology(configuration: ET.Element) -> dict[str, tuple[tuple[str, ...], ...]]:
    levels: dict[str, list[tuple[int, tuple[str, ...]]]] = {}
    for level in configuration.iterfind("fencing-topology/fencing-level"):
        devices = tuple(level.get("devices", "").replace(",", " ").split())
        index = level.get("index", "")
        place = int(index) if index.isdecimal() else 0
        levels.setdefault(level.get("target", ""), []).append((place, devices))
    return {target: tuple(devices for _, devices in sorted(found)) for target, found in levels.items()}


def _hosts(options: Mapping[str, str]) -> tuple[str, ...]:
    """pcmk_host_list, and the names of pcmk_host_map ("node1:1;node2:2"), pacemaker-fenced(7)."""
    listed = options.get("pcmk_host_list", "").replace(",", " ").replace(";", " ").split()
    mapped = [pair.partition(":")[0] for pair in options.get("pcmk_host_map", "").replace(";", " ").split()]
    return tuple(dict.fromkeys([*listed, *mapped]))


def _node(item: ET.Element) -> ClusterNode:
    return ClusterNode(
        name=item.get("name", ""),
        online=_yes(item, "online"),
        standby=_yes(item, "standby") or _yes(item, "standby_onfail"),
        maintenance=_yes(item, "maintenance"),
        pending=_yes(item, "pending"),
        unclean=_yes(item, "unclean"),
    )


def _resource(item: ET.Element) -> Resource:
    return Resource(
        id=item.get("id", ""),
        agent=item.get("resource_agent", ""),
        role=item.get("role", ""),
        nodes=tuple(node.get("name", "") for node in item.findall("node")),
        active=_yes(item, "active"),
        managed=_yes(item, "managed"),
        failed=_yes(item, "failed"),
        blocked=_yes(item, "blocked"),
    )


def _failure(item: ET.Element) -> FailedAction:
    # op_key is RESOURCE_TASK_INTERVAL; failures without it name the parts.
    resource, _, rest = item.get("op_key", item.get("id", "")).rpartition("_")[0].rpartition("_")
    return FailedAction(
        resource=resource or item.get("op_key", item.get("id", "")),
        task=item.get("task", rest),
        node=item.get("node", ""),
        status=item.get("exitstatus", item.get("status", "")),
        reason=item.get("exitreason", ""),
    )


def _pairs(element: ET.Element, path: str) -> dict[str, str]:
    return {pair.get("name", ""): pair.get("value", "") for pair in element.iterfind(path)}


def _yes(element: ET.Element, name: str) -> bool:
    return element.get(name, "false") == "true"


def _parse(text: str) -> ET.Element | None:
    try:
        return ET.fromstring(text) if text.strip() else None  # noqa: S314 - our own nodes' Pacemaker
    except ET.ParseError:
        return None
