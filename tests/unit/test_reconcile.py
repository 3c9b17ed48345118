"""tgtd is brought to a configuration in a safe order, and to no more of it than it can have."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest

from labctl.lab.load import load_lab
from labctl.storage import saveconfig
from labctl.storage.innode import command, document, reconcile, target, tgt
from tests.fakes.tgtd import FakeTgtd

BLOCKS = "iqn.2023-02.com.example:blocks"
NODE1 = "iqn.2023-02.com.example:node1.init"


@pytest.fixture
def tgtd(monkeypatch: pytest.MonkeyPatch) -> FakeTgtd:
    fake = FakeTgtd()
    monkeypatch.setattr(command, "run", fake)
    return fake


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """The lab's own configuration, with images of the right size."""
    made = saveconfig.document(load_lab("lab"))
    for so in made["storage_objects"]:
        so["dev"] = str(tmp_path / f"{so['name']}.img")
        with Path(so["dev"]).open("wb") as image:
            image.truncate(so["size"])
    return made


def wanted(config: dict[str, Any]) -> document.Wanted:
    return document.wanted(config)


NOTHING = document.wanted(document.empty())


# -- bringing it to a configuration ------------------------------------------------------------


def test_the_labs_configuration(tgtd: FakeTgtd, config: dict[str, Any]) -> None:
    assert reconcile.apply(wanted(config), NOTHING) == []
    blocks = tgtd.target(BLOCKS)
    assert list(blocks.luns) == [1, 2, 3]
    assert blocks.luns[1].about["product_id"] == "sdb"
    assert blocks.luns[1].about["scsi_id"].startswith("6001405")
    assert blocks.allowed == [f"iqn.2023-02.com.example:node{n}.init" for n in (1, 2, 3, 4)]
    assert blocks.parameters["FirstBurstLength"] == "262144"
    assert tgtd.portals == [reconcile.FIRST_PORTAL, "192.168.100.100:3260"]
    assert tgtd.target("iqn.2023-02.com.example:check").allowed[0] == f"{NODE1}.check"


def test_nobody_is_let_in_before_disks_and_chap_are_there(tgtd: FakeTgtd, config: dict[str, Any]) -> None:
    give_chap(config)
    reconcile.apply(wanted(config), NOTHING)
    steps = [line for line in tgtd.log if "--tid 1" in line or "portal" in line]
    first_bind = next(at for at, line in enumerate(steps) if line.startswith("bind target"))
    last_lun = max(at for at, line in enumerate(steps) if line.startswith("update logicalunit"))
    chap = next(at for at, line in enumerate(steps) if line.startswith("bind account"))
    portal = next(at for at, line in enumerate(steps) if line.startswith("new portal"))
    assert max(last_lun, chap) < first_bind < portal


def test_applied_again_it_changes_nothing(tgtd: FakeTgtd, config: dict[str, Any]) -> None:
    give_chap(config, mutual=True)
    reconcile.apply(wanted(config), NOTHING)
    tgtd.log.clear()
    assert reconcile.apply(wanted(config), wanted(config)) == []
    assert tgtd.log == []


def test_a_disk_and_an_initiator_more_touch_nothing_else(tgtd: FakeTgtd, config: dict[str, Any]) -> None:
    small = copy.deepcopy(config)
    tpg = small["targets"][0]["tpgs"][0]
    tpg["luns"].pop()
    tpg["node_acls"].pop()
    for acl in tpg["node_acls"]:
        acl["mapped_luns"].pop()
    reconcile.apply(wanted(small), NOTHING)
    tgtd.log_in(BLOCKS, NODE1)
    tgtd.log.clear()
    assert reconcile.apply(wanted(config), wanted(small)) == []
    assert [line.split()[:2] for line in tgtd.log] == [
        ["new", "logicalunit"],
        ["update", "logicalunit"],
        ["bind", "target"],
    ]
    assert tgtd.target(BLOCKS).sessions


@pytest.mark.parametrize(("damage", "words"), [
    ("missing", "does not exist"),
    ("short", "has 1048576 bytes, 2147483648 are needed"),
    ("folder", "is neither a file nor a block device"),
])  # fmt: skip
def test_a_bad_image_is_named_and_the_others_serve(
    tgtd: FakeTgtd, config: dict[str, Any], damage: str, words: str
) -> None:
    image = Path(config["storage_objects"][1]["dev"])
    if damage == "short":
        os.truncate(image, 1024 * 1024)
    else:
        image.unlink()
    if damage == "folder":
        image.mkdir()
    [problem] = reconcile.apply(wanted(config), NOTHING)
    assert str(image) in problem
    assert words in problem
    assert list(tgtd.target(BLOCKS).luns) == [1, 3]
    if damage == "missing":
        assert not image.exists(), "the image must not be made anew"


def test_what_is_in_use_stays_unless_forced(tgtd: FakeTgtd, config: dict[str, Any]) -> None:
    reconcile.apply(wanted(config), NOTHING)
    tgtd.log_in(BLOCKS, NODE1)
    problems = reconcile.apply(NOTHING, wanted(config))
    assert len(problems) == 1
    assert f"{BLOCKS} stays, it is in use: {NODE1}" in problems[0]
    assert tgtd.target(BLOCKS).allowed, "the initiator must be able to come back"
    assert [target.iqn for target in tgtd.targets.values()] == [BLOCKS]
    assert reconcile.apply(NOTHING, NOTHING, force=True) == []
    assert tgtd.targets == {}


def test_asking_what_is_in_use_changes_nothing(tgtd: FakeTgtd, config: dict[str, Any]) -> None:
    reconcile.apply(wanted(config), NOTHING)
    tgtd.log_in(BLOCKS, NODE1)
    tgtd.log.clear()
    less = copy.deepcopy(config)
    less["targets"][0]["tpgs"][0]["luns"].pop(0)
    for acl in less["targets"][0]["tpgs"][0]["node_acls"]:
        acl["mapped_luns"].pop(0)
    [refusal] = reconcile.refusals(wanted(less))
    assert f"lun1 of {BLOCKS} is in use: {NODE1}" in refusal
    assert tgtd.log == []


def test_a_new_password_never_leaves_the_target_open(tgtd: FakeTgtd, config: dict[str, Any]) -> None:
    give_chap(config)
    reconcile.apply(wanted(config), NOTHING)
    other = copy.deepcopy(config)
    give_chap(other, password="another-password")  # noqa: S106
    tgtd.log_in(BLOCKS, NODE1)
    tgtd.log.clear()
    assert reconcile.apply(wanted(other), wanted(config)) == []
    steps = [line.rsplit(" ", 1)[0] if "--password" in line else line for line in tgtd.log]
    closed = max(at for at, line in enumerate(steps) if line.startswith("unbind target"))
    changed = [at for at, line in enumerate(steps) if " account " in line]
    opened = min(at for at, line in enumerate(steps) if line.startswith("bind target"))
    assert closed < min(changed)
    assert max(changed) < opened
    assert tgtd.target(BLOCKS).users == ["username"]
    assert tgtd.accounts == {"username": "another-password"}
    assert tgtd.target(BLOCKS).sessions, "who is in stays in"


def test_one_account_of_several_can_go(tgtd: FakeTgtd, config: dict[str, Any]) -> None:
    acls = config["targets"][0]["tpgs"][0]["node_acls"]
    for number, acl in enumerate(acls):
        acl.update(chap_userid=f"user{number}", chap_password="password")  # noqa: S106
    reconcile.apply(wanted(config), NOTHING)
    before = wanted(copy.deepcopy(config))
    acls.pop(0)
    assert reconcile.apply(wanted(config), before) == []
    assert tgtd.target(BLOCKS).users == ["user1", "user2", "user3"]
    assert sorted(tgtd.accounts) == ["user1", "user2", "user3"]
    assert tgtd.target(BLOCKS).allowed == [acl["node_wwn"] for acl in acls]


def test_authentication_without_credentials_locks(tgtd: FakeTgtd, config: dict[str, Any]) -> None:
    config["targets"][0]["tpgs"][0]["attributes"]["authentication"] = 1
    reconcile.apply(wanted(config), NOTHING)
    assert tgtd.target(BLOCKS).users == [reconcile.BARRIER]


def test_mutual_chap_is_the_outgoing_account(tgtd: FakeTgtd, config: dict[str, Any]) -> None:
    give_chap(config, mutual=True)
    reconcile.apply(wanted(config), NOTHING)
    assert (tgtd.target(BLOCKS).users, tgtd.target(BLOCKS).outgoing) == (["username"], "target")
    assert tgtd.target("iqn.2023-02.com.example:check").users == []


def test_demo_mode_lets_all_in(tgtd: FakeTgtd, config: dict[str, Any]) -> None:
    tpg = config["targets"][0]["tpgs"][0]
    tpg["node_acls"] = []
    tpg["attributes"]["generate_node_acls"] = 1
    reconcile.apply(wanted(config), NOTHING)
    assert tgtd.target(BLOCKS).allowed == ["ALL"]
    assert tgtd.target(BLOCKS).luns[1].about["readonly"] == "1", "demo mode is read-only by default"
    tpg["attributes"]["demo_mode_write_protect"] = 0
    reconcile.apply(wanted(config), wanted(config))
    assert tgtd.target(BLOCKS).luns[1].about["readonly"] == "0"


def test_without_write_cache_every_write_is_synchronous(tgtd: FakeTgtd, config: dict[str, Any]) -> None:
    config["storage_objects"][0]["write_back"] = False
    reconcile.apply(wanted(config), NOTHING)
    luns = tgtd.target(BLOCKS).luns
    assert (luns[1].flags, luns[2].flags) == ("sync", "")


@pytest.mark.parametrize(("change", "words"), [
    (lambda tpg: tpg["luns"][0].update(index=0), "LUN 0 is tgtd's controller"),
    (lambda tpg: tpg["node_acls"][0]["mapped_luns"].pop(), "tgtd maps every LUN to every initiator"),
    (lambda tpg: tpg["node_acls"][0]["mapped_luns"][0].update(write_protect=True), "cannot protect"),
    (lambda tpg: [acl.update(chap_userid="u", chap_password=acl["node_wwn"]) for acl in tpg["node_acls"]],
     "CHAP user u has two passwords"),
])  # fmt: skip
def test_what_tgtd_cannot_have_is_said(
    tgtd: FakeTgtd, config: dict[str, Any], change: Any, words: str
) -> None:
    change(config["targets"][0]["tpgs"][0])
    assert any(words in problem for problem in reconcile.apply(wanted(config), NOTHING))
    assert 0 not in tgtd.target(BLOCKS).luns


@pytest.mark.parametrize(
    "broken", [{"targets": [{}]}, {"storage_objects": [1]}, {"targets": [{"wwn": "x", "tpgs": 3}]}]
)
def test_a_document_of_another_form_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(document.BadDocument, match="not of LIO's form"):
        document.wanted({**document.empty(), **broken})


@pytest.mark.parametrize(("text", "words"), [(None, "there is no file"), ("{", "not JSON"), ("[]", "no {")])
def test_a_file_that_is_no_document(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(document.BadDocument, match=words) as caught:
        document.load(str(path))
    assert str(path) in str(caught.value)


def test_show(tgtd: FakeTgtd, config: dict[str, Any]) -> None:
    reconcile.apply(wanted(config), NOTHING)
    tgtd.log_in(BLOCKS, NODE1)
    shown = target.describe(tgt.targets(), tgt.portals(), config)["targets"]
    [blocks] = [each for each in shown if each["iqn"] == BLOCKS]
    assert blocks["portals"] == ["192.168.100.100:3260"]
    assert [(lun["lun"], lun["name"], lun["size"], lun["online"]) for lun in blocks["luns"]] == [
        (1, "sdb", 2 * 1024**3, True),
        (2, "sdc", 2 * 1024**3, True),
        (3, "sdd", 2 * 1024**3, True),
    ]
    assert blocks["sessions"] == [{"initiator": NODE1, "address": "192.168.100.110", "connections": 1}]
    assert blocks["chap"] is False


def give_chap(config: dict[str, Any], password: str = "password1234", *, mutual: bool = False) -> None:  # noqa: S107
    for acl in config["targets"][0]["tpgs"][0]["node_acls"]:
        acl.update(chap_userid="username", chap_password=password)
        if mutual:
            acl.update(chap_mutual_userid="target", chap_mutual_password="secretsecret")  # noqa: S106
