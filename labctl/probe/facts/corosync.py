"""What corosync says of itself: corosync-cfgtool(8) -s, corosync-quorumtool(8) -s, corosync-cmapctl(8)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Link:
    """One knet link: its number, the node's own address, and the state of each peer by node id.

    States are corosync's words: "localhost", "connected", "disconnected".
    """

    number: int
    address: str
    peers: Mapping[int, str]


@dataclass(frozen=True)
class Corosync:
    """A node's view of the membership.

    quorate: None when quorum was not told.  members: node id → name of those present.
    nodelist: node id → (name, addresses by link) as configured in the running daemon.
    """

    node_id: int = 0
    links: tuple[Link, ...] = ()
    quorate: bool | None = None
    expected_votes: int = 0
    total_votes: int = 0
    members: Mapping[int, str] = field(default_factory=dict)
    nodelist: Mapping[int, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    cluster_name: str = ""


def parse_corosync(links: str, quorum: str, cmap: str) -> Corosync | None:
    """None when not one of the three tools got an answer from the daemon."""
    if not (links.strip() or "Node ID:" in quorum or cmap.strip()):
        return None
    values = dict(re.findall(r"^(\S+) \(\w+\) = (.*)$", cmap, re.MULTILINE))
    nodelist = _nodelist(values)
    told = dict(re.findall(r"^([A-Z][\w ]+): +(.*?) *$", quorum, re.MULTILINE))
    own = re.search(r"^Local node ID (\d+)", links, re.MULTILINE)
    return Corosync(
        node_id=int(own[1]) if own else _number(told.get("Node ID", "")),
        links=_links(links),
        quorate={"Yes": True, "No": False}.get(told.get("Quorate", "")),
        expected_votes=_number(told.get("Expected votes", "")),
        total_votes=_number(told.get("Total votes", "")),
        members=_members(quorum),
        nodelist=nodelist,
        cluster_name=values.get("totem.cluster_name", ""),
    )


def _links(text: str) -> tuple[Link, ...]:
    found = []
    # "LINK ID 0 udp" starts a link; older releases leave the transport out.
    for part in re.split(r"^LINK ID ", text, flags=re.MULTILINE)[1:]:
        address = re.search(r"addr\s*=\s*(\S+)", part)
        rows = re.findall(r"nodeid:\s*(\d+):\s*([a-z ]+?)\s*$", part, re.MULTILINE)
        peers = {int(node): state for node, state in rows}
        found.append(Link(_number(part), address[1] if address else "", peers))
    return tuple(found)


def _members(quorum: str) -> dict[int, str]:
    """The table under "Membership information": Nodeid, Votes, perhaps Qdevice, Name (local).

    The quorum device itself stands there as node 0.
    """
    table = quorum.partition("Membership information")[2]
    device = r"(?:(?:N?A,N?V,N?MW|NR) +)?"
    rows = re.findall(rf"^ +(\d+) +\d+ +{device}(\S+)(?: \(local\))?\s*$", table, re.MULTILINE)
    return {int(number): name for number, name in rows if number != "0"}


def _nodelist(values: Mapping[str, str]) -> dict[int, tuple[str, tuple[str, ...]]]:
    places = sorted({int(key.split(".")[2]) for key in values if re.match(r"nodelist\.node\.\d+\.", key)})
    found = {}
    for place in places:
        here = f"nodelist.node.{place}."
        rings = sorted(key for key in values if re.fullmatch(re.escape(here) + r"ring\d_addr", key))
        name = values.get(here + "name", values.get(here + "ring0_addr", ""))
        found[_number(values.get(here + "nodeid", "0"))] = (name, tuple(values[key] for key in rings))
    return found


def _number(text: str) -> int:
    leading = re.match(r"\s*(\d+)", text)
    return int(leading[1]) if leading else 0
