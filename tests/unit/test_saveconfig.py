"""The target's configuration follows from the lab's description alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labctl.errors import BadFile
from labctl.lab.load import load_lab
from labctl.lab.model import Chap, Disk, Lab, resized
from labctl.storage import saveconfig

BLOCKS = "iqn.2023-02.com.example:blocks"


@pytest.fixture
def lab() -> Lab:
    return load_lab("lab")


def with_storage(lab: Lab, **changes: object) -> Lab:
    return lab.model_copy(update={"storage": lab.storage.model_copy(update=changes)})


def test_disks_luns_and_initiators(lab: Lab) -> None:
    made = saveconfig.document(lab)
    disks = {so["name"]: so for so in made["storage_objects"]}
    assert list(disks) == ["sdb", "sdc", "sdd", "check"]
    assert disks["sdb"]["dev"] == "/var/lib/iscsi_disks/sdb.img"
    assert disks["sdb"]["size"] == 2 * 1024**3
    target, check = made["targets"]
    [tpg] = target["tpgs"]
    assert (target["wwn"], target["fabric"], tpg["tag"], tpg["enable"]) == (BLOCKS, "iscsi", 1, True)
    assert [(lun["index"], lun["storage_object"]) for lun in tpg["luns"]] == [
        (1, "/backstores/fileio/sdb"),
        (2, "/backstores/fileio/sdc"),
        (3, "/backstores/fileio/sdd"),
    ]
    assert [acl["node_wwn"] for acl in tpg["node_acls"]] == [node.initiator for node in lab.nodes]
    assert [lun["tpg_lun"] for lun in tpg["node_acls"][3]["mapped_luns"]] == [1, 2, 3]
    assert [(at["ip_address"], at["port"]) for at in tpg["portals"]] == [("192.168.100.100", 3260)]
    assert check["wwn"] == saveconfig.check_target(lab) == "iqn.2023-02.com.example:check"


def test_nodes_cannot_reach_the_check_target_under_their_own_names(lab: Lab) -> None:
    target, check = saveconfig.document(lab)["targets"]
    names = [{acl["node_wwn"] for acl in each["tpgs"][0]["node_acls"]} for each in (target, check)]
    assert names[0].isdisjoint(names[1])
    assert saveconfig.check_initiator(lab.nodes[0].initiator) in names[1]


def test_it_is_the_same_each_time_and_every_disk_has_its_own_serial(lab: Lab) -> None:
    text = json.dumps(saveconfig.document(lab))
    assert text == json.dumps(saveconfig.document(load_lab("lab")))
    serials = [so["wwn"] for so in saveconfig.document(lab)["storage_objects"]]
    assert len(set(serials)) == len(serials)
    other = with_storage(lab, target="iqn.2023-02.com.example:other")
    assert saveconfig.wwn(other, "sdb") != saveconfig.wwn(lab, "sdb")


def test_a_disk_more_leaves_the_others_as_they_were(lab: Lab) -> None:
    more = with_storage(
        lab, disks=(*lab.storage.disks, Disk.model_validate({"name": "sde", "size": "512MiB"}))
    )
    before, after = saveconfig.document(lab), saveconfig.document(more)
    assert after["storage_objects"][:3] == before["storage_objects"][:3]
    assert after["storage_objects"][3]["size"] == 512 * 1024**2
    assert after["targets"][0]["tpgs"][0]["luns"][:3] == before["targets"][0]["tpgs"][0]["luns"]


def test_nodes_more_or_fewer(lab: Lab) -> None:
    acls = saveconfig.document(resized(lab, 6))["targets"][0]["tpgs"][0]["node_acls"]
    assert acls[5]["node_wwn"] == "iqn.2023-02.com.example:node6.init"


def test_without_chap_no_credentials(lab: Lab) -> None:
    assert "chap_" not in json.dumps(saveconfig.document(lab))


def test_chap_one_way_and_mutual(lab: Lab) -> None:
    chap = Chap(userid="username", password="password1234")  # noqa: S106
    target, check = saveconfig.document(with_storage(lab, chap=chap))["targets"]
    [tpg] = target["tpgs"]
    assert tpg["attributes"]["authentication"] == 1
    acl = tpg["node_acls"][0]
    assert (acl["chap_userid"], acl["chap_password"]) == ("username", "password1234")
    assert "chap_mutual_userid" not in acl
    assert check["tpgs"][0]["attributes"]["authentication"] == 0
    both = chap.model_copy(update={"mutual_userid": "target", "mutual_password": "secretsecret"})
    acl = saveconfig.document(with_storage(lab, chap=both))["targets"][0]["tpgs"][0]["node_acls"][0]
    assert (acl["chap_mutual_userid"], acl["chap_mutual_password"]) == ("target", "secretsecret")


@pytest.mark.parametrize(("chap", "key", "words"), [
    ("{userid: u, password: p, mutual_userid: t}", "chap", "go together"),
    ("{userid: u, password: p, mutual_userid: u, mutual_password: q}", "chap.mutual_userid", "not be the"),
    ("{userid: u, password: p, mutual_userid: t, mutual_password: p}", "chap.mutual_password", "not be the"),
    ("{userid: u, password: 'a,b'}", "chap.password", "without colon, comma"),
    ("{userid: NULL_, password: 'NULL'}", "chap.password", "not NULL"),
    ("{userid: u, password: p, mutual_user: t}", "chap.mutual_user", "did you mean mutual_userid"),
])  # fmt: skip
def test_a_mistake_in_chap_is_named(tmp_path: Path, chap: str, key: str, words: str) -> None:
    file = tmp_path / "over.yaml"
    file.write_text(f"x-lab: {{storage: {{chap: {chap}}}}}\n")
    with pytest.raises(BadFile) as caught:
        load_lab("lab", overrides=[file])
    assert any(
        f"x-lab.storage.{key}: " in line and words in line for line in caught.value.details.splitlines()
    )


def test_mutual_chap_can_be_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "over.yaml"
    chap = "{userid: username, password: password, mutual_userid: target, mutual_password: other}"
    file.write_text(f"x-lab: {{storage: {{chap: {chap}}}}}\n")
    made = load_lab("lab", overrides=[file]).storage.chap
    assert made is not None
    assert made.mutual_userid == "target"
