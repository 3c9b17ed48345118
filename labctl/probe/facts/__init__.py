"""What is known about a node: typed facts, parsed from the probe's one JSON document."""

from labctl.probe.facts.cluster import (
    ClusterNode,
    ClusterView,
    FailedAction,
    FenceDevice,
    FenceSetup,
    Resource,
    parse_cib,
    parse_crm_mon,
)
from labctl.probe.facts.corosync import Corosync, Link, parse_corosync
from labctl.probe.facts.node import (
    FORMAT,
    Facts,
    Leg,
    NodeFacts,
    ProbeFailure,
    TimeSource,
    Tracking,
    Unit,
    parse_node,
)
from labctl.probe.facts.storage import (
    DiskSeen,
    SessionSeen,
    StorageFacts,
    TargetSeen,
    TrialSeen,
)

__all__ = [
    "FORMAT",
    "ClusterNode",
    "ClusterView",
    "Corosync",
    "DiskSeen",
    "Facts",
    "FailedAction",
    "FenceDevice",
    "FenceSetup",
    "Leg",
    "Link",
    "NodeFacts",
    "ProbeFailure",
    "Resource",
    "SessionSeen",
    "StorageFacts",
    "TargetSeen",
    "TimeSource",
    "Tracking",
    "TrialSeen",
    "Unit",
    "parse_cib",
    "parse_corosync",
    "parse_crm_mon",
    "parse_node",
]
