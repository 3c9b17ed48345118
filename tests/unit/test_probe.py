"""What a node's answer becomes: facts, also with tools missing and in other versions' words."""

from __future__ import annotations

import pytest

from labctl.probe.facts import parse_cib, parse_corosync, parse_crm_mon, parse_node
from tests.fakes import recorded


def test_a_member_of_a_healthy_cluster() -> None:
    facts = parse_node(recorded.document("healthy", "node1"))
    assert (facts.hostname, facts.fqdn) == ("node1.example.com", "node1.example.com")
    assert facts.os.startswith("Debian GNU/Linux 12")
    assert facts.legs["eth1"].addresses == ("192.168.90.110/24",)
    assert facts.gateway == "192.168.122.1"
    assert facts.unit("sshd", "ssh") == facts.units["ssh"]
    assert facts.units["corosync"].enabled == "enabled"
    assert 0 < facts.units["corosync"].age <= facts.uptime + 5
    assert facts.disk_total > facts.disk_free > 0
    assert facts.mounts["/"][0] == "overlay"
    assert facts.pcs_hosts is not None
    assert "node4.example.com" in facts.pcs_hosts
    assert facts.power == {"node4": "on"}
    assert facts.silent == {}
    assert (facts.sources[0].state, facts.sources[0].reach) == ("*", 0o377)
    assert facts.tracking is not None
    assert facts.tracking.stratum == 9
    assert facts.controller == "S_IDLE"


def test_its_corosync() -> None:
    found = parse_node(recorded.document("healthy", "node1")).corosync
    assert found is not None
    assert (found.node_id, found.quorate, found.expected_votes, found.total_votes) == (1, True, 4, 4)
    assert found.members == {number: f"node{number}.example.com" for number in (1, 2, 3, 4)}
    assert found.links[0].peers == {1: "localhost", 2: "connected", 3: "connected", 4: "connected"}
    assert found.nodelist[2] == ("node2.example.com", ("192.168.90.120",))
    assert found.cluster_name == "ha_cluster_lab"


def test_its_cluster_and_fencing() -> None:
    facts = parse_node(recorded.document("healthy", "node1"))
    view, cib = facts.cluster, facts.fencing
    assert view is not None
    assert cib is not None
    assert (view.dc, view.quorate, view.stonith, view.fencing) == ("node1.example.com", True, True, ())
    assert len(view.online) == 4
    assert {(item.role, item.is_fencing) for item in view.resources} == {("Started", True)}
    assert cib.enabled
    assert cib.devices[1].hosts == cib.devices[1].banned == ("node2.example.com",)
    assert cib.topology["node2.example.com"] == (("fence-node2",),)
    assert cib.cluster_name == "ha_cluster_lab"


def test_a_failed_start_is_read_with_its_reason() -> None:
    view = parse_node(recorded.document("fence-device-broken", "node1")).cluster
    assert view is not None
    (failure, *_) = view.failures
    assert (failure.resource, failure.task, failure.node) == ("broken", "start", "node1.example.com")
    assert failure.reason == "Fence agent did not complete within 6s"


def test_a_node_whose_corosync_was_killed_still_gives_facts() -> None:
    facts = parse_node(recorded.document("corosync-failed", "node2"))
    assert (facts.corosync, facts.cluster, facts.fencing, facts.controller) == (None, None, None, "")
    assert facts.failed_units == ("corosync.service",)
    assert {"links", "quorum", "crm_mon", "cib"} <= set(facts.silent)
    assert facts.units["pcsd"].active == "active"


def test_without_any_tool_there_are_facts_and_reasons() -> None:
    document = recorded.document("healthy", "node1")
    for name in document["commands"]:
        document["commands"][name] = {"rc": None, "out": "", "err": f"{name}: No such file or directory"}
    facts = parse_node({**document, "pcs_hosts": None, "os": [], "mounts": []})
    assert (facts.units, facts.legs, facts.sources, facts.failed_units) == ({}, {}, (), ())
    assert (facts.corosync, facts.cluster, facts.fencing, facts.tracking, facts.iscsi) == (None,) * 5
    assert facts.power == {"node4": "no answer: bmc:node4: No such file or directory"}
    assert set(facts.silent) == set(document["commands"])
    assert facts.names["node1"] == ("192.168.90.110",)


GARBAGE = ["", "{", "<a", "<pacemaker-result/>", "nodeid: x", "\x00,,,,,,", "a,b,1,c,d,9", "[1, 2]", "{}"]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_from_a_tool_is_no_fact(garbage: str) -> None:
    document = recorded.document("healthy", "node1")
    for name in document["commands"]:
        document["commands"][name] = {"rc": 0, "out": garbage, "err": ""}
    facts = parse_node(document)
    assert (facts.cluster, facts.fencing, facts.tracking) == (None, None, None)
    assert (facts.legs, facts.units, facts.sources) == ({}, {}, ())
    assert facts.corosync is None or facts.corosync.members == {}


def test_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format is 99"):
        parse_node({**recorded.document("healthy", "node1"), "format": 99})


def test_centos_names_its_daemons_otherwise() -> None:
    document = recorded.document("healthy", "node1")
    units = document["commands"]["units"]
    units["out"] = units["out"].replace("Id=ssh.", "Id=sshd.").replace("Id=chrony.", "Id=chronyd.")
    facts = parse_node(document)
    daemon = facts.unit("sshd", "ssh")
    assert daemon is not None
    assert daemon.name == "sshd"
    assert facts.unit("chronyd", "chrony") == facts.units["chronyd"]
    assert facts.unit("nosuch") is None


QDEVICE = """\
Quorum information
------------------
Node ID:          1
Quorate:          No

Votequorum information
----------------------
Expected votes:   3
Highest expected: 3
Total votes:      1
Quorum:           2 Activity blocked
Flags:            Qdevice

Membership information
----------------------
    Nodeid      Votes    Qdevice Name
         1          1    A,V,NMW NODE1 (local)
         2          1         NR node2
         0          1            Qdevice
"""
TWO_LINKS = """\
Local node ID 1, transport knet
LINK ID 0 udp
\taddr\t= 192.168.90.110
\tstatus:
\t\tnodeid:          1:\tlocalhost
\t\tnodeid:          2:\tconnected
LINK ID 1 udp
\taddr\t= 192.168.100.110
\tstatus:
\t\tnodeid:          1:\tlocalhost
\t\tnodeid:          2:\tdisconnected
"""


def test_corosync_with_a_quorum_device_and_two_links() -> None:
    found = parse_corosync(TWO_LINKS, QDEVICE, "")
    assert found is not None
    assert (found.quorate, found.expected_votes, found.total_votes) == (False, 3, 1)
    assert found.members == {1: "NODE1", 2: "node2"}
    assert [(link.number, link.address, link.peers[2]) for link in found.links] == [
        (0, "192.168.90.110", "connected"),
        (1, "192.168.100.110", "disconnected"),
    ]


def test_crm_mon_before_the_first_election() -> None:
    view = parse_crm_mon(
        '<pacemaker-result><summary><current_dc present="false"/></summary><nodes>'
        '<node name="a" online="false" standby_onfail="true" pending="true" unclean="true"/></nodes>'
        '<fence_history><fence_event target="a" status="pending"/><fence_event target="b" status="success"/>'
        "</fence_history></pacemaker-result>"
    )
    assert view is not None
    assert (view.dc, view.quorate, view.stonith, view.fencing) == ("", False, None, ("a",))
    assert (view.nodes[0].pending, view.nodes[0].unclean, view.nodes[0].standby) == (True, True, True)


def test_clones_and_groups_are_read_as_their_members() -> None:
    view = parse_crm_mon(
        '<pacemaker-result><summary/><resources><group id="g"><resource id="a" role="Started"/></group>'
        '<clone id="c"><resource id="b" role="Promoted"><node name="n"/></resource><resource id="b"/></clone>'
        "</resources></pacemaker-result>"
    )
    assert view is not None
    assert [(item.id, item.role, item.nodes) for item in view.resources] == [
        ("a", "Started", ()),
        ("b", "Promoted", ("n",)),
        ("b", "", ()),
    ]


def test_a_whole_cib_with_a_host_map_and_two_levels() -> None:
    cib = parse_cib(
        "<cib><configuration><crm_config><cluster_property_set>"
        '<nvpair name="stonith-enabled" value="Off"/></cluster_property_set></crm_config>'
        '<resources><primitive id="f" class="stonith" type="fence_xvm"><instance_attributes>'
        '<nvpair name="pcmk_host_map" value="a:1;b:2"/></instance_attributes></primitive>'
        '<primitive id="web" class="ocf" type="apache"/></resources>'
        '<fencing-topology><fencing-level target="a" index="2" devices="g,h"/>'
        '<fencing-level target="a" index="1" devices="f"/></fencing-topology></configuration></cib>'
    )
    assert cib is not None
    assert not cib.enabled
    assert [(device.id, device.hosts) for device in cib.devices] == [("f", ("a", "b"))]
    assert cib.topology == {"a": (("f",), ("g", "h"))}
