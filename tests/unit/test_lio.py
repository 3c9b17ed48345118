"""The lio driver's own logic, upon folders that look like sysfs, configfs and open-iscsi's records."""

from __future__ import annotations

import json
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from labctl import run
from labctl.engine.base import Engine
from labctl.errors import ActionFailed
from labctl.run import Result
from labctl.storage import lio_host, lio_kernel, lio_node, lio_target
from labctl.storage.lio_daemon import LioKeeper, session_of
from labctl.storage.lio_host import MODULES, Claim, Host
from labctl.storage.lio_kernel import Block, Lun, Session
from labctl.storage.lio_link import Link, Plan
from labctl.storage.lio_session import Account, Initiator, changed, iface_name
from tests.fakes.engine import FakeEngine

TARGET = "iqn.2023-02.com.example:blocks"
NODE1 = "iqn.2023-02.com.example:node1.init"
NAA = "60014050123456789abcdef012345678"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def make_session(sys: Path, sid: int, iface: str, disks: Sequence[str], *, parts: int = 0) -> Path:
    """A session in sysfs as Linux 6.1 shows it; disk n has LUN n, counted from 1."""
    root = sys / f"devices/platform/host{sid}/session{sid}"
    for name, text in {
        "ifacename": iface,
        "initiatorname": NODE1,
        "targetname": TARGET,
        "state": "LOGGED_IN",
    }.items():
        write(root / f"iscsi_session/session{sid}" / name, text)
    (root / f"iscsi_session/session{sid}/device").symlink_to(root)
    (sys / "class/iscsi_session").mkdir(parents=True, exist_ok=True)
    (sys / f"class/iscsi_session/session{sid}").symlink_to(root / f"iscsi_session/session{sid}")
    for lun, name in enumerate(disks, 1):
        device = root / f"target{sid}:0:0/{sid}:0:0:{lun}"
        write(device / "state", "running")
        write(device / "wwid", f"naa.{NAA}")
        (device / "vpd_pg80").write_bytes(b"\0\x80\0\x06serial")
        block = device / "block" / name
        write(block / "dev", f"8:{16 * lun}")
        write(block / "size", "4194304")
        (block / "device").symlink_to(device)
        (sys / "class/block").mkdir(parents=True, exist_ok=True)
        (sys / "class/block" / name).symlink_to(block)
        for part in range(1, parts + 1):
            write(block / f"{name}{part}/dev", f"8:{16 * lun + part}")
            write(block / f"{name}{part}/partition", str(part))
    return root


def make_target(sys: Path, *, serials: Sequence[str] = ("s1",), busy: bool = False) -> Path:
    """A target in configfs: only the folders and links, so that rmdir minds their order as configfs does."""
    top = sys / "kernel/config/target"
    group = top / f"iscsi/{TARGET}/tpgt_1"
    for number, _ in enumerate(serials, 1):
        store = top / f"core/fileio_{number}/sd{number}"
        (store / "wwn").mkdir(parents=True)
        (group / f"lun/lun_{number}").mkdir(parents=True)
        (group / f"lun/lun_{number}/link").symlink_to(store)
        (group / f"acls/{NODE1}/lun_{number}").mkdir(parents=True)
        (group / f"acls/{NODE1}/lun_{number}/link").symlink_to(group / f"lun/lun_{number}")
    (group / "np/127.0.0.1:4000").mkdir(parents=True)
    if busy:
        write(group / f"acls/{NODE1}/info", f"InitiatorName: {NODE1}\nInitiatorAlias:")
    return group


# -- sysfs -----------------------------------------------------------------------------------


def test_sessions_are_read_with_disks_and_partitions(tmp_path: Path) -> None:
    make_session(tmp_path, 3, "labctl.a.node1", ["sdf", "sde"], parts=1)
    [found] = lio_kernel.sessions(tmp_path)
    assert (found.sid, found.iface, found.initiator, found.state) == (3, "labctl.a.node1", NODE1, "LOGGED_IN")
    assert [(lun.lun, lun.disk, lun.size) for lun in found.luns] == [
        (1, Block("sdf", (8, 16)), 2 * 1024**3),
        (2, Block("sde", (8, 32)), 2 * 1024**3),
    ]
    assert found.luns[0].partitions == (Block("sdf1", (8, 17), 1),)
    assert (found.luns[0].naa, found.luns[0].serial) == (NAA, "serial")


def test_a_kernel_without_iscsi_has_no_sessions(tmp_path: Path) -> None:
    assert lio_kernel.sessions(tmp_path) == []


def test_all_disks_of_a_session_go_offline(tmp_path: Path) -> None:
    root = make_session(tmp_path, 1, "labctl.a.node1", ["sda", "sdb"])
    lio_kernel.set_offline(lio_kernel.sessions(tmp_path)[0], tmp_path)
    assert [path.read_text() for path in sorted(root.glob("target*/*/state"))] == ["offline\n"] * 2


def test_a_disk_that_does_not_go_offline_is_an_error(tmp_path: Path) -> None:
    root = make_session(tmp_path, 1, "labctl.a.node1", ["sda"])
    [state] = root.glob("target*/*/state")
    state.unlink()
    state.symlink_to("/proc/sys/kernel/ostype")  # takes no writing
    with pytest.raises(ActionFailed, match="cannot be set offline"):
        lio_kernel.set_offline(lio_kernel.sessions(tmp_path)[0], tmp_path)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            b"add@/devices/platform/host2/session1/target2:0:0/2:0:0:1/block/sdb/sdb1\0ACTION=add",
            ["session1"],
        ),
        (b"add@/devices/platform/host2/session1/iscsi_session/session1\0ACTION=add", []),
        (b"add@/devices/virtual/block/loop0\0ACTION=add", []),
        (b"libudev\0\xfe\xed", []),
    ],
)
def test_uevents_name_their_session(message: bytes, expected: list[str]) -> None:
    assert session_of(message) == expected


# -- configfs --------------------------------------------------------------------------------


def test_a_target_is_removed_in_the_kernels_order_and_others_stay(tmp_path: Path) -> None:
    make_target(tmp_path, serials=("s1", "s2"))
    other = tmp_path / "kernel/config/target/iscsi/iqn.2000-01.org.other:x/tpgt_1"
    other.mkdir(parents=True)
    assert lio_kernel.remove_target(TARGET, tmp_path) == [
        # Only here: the kernel makes and removes these with the portal group.
        f"{tmp_path}/kernel/config/target/iscsi/{TARGET}/tpgt_1: Directory not empty",
        f"{tmp_path}/kernel/config/target/iscsi/{TARGET}: Directory not empty",
    ]
    group = tmp_path / f"kernel/config/target/iscsi/{TARGET}/tpgt_1"
    assert [path.name for path in sorted(group.rglob("*"))] == ["acls", "lun", "np"]
    assert other.is_dir()
    assert lio_kernel.remove_fabric(tmp_path) == []
    assert other.is_dir()


def test_removing_what_is_not_there_is_no_problem(tmp_path: Path) -> None:
    assert lio_kernel.remove_target(TARGET, tmp_path) == []
    assert lio_kernel.remove_stores(["s1"], tmp_path) == []
    assert lio_kernel.remove_fabric(tmp_path) == []


def test_only_storage_objects_with_our_serials_are_removed(tmp_path: Path) -> None:
    core = tmp_path / "kernel/config/target/core"
    write(core / "fileio_0/sdb/wwn/vpd_unit_serial", "T10 VPD Unit Serial Number: ours")
    write(core / "fileio_1/sdb/wwn/vpd_unit_serial", "T10 VPD Unit Serial Number: theirs")
    # A folder with attributes cannot be removed here; that it was tried tells which were chosen.
    assert lio_kernel.remove_stores(["ours"], tmp_path) == [f"{core}/fileio_0/sdb: Directory not empty"]


def test_an_acl_with_a_session_is_in_use(tmp_path: Path) -> None:
    group = make_target(tmp_path, busy=True)
    assert lio_kernel.acl_in_use(TARGET, NODE1, tmp_path)
    write(group / f"acls/{NODE1}/info", f"No active iSCSI Session for Initiator Endpoint: {NODE1}")
    assert not lio_kernel.acl_in_use(TARGET, NODE1, tmp_path)


def test_a_denied_initiator_has_no_acl_left(tmp_path: Path) -> None:
    make_target(tmp_path, serials=("s1", "s2"))
    assert lio_kernel.has_acl(TARGET, NODE1, tmp_path)
    lio_kernel.deny(TARGET, NODE1, tmp_path)
    assert not lio_kernel.has_acl(TARGET, NODE1, tmp_path)


# -- the host --------------------------------------------------------------------------------


def able() -> Host:
    return Host(True, True, dict.fromkeys(MODULES, True), iscsiadm=True, iscsid=True)


def test_an_able_host_lacks_nothing() -> None:
    assert lio_host.lacks(able()) == []


def test_everything_that_is_lacking_is_named_with_its_command() -> None:
    modules = {**dict.fromkeys(MODULES, True), "iscsi_tcp": False, "iscsi_target_mod": False}
    found = lio_host.lacks(Host(False, False, modules, iscsiadm=False, iscsid=False, busy="lab x has it"))
    text = "\n".join(f"{lack.what} → {lack.mend}" for lack in found)
    for part in ("root", "network namespace", "modprobe -a iscsi_target_mod iscsi_tcp",
                 "apt-get install open-iscsi", "lab x has it"):  # fmt: skip
        assert part in text
    assert [lack.package for lack in found if lack.package] == ["open-iscsi"]


def claim(lab: str, root: str = "/labs") -> Claim:
    return Claim(lab, f"{root}/{lab}", (TARGET,), ("s1",), 4000, started_iscsid=True, made_fabric=False)


def test_claims_come_back_as_they_were_and_damaged_ones_are_left_out(tmp_path: Path) -> None:
    claim("a").save(tmp_path)
    (tmp_path / "b.json").write_text('{"lab": "b"')
    assert list(lio_host.read_claims(tmp_path)) == [claim("a")]
    (tmp_path / "b.json").unlink()
    claim("a").drop(tmp_path)
    assert not tmp_path.exists()


@pytest.mark.parametrize(
    ("lab", "root", "expected"),
    [
        ("a", "/labs/a", ""),
        ("b", "/labs/b", "lab a of /labs/a serves"),
        ("a", "/elsewhere/a", "lab a of /labs/a serves"),
    ],
)
def test_one_lab_has_the_kernels_target(tmp_path: Path, lab: str, root: str, expected: str) -> None:
    claim("a").save(tmp_path / "claims")
    make_target(tmp_path / "sys")
    said = lio_host.busy(lab, Path(root), TARGET, sys=tmp_path / "sys", claims=tmp_path / "claims")
    assert said.startswith(expected)
    assert bool(said) is bool(expected)


def test_without_a_lab_in_mind_nobody_is_in_the_way(tmp_path: Path) -> None:
    claim("a").save(tmp_path / "claims")
    make_target(tmp_path / "sys")
    assert not lio_host.busy("", Path("/labs"), "", sys=tmp_path / "sys", claims=tmp_path / "claims")


def test_a_target_that_nobody_has_claimed_is_the_hosts_own(tmp_path: Path) -> None:
    make_target(tmp_path / "sys")
    said = lio_host.busy("a", Path("/labs/a"), TARGET, sys=tmp_path / "sys", claims=tmp_path / "claims")
    assert "not labctl's" in said


# -- records ---------------------------------------------------------------------------------


def test_a_record_is_changed_in_place_and_keeps_the_rest() -> None:
    record = "# BEGIN RECORD 2.1.8\nnode.startup = automatic\nnode.name = x\n# END RECORD\n"
    settings = {"node.startup": "manual", "node.session.auth.password": "a = b"}
    assert changed(record, settings).splitlines() == [
        "# BEGIN RECORD 2.1.8",
        "node.name = x",
        "node.startup = manual",
        "node.session.auth.password = a = b",
        "# END RECORD",
    ]


def test_only_a_labs_own_records_are_found_and_forgotten(tmp_path: Path) -> None:
    host = Initiator(sys=tmp_path / "sys", roots=(tmp_path / "iscsi",))
    ours, theirs = iface_name("a", "node1"), iface_name("a-b", "node1")
    for iface in (ours, theirs):
        write(tmp_path / f"iscsi/ifaces/{iface}", "")
        write(tmp_path / f"iscsi/nodes/{TARGET}/127.0.0.1,4000,1/{iface}", "")
        (tmp_path / "iscsi/static").mkdir(exist_ok=True)
        (tmp_path / f"iscsi/static/{TARGET},127.0.0.1,4000,1,{iface}").symlink_to("/nowhere")
    assert host.ifaces("a") == [ours]
    host.forget(ours)
    left = [path for path in (tmp_path / "iscsi").rglob("*") if not path.is_dir()]
    assert len(left) == 3
    assert all(theirs in path.name for path in left)
    host.forget(theirs)
    assert not list((tmp_path / "iscsi").iterdir())


def test_a_session_whose_records_are_gone_is_still_found(tmp_path: Path) -> None:
    make_session(tmp_path / "sys", 1, iface_name("a", "node2"), [])
    assert Initiator(sys=tmp_path / "sys", roots=()).ifaces("a") == ["labctl.a.node2"]


# -- cutting off -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Daemon(Initiator):
    """A host whose iscsid logs out, or does not; notes what the disks' state was then."""

    answers: bool = True
    seen: Path = Path()

    def iscsiadm(self, *words: str, timeout: float = 15.0, accept: Sequence[int] = ()) -> Result:
        states = [
            path.read_text().strip() for path in self.sys.glob("devices/platform/*/session*/target*/*/state")
        ]
        write(self.seen, json.dumps([words, states]))
        if not self.answers:
            raise ActionFailed("no daemon")
        for entry in (self.sys / "class/iscsi_session").iterdir():
            entry.unlink()
        for info in (self.sys / "kernel").rglob("info"):
            info.write_text("No active iSCSI Session for Initiator Endpoint: x\n")
        return Result((), 0, "", "")

    def log_out(self, session: Session) -> None:
        self.iscsiadm("-m", "session", "-r", str(session.sid), "-u")


def plan(tmp_path: Path) -> Plan:
    return Plan("a", str(tmp_path), TARGET, "192.168.100.100:3260", 4000, ("sdb", "sdc"), {"node1": NODE1})


def test_the_disks_are_offline_before_the_session_ends(tmp_path: Path) -> None:
    sys = tmp_path / "sys"
    make_session(sys, 1, iface_name("a", "node1"), ["sda", "sdb"])
    make_target(sys, busy=True)
    Link(plan(tmp_path), Daemon(sys=sys, seen=tmp_path / "seen"), patience=0.2).cut("node1")
    words, states = json.loads((tmp_path / "seen").read_text())
    assert (words[-1], states) == ("-u", ["offline", "offline"])


def test_a_disk_that_is_blocked_does_not_keep_the_session(tmp_path: Path) -> None:
    sys = tmp_path / "sys"
    [state] = make_session(sys, 1, iface_name("a", "node1"), ["sda"]).glob("target*/*/state")
    state.unlink()
    state.symlink_to("/proc/sys/kernel/ostype")  # as the kernel does while the target is away: no change
    make_target(sys, busy=True)
    Link(plan(tmp_path), Daemon(sys=sys, seen=tmp_path / "seen"), patience=0.2).cut("node1")
    assert json.loads((tmp_path / "seen").read_text())[0][-1] == "-u"
    assert not lio_kernel.sessions(sys)


def test_a_cut_that_the_target_does_not_confirm_is_an_error(tmp_path: Path) -> None:
    sys = tmp_path / "sys"
    make_session(sys, 1, iface_name("a", "node1"), ["sda"])
    make_target(sys, busy=True)  # its info file keeps the ACL from being removed, as a hung session would
    link = Link(plan(tmp_path), Daemon(sys=sys, seen=tmp_path / "seen", answers=False), patience=0.2)
    with pytest.raises(ActionFailed, match="not certain that node1 is cut off"):
        link.cut("node1")


def test_without_a_daemon_the_target_shuts_the_initiator_out(tmp_path: Path) -> None:
    sys = tmp_path / "sys"
    make_session(sys, 1, iface_name("a", "node1"), ["sda"])
    make_target(sys)
    link = Link(plan(tmp_path), Daemon(sys=sys, seen=tmp_path / "seen", answers=False), patience=0.2)
    link.cut("node1")
    assert not lio_kernel.has_acl(TARGET, NODE1, sys)


def test_other_nodes_sessions_are_left_alone(tmp_path: Path) -> None:
    sys = tmp_path / "sys"
    root = make_session(sys, 1, iface_name("a", "node2"), ["sda"])
    make_target(sys)
    Link(plan(tmp_path), Daemon(sys=sys, seen=tmp_path / "seen"), patience=0.2).cut("node1")
    assert [path.read_text().strip() for path in root.glob("target*/*/state")] == ["running"]
    assert lio_kernel.has_acl(TARGET, NODE1, sys)


def test_a_plan_comes_back_and_only_root_reads_its_passwords(tmp_path: Path) -> None:
    made = Plan(**{**vars(plan(tmp_path)), "chap": Account("u", "secret", "m", "other")})
    made.save()
    assert Plan.load(tmp_path) == made
    assert stat.S_IMODE((tmp_path / "lio.json").stat().st_mode) == 0o600
    assert "secret" not in repr(made)
    assert Plan.load(tmp_path / "nowhere") is None


# -- the lab's daemon ------------------------------------------------------------------------


class Flaky(Link):
    """A link whose node answers at the third attempt."""

    tries: ClassVar[list[str]] = []

    def attach(self, engine: Engine, node: str) -> None:
        self.tries.append(node)
        if len(self.tries) < 3:
            raise ActionFailed("podman does not answer")


def test_the_daemon_tries_again_until_a_node_has_its_disks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan(tmp_path).save()
    keeper = LioKeeper(tmp_path, FakeEngine(on=["node1"]), network=0)
    Flaky.tries.clear()
    monkeypatch.setattr(keeper, "_link", lambda: Flaky(plan(tmp_path), Initiator()))
    keeper.attach("node1")
    assert Flaky.tries == ["node1"] * 3
    keeper.attach("node2")  # not of this lab
    assert len(Flaky.tries) == 3


def test_a_lab_without_a_plan_is_left_alone(tmp_path: Path) -> None:
    keeper = LioKeeper(tmp_path, FakeEngine(on=["node1"]), network=0)
    keeper.cut("node1")
    keeper.attach("node1")


# -- in the node -----------------------------------------------------------------------------


def a_lun(number: int, kernel_name: str, parts: int = 0) -> Lun:
    blocks = tuple(Block(f"{kernel_name}{n}", (8, n), n) for n in range(1, parts + 1))
    return Lun(number, Block(kernel_name, (8, 0)), blocks, 2**31, NAA, "serial", "running")


def a_session(*luns: Lun) -> Session:
    return Session(7, "labctl.a.node1", NODE1, TARGET, "LOGGED_IN", luns)


def test_disks_are_named_by_lun_whatever_the_kernel_calls_them() -> None:
    luns = (a_lun(3, "sda"), a_lun(1, "sdz"), a_lun(4, "sdq"), a_lun(2, "sdc"))
    named = lio_node.named(luns, ("sdb", "sdc", "sdd"))
    assert [(lun.disk.kernel_name, name) for lun, name in named] == [
        ("sdz", "sdb"), ("sdc", "sdc"), ("sda", "sdd"), ("sdq", "sde"),
    ]  # fmt: skip


def place(tmp_path: Path, text: str) -> Path:
    """Run the node's command with a mknod(1) that makes plain files, below tmp_path."""
    tools = tmp_path / "tools"
    if not tools.exists():
        tools.mkdir()
        (tools / "mknod").write_text('#!/bin/sh\necho "$5 $6" > "$3"\n')
        (tools / "mknod").chmod(0o755)
    words = lio_node.argv()
    words[-3], words[-1] = str(tmp_path / "run"), str(tmp_path / "dev")
    path = f"{tools}:/usr/bin:/bin"
    run.run(words, stdin=text, timeout=30, env={"PATH": path})
    return tmp_path / "dev"


def test_a_node_gets_devices_links_and_the_sessions_state(tmp_path: Path) -> None:
    text = lio_node.placed(
        a_session(a_lun(1, "sdq", parts=1), a_lun(2, "sdr")), ("sdb", "sdc"), "10.0.0.1:3260"
    )
    dev = place(tmp_path, text)
    assert (dev / "sdb").read_text() == "8 0\n"
    assert (dev / "sdb1").read_text() == "8 1\n"
    assert (dev / f"disk/by-id/wwn-0x{NAA}-part1").readlink() == Path("../../sdb1")
    assert (dev / f"disk/by-path/ip-10.0.0.1:3260-iscsi-{TARGET}-lun-2").readlink() == Path("../../sdc")
    state = json.loads((tmp_path / "run/sessions/lio.json").read_text())
    assert (state["sid"], [disk["name"] for disk in state["disks"]]) == (7, ["sdb", "sdc"])


def test_what_is_no_longer_there_goes_away_and_the_rest_stays(tmp_path: Path) -> None:
    names = ("sdb", "sdc")
    dev = place(tmp_path, lio_node.placed(a_session(a_lun(1, "sdq", parts=2), a_lun(2, "sdr")), names, "p"))
    (dev / "null").write_text("not ours")
    place(tmp_path, lio_node.placed(a_session(a_lun(1, "sdq", parts=1)), names, "p"))
    assert sorted(path.name for path in dev.iterdir()) == ["disk", "null", "sdb", "sdb1"]
    place(tmp_path, lio_node.nothing())
    assert sorted(path.name for path in dev.iterdir()) == ["disk", "null"]
    assert not list((tmp_path / "run/sessions").iterdir())
    assert not list((dev / "disk/by-id").iterdir())


# -- the target's program --------------------------------------------------------------------


class Store:
    """A storage object of rtslib, as far as the program looks at it."""

    plugin, name, wwn = "fileio", "sdb", "somebody's"


class Root:
    storage_objects = (Store(),)


def test_a_backstore_that_is_not_the_labs_is_never_taken_over() -> None:
    with pytest.raises(lio_target.Refused, match="fileio/sdb already, and it is not this lab's"):
        lio_target._stores(Root(), [{"plugin": "fileio", "name": "sdb", "wwn": "ours"}])


def test_wrong_words_are_answered_with_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert lio_target.main(["frobnicate"]) == 2
    assert "labctl-target serve" in capsys.readouterr().err


def test_a_broken_document_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lio_target, "LOCK", str(tmp_path / "lock"))
    (tmp_path / "bad.json").write_text("[]")
    assert lio_target.main(["apply", str(tmp_path / "bad.json")]) == 1
    assert "is no target configuration" in capsys.readouterr().err


# -- the host's udev -------------------------------------------------------------------------


def test_udev_is_told_to_leave_the_disks_of_this_portal_alone(tmp_path: Path) -> None:
    rules = tmp_path / "udev/rules.d"
    lio_host.keep_udev_away("a", 4000, rules)
    assert not rules.exists()  # a host without udev
    rules.parent.mkdir()
    lio_host.keep_udev_away("a", 4000, rules)
    [rule] = rules.iterdir()
    text = rule.read_text()
    assert 'ENV{ID_PATH}!="ip-127.0.0.1:4000-iscsi-*", GOTO="labctl_end"' in text
    assert 'ENV{ID_FS_TYPE}=""' in text
    lio_host.let_udev_near("a", rules)
    assert not rules.exists()
    lio_host.let_udev_near("a", rules)


def test_a_lab_is_known_by_its_claim_or_by_records_alone(tmp_path: Path) -> None:
    claims, records = tmp_path / "claims", (tmp_path / "iscsi",)
    assert not lio_host.touched("a", claims=claims, records=records)
    write(tmp_path / "iscsi/ifaces" / iface_name("a", "node1"), "")
    assert lio_host.touched("a", claims=claims, records=records)
    assert not lio_host.touched("b", claims=claims, records=records)
    claim("b").save(claims)
    assert lio_host.touched("a", claims=claims, records=records)
