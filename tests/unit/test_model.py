"""The model: lookups, the hosts table, other numbers of nodes, the hash of a node's machine."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from labctl.errors import UsageError
from labctl.lab.load import load_lab
from labctl.lab.model import Lab, resized


@pytest.fixture
def lab() -> Lab:
    return load_lab("lab", environment={})


def test_a_node_is_found_by_both_names(lab: Lab) -> None:
    assert lab.node("node2") is lab.node("node2.example.com")
    with pytest.raises(UsageError, match="did you mean node") as caught:
        lab.node("nod2")
    assert "node1, node2, node3, node4" in caught.value.details


def test_a_network_is_found_by_name(lab: Lab) -> None:
    assert str(lab.network("storage").subnet) == "192.168.100.0/24"
    with pytest.raises(UsageError, match="did you mean internal"):
        lab.network("intern")
    with pytest.raises(UsageError, match="network of node1"):
        lab.nodes[0].address("intrnal")


def test_the_hosts_table_has_internal_addresses_only(lab: Lab) -> None:
    assert lab.hosts_table() == (
        "127.0.0.1 localhost\n"
        "::1 localhost ip6-localhost ip6-loopback\n"
        "192.168.90.110 node1.example.com node1\n"
        "192.168.90.120 node2.example.com node2\n"
        "192.168.90.130 node3.example.com node3\n"
        "192.168.90.140 node4.example.com node4 storage cli\n"
    )


def test_bmcs_listen_on_the_outer_gateway(lab: Lab) -> None:
    assert str(lab.bmc_address) == "192.168.122.1"
    assert [node.bmc_port for node in resized(lab, 6).nodes] == [7751, 7752, 7753, 7754, 7755, 7756]


def test_fewer_nodes_hand_the_utility_work_to_the_last(lab: Lab) -> None:
    small = resized(lab, 3)
    assert [node.name for node in small.nodes] == ["node1", "node2", "node3"]
    assert small.nodes[-1].aliases == ("storage", "cli")
    assert small.time.server == "node3"
    assert small.nodes[0] == lab.nodes[0]
    assert resized(lab, 4) == lab


def test_more_nodes_keep_clear_of_the_floating_addresses(lab: Lab) -> None:
    big = resized(lab, 16)
    internal = [str(node.address("internal")) for node in big.nodes]
    assert internal[4] == "192.168.90.145"
    assert internal[15] == "192.168.90.200"
    addresses = [leg.address for node in big.nodes for leg in node.interfaces]
    assert len(set(addresses)) == len(addresses) == 48
    assert not {address for _, address in big.vips} & set(addresses)
    assert big.node("node16").hostname == "node16.example.com"
    assert big.node("node16").initiator == "iqn.2023-02.com.example:node16.init"
    assert big.node("node16").ports == ()
    assert big.node("node16").aliases == ()
    assert big.time.server == "node4"


def test_added_nodes_step_over_a_taken_address(lab: Lab) -> None:
    wide = lab.model_copy(update={"scale": lab.scale.model_copy(update={"address_step": 35})})
    # .175 is free, .210 is the web's floating address.
    assert [str(node.address("internal")) for node in resized(wide, 6).nodes[4:]] == [
        "192.168.90.175",
        "192.168.90.245",
    ]
    with pytest.raises(UsageError, match="no free address"):
        resized(wide, 7)


@pytest.mark.parametrize("count", [-1, 0, 1, 17])
def test_a_wrong_number_of_nodes(lab: Lab, count: int) -> None:
    with pytest.raises(UsageError) as caught:
        resized(lab, count)
    assert caught.value.mend
    with pytest.raises(UsageError):
        load_lab("lab", nodes=count)


def test_the_hash_follows_what_makes_a_machine_and_nothing_else(lab: Lab) -> None:
    node = lab.nodes[0]
    before = node.spec_hash(lab)
    assert before == load_lab("other", environment={}).nodes[0].spec_hash(lab)
    assert len({each.spec_hash(lab) for each in lab.nodes}) == 4
    secret = lab.credentials.model_copy(update={"root_password": "other"})
    assert node.spec_hash(lab.model_copy(update={"credentials": secret})) == before
    assert node.model_copy(update={"memory_mib": 1}).spec_hash(lab) == before
    assert resized(lab, 8).nodes[0].spec_hash(resized(lab, 8)) == before
    assert node.model_copy(update={"hostname": "node1.example.org"}).spec_hash(lab) != before
    assert node.model_copy(update={"interfaces": node.interfaces[:2]}).spec_hash(lab) != before
    assert node.spec_hash(lab.model_copy(update={"family": "debian"})) != before
    assert lab.with_mode("vm").nodes[0].spec_hash(lab) != before


def test_the_hash_follows_the_networks(lab: Lab) -> None:
    open_networks = tuple(net.model_copy(update={"internal": False}) for net in lab.networks)
    changed = lab.model_copy(update={"networks": open_networks})
    assert lab.nodes[0].spec_hash(changed) != lab.nodes[0].spec_hash(lab)


def test_the_model_is_frozen(lab: Lab) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        lab.name = "other"
