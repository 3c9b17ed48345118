"""The files that make a cluster, against what pcs and Pacemaker themselves write."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from labctl.cluster import secrets
from labctl.cluster.cib import first_cib
from labctl.cluster.corosync import corosync_conf
from labctl.cluster.files import base_files, chrony_conf, cluster_files
from labctl.cluster.state import Member, members_joined, parse, parse_view
from labctl.engine.base import File
from labctl.errors import BadFile
from labctl.lab.load import load_lab
from labctl.lab.model import Lab, resized

EMPTY = (
    '<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0">'
    "<configuration><crm_config/><nodes/><resources/><constraints/></configuration><status/></cib>"
)


@pytest.fixture(scope="module")
def lab() -> Lab:
    return load_lab("files")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> secrets.Secrets:
    return secrets.load_or_make(tmp_path_factory.mktemp("keys"), "files")


def test_corosync_conf_opens_every_brace_at_the_end_of_its_line(lab: Lab) -> None:
    text = corosync_conf(lab, cluster_uuid="0" * 32, logfile="/var/log/x")
    for line in text.splitlines():
        assert "{" not in line or line.endswith(" {"), line
    assert text.count("{") == text.count("}")
    assert text.count("ring0_addr") == 4
    assert "ring1_addr" not in text
    assert "two_node" not in text
    assert "ring0_addr: 192.168.90.110" in text


def test_containers_wait_for_machines(lab: Lab) -> None:
    """In a mixed lab there is no quorum, and so no fencing, before the slow ones were there once."""
    alike = corosync_conf(lab, cluster_uuid="0" * 32, logfile="/var/log/x")
    assert "wait_for_all" not in alike
    machine = lab.nodes[0].model_copy(update={"mode": "vm"})
    mixed = lab.model_copy(update={"nodes": (machine, *lab.nodes[1:])})
    assert "wait_for_all: 1" in corosync_conf(mixed, cluster_uuid="0" * 32, logfile="/var/log/x")


def test_two_links_and_two_nodes(lab: Lab) -> None:
    cluster = lab.cluster.model_copy(update={"links": ("internal", "storage"), "token_ms": 5000})
    small = resized(lab, 2).model_copy(update={"cluster": cluster})
    text = corosync_conf(small, cluster_uuid="0" * 32, logfile="/var/log/x")
    assert "ring1_addr: 192.168.100.120" in text
    assert "two_node: 1" in text
    assert "token: 5000" in text
    assert text.count("linknumber") == 2


def test_the_first_cib_fences_every_node_from_elsewhere(lab: Lab) -> None:
    cib = ET.fromstring(first_cib(lab, EMPTY))
    assert cib.get("crm_feature_set") == "3.16.1"
    assert cib.get("validate-with") == "pacemaker-3.9"
    for node in lab.nodes:
        device = f"fence-{node.name}"
        attributes = {
            pair.get("name"): pair.get("value")
            for pair in cib.findall(f".//primitive[@id='{device}']/instance_attributes/nvpair")
        }
        assert attributes["pcmk_host_list"] == node.hostname
        assert attributes["ipport"] == str(node.bmc_port)
        [location] = cib.findall(f".//rsc_location[@rsc='{device}']")
        assert (location.get("node"), location.get("score")) == (node.hostname, "-INFINITY")
        [level] = cib.findall(f".//fencing-level[@target='{node.hostname}']")
        assert level.get("devices") == device
    ids = [element.get("id") for element in cib.iter() if element.get("id")]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(("said", "interval"), [(None, "60s"), ("10min", "10min")])
def test_fence_devices_are_looked_at_as_often_as_the_lab_says(
    lab: Lab, said: str | None, interval: str
) -> None:
    fencing = lab.fencing.model_copy(update={"monitor": said})
    cib = ET.fromstring(first_cib(lab.model_copy(update={"fencing": fencing}), EMPTY))
    looks = cib.findall(".//primitive/operations/op[@name='monitor']")
    assert [look.get("interval") for look in looks] == [interval] * len(lab.nodes)


def test_without_fencing_the_cib_says_so(lab: Lab) -> None:
    plain = lab.model_copy(update={"fencing": lab.fencing.model_copy(update={"enabled": False})})
    cib = ET.fromstring(first_cib(plain, EMPTY))
    assert not cib.findall(".//primitive")
    assert cib.find(".//nvpair[@name='stonith-enabled']").get("value") == "false"  # type: ignore[union-attr]


def by_path(files: list[File]) -> dict[str, File]:
    assert len({file.path for file in files}) == len(files)
    return {file.path: file for file in files}


def test_keys_are_readable_by_their_daemons_alone(lab: Lab, keys: secrets.Secrets) -> None:
    files = by_path(cluster_files(lab, keys, empty_cib=EMPTY, corosync_log="/l", first=True))
    assert (files["/etc/corosync/authkey"].mode, files["/etc/corosync/authkey"].uid) == (0o400, 0)
    assert (files["/etc/pacemaker/authkey"].mode, files["/etc/pacemaker/authkey"].uid) == (0o400, 189)
    cib = files["/var/lib/pacemaker/cib/cib.xml"]
    assert (cib.mode, cib.uid, cib.gid) == (0o600, 189, 189)
    assert files["/var/lib/pcsd/known-hosts"].mode == 0o600
    known = json.loads(files["/var/lib/pcsd/known-hosts"].content)
    assert set(known["known_hosts"]) == {node.hostname for node in lab.nodes}


def test_a_node_that_joins_brings_no_cib_and_the_living_conf(lab: Lab, keys: secrets.Secrets) -> None:
    files = by_path(
        cluster_files(lab, keys, empty_cib=EMPTY, corosync_log="/l", first=False, conf="living\n")
    )
    assert "/var/lib/pacemaker/cib/cib.xml" not in files
    assert files["/etc/corosync/corosync.conf"].content == b"living\n"


def test_time_is_served_by_one_node_and_followed_by_the_others(lab: Lab) -> None:
    assert "local stratum 8" in chrony_conf(lab, lab.node("node4"))
    assert "server node4.example.com" in chrony_conf(lab, lab.node("node1"))


def test_base_files_name_the_node(lab: Lab, keys: secrets.Secrets) -> None:
    files = by_path(base_files(lab, lab.node("node2"), keys, {"chrony_conf": "/etc/chrony.conf"}))
    assert files["/etc/hostname"].content == b"node2.example.com\n"
    assert b"node2.init" in files["/etc/iscsi/initiatorname.iscsi"].content
    assert files["/root/.ssh/authorized_keys"].content == keys.ssh_public.encode()


def test_secrets_are_made_once_and_for_root_alone(tmp_path: Path) -> None:
    first = secrets.load_or_make(tmp_path / "s", "x")
    assert secrets.load_or_make(tmp_path / "s", "x") == first
    for path in (tmp_path / "s").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"corosync_key": "?"}', '{"x": 1}'])
def test_damaged_secrets_are_told(tmp_path: Path, damage: str) -> None:
    secrets.load_or_make(tmp_path, "x")
    (tmp_path / "secrets.json").write_text(damage)
    with pytest.raises(BadFile, match="damaged") as caught:
        secrets.load_or_make(tmp_path, "x")
    assert "labctl down --lab x" in caught.value.mend


def test_a_member_is_read_from_one_answer() -> None:
    text = (
        "units active active inactive\nboot degraded\n"
        "conf totem {\nconf     cluster_name: ha\nconf }\nconf nodelist {\nconf   node {\n"
        "conf     name: node1.example.com\nconf   }\nconf }\nxml\n"
        '<pacemaker-result><summary><current_dc present="true" name="node1.example.com" with_quorum="true"/>'
        "</summary><nodes>"
        '<node name="node1.example.com" online="true" pending="false" unclean="false"/>'
        '<node name="node2.example.com" online="true" pending="true" unclean="false"/>'
        '<node name="node3.example.com" online="false" pending="false" unclean="true"/>'
        "</nodes><resources>"
        '<resource id="fence-node1" resource_agent="stonith:fence_ipmilan" role="Started"/>'
        '<resource id="fence-node2" resource_agent="stonith:fence_x" role="Started" pending="Starting"/>'
        "</resources></pacemaker-result>"
    )
    member = parse(text)
    assert (member.corosync, member.pcsd, member.booted) == (True, False, True)
    assert (member.cluster_name, member.nodelist) == ("ha", frozenset({"node1.example.com"}))
    view = member.view
    assert view is not None
    assert view.online == {"node1.example.com"}
    assert view.offline == {"node3.example.com"}
    assert view.unclean == {"node3.example.com"}
    assert view.fencing == {"fence-node1": "Started", "fence-node2": "Stopped"}


@pytest.mark.parametrize("xml", ["", "not xml", "<a>", "<a/>"])
def test_a_cluster_that_does_not_answer_gives_no_view(xml: str) -> None:
    assert parse_view(xml) is None
    assert parse("units inactive\n") == Member()


def test_joined_members_are_known_by_their_addresses() -> None:
    cmap = (
        "runtime.members.1.config_version (u64) = 0\n"
        "runtime.members.1.ip (str) = r(0) ip(192.168.90.110) r(1) ip(192.168.100.110)\n"
        "runtime.members.1.status (str) = joined\n"
        "runtime.members.2.ip (str) = r(0) ip(192.168.90.120)\n"
        "runtime.members.2.status (str) = left\n"
    )
    assert members_joined(cmap) == {"192.168.90.110", "192.168.100.110"}
