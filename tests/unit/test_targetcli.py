"""targetcli on a node: the course's commands, their answers, and that nothing is done by halves."""

from __future__ import annotations

from pathlib import Path

import pytest

from labctl.storage.innode import document, targetcli
from tests.fakes import targetcli as fakes
from tests.fakes.targetcli import BLOCKS, NODE1, TPG, Cli
from tests.fakes.tgtd import FakeTgtd

cli, tgtd = fakes.cli, fakes.tgtd  # fixtures


# -- the course's commands ----------------------------------------------------------------------


def test_the_course_commands_answer_as_the_original(cli: Cli, tgtd: FakeTgtd) -> None:
    assert (
        cli(f"backstores/fileio create sdb {cli.disks}/sdb.img 2G")
        == "Created fileio sdb with size 2147483648"
    )
    assert (cli.disks / "sdb.img").stat().st_size == 2 * 1024**3
    assert (cli.disks / "sdb.img").stat().st_blocks == 0
    assert cli(f"iscsi/ create {BLOCKS}").splitlines() == [
        f"Created target {BLOCKS}.",
        "Created TPG 1.",
        "Global pref auto_add_default_portal=true",
        "Created default portal listening on all IPs (0.0.0.0), port 3260.",
    ]
    assert cli(f"{TPG}/luns/ create /backstores/fileio/sdb/") == "Created LUN 1."
    assert cli(f"{TPG}/acls/ create {NODE1}").splitlines() == [
        f"Created Node ACL for {NODE1}",
        "Created mapped LUN 1.",
    ]
    assert tgtd.target(BLOCKS).allowed == [NODE1]
    assert tgtd.target(BLOCKS).users == []
    assert cli(f"{TPG}/acls/{NODE1} set auth userid=username") == "Parameter userid is now 'username'."
    assert cli(f"{TPG}/acls/{NODE1} set auth password=password") == "Parameter password is now 'password'."
    assert tgtd.target(BLOCKS).users == ["username"]
    assert cli("saveconfig") == f"Configuration saved to {document.SAVED}"
    assert Path(document.SAVED).stat().st_mode & 0o777 == 0o600
    cli.disk("sde")
    assert cli(f"{TPG}/luns/ create /backstores/fileio/sde/").splitlines() == [
        "Created LUN 2.",
        f"Created LUN 2->2 mapping in node ACL {NODE1}",
    ]


def test_the_tree(cli: Cli) -> None:
    cli.course()
    short = cli(f"ls {TPG}")
    assert short.splitlines() == [
        "o- tpg1 ................................................. [no-gen-acls, no-auth]",
        "  o- acls ............................................................ [ACLs: 1]",
        "  | o- iqn.2023-02.com.example:node1.init ..................... [Mapped LUNs: 2]",
        "  |   o- mapped_lun1 .................................... [lun1 fileio/sdb (rw)]",
        "  |   o- mapped_lun2 .................................... [lun2 fileio/sdc (rw)]",
        "  o- luns ............................................................ [LUNs: 2]",
        *[line for line in short.splitlines() if "lun1  [" in line or "lun2  [" in line],
        "  o- portals ...................................................... [Portals: 1]",
        "    o- 0.0.0.0:3260 ....................................................... [OK]",
    ]
    assert cli("ls / 1").splitlines() == [
        "o- / ..................................................................... [...]",
        "  o- backstores .......................................................... [...]",
        "  o- iscsi ........................................................ [Targets: 1]",
    ]
    (cli.disks / "sdb.img").unlink()
    assert "sdb.img MISSING]" in cli("ls backstores/fileio")


def test_what_it_is_is_said_once(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    Path(targetcli.SAID).unlink()
    assert targetcli.main(["pwd"]) == 0
    first = capsys.readouterr()
    assert "tgtd" in first.err
    assert "LUNs begin at 1" in first.err
    assert first.out == "/\n"
    assert cli("pwd") == "/"


# -- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("line", "words"), [
    ("iscsi/nix ls", "No such path /iscsi/nix"),
    ("bogus", "Command not found bogus"),
    ("backstores/fileio create", "Missing required parameters 'file_or_dev', 'name'"),
    (f"{TPG}/luns create", "Missing required parameter storage_object"),
    (f"{TPG}/luns create /backstores/fileio/none", "storage object or path not valid"),
    (f"{TPG}/luns create /backstores/fileio/sdb", "lun for storage object fileio/sdb already exists"),
    (f"{TPG}/luns create /backstores/ramdisk/r lun=0", "LUN 0 is the controller"),
    (f"{TPG}/luns create /backstores/ramdisk/r lun=1", "This LUN already exists in configFS"),
    (f"{TPG}/luns create /backstores/ramdisk/r 3 false", "tgtd maps every LUN to every initiator"),
    (f"{TPG}/luns delete 7", "Invalid LUN"),
    (f"{TPG}/acls create {NODE1}", "This NodeACL already exists in configFS"),
    (f"{TPG}/acls create node1", "WWN not valid as: iqn, naa, eui"),
    (f"{TPG}/acls/{NODE1} delete 1", "tgtd shows every LUN"),
    (f"{TPG}/acls/{NODE1} set auth nothing=1", "Unknown parameter nothing in group 'auth'."),
    (f"{TPG}/acls/{NODE1} set auth password=a,b", "without comma"),
    (f"{TPG} set attribute authentication=2", "Not setting authentication! Syntax error"),
    (f"{TPG} set parameter MaxBurstLength=much", "Not setting MaxBurstLength!"),
    (f"{TPG} set nothing x=1", "Unknown configuration group: nothing"),
    (f"{TPG}/portals create 10.0.0.1", "port 3260 is taken"),
    (f"{TPG}/portals create ::0", "use 0.0.0.0"),
    (f"{TPG}/portals delete 10.0.0.1 3260", "No such NetworkPortal"),
    (f"iscsi/ create {BLOCKS}", "This Target already exists in configFS"),
    ("iscsi/ create disk", "WWN not valid as: iqn, naa, eui"),
    ("iscsi/ create iqn.2023-02.com.example:a_b", "tgtd takes letters, digits"),
    (f"iscsi/{BLOCKS} create 2", "one portal group"),
    ("iscsi/ delete iqn.2023-02.com.example:none", "No such Target in configfs"),
    ("backstores/fileio delete none", "No storage object named none."),
    ("backstores/ramdisk create r 1M", "Storage object ramdisk/r exists"),
    ("backstores/ramdisk create q 1X", "Cannot interpret size, wrong format: 1X"),
    ("backstores/pscsi create p /dev/sda", "pscsi is not there"),
    ("backstores/block create b /dev/null", "Device /dev/null is not a TYPE_DISK block device"),
    ("backstores/fileio create x /nowhere/x.img 1M", "Could not open /nowhere/x.img"),
    ("backstores/fileio create x /dev/null 1M", "Path /dev/null exists but is not a file"),
    ("backstores/fileio create x /tmp/t-none.img", "need a size"),
    ("backstores/fileio create x /dev/zero y=1", "Unexpected keyword parameter 'y'."),
    ("clearconfig", "confirm=True needs to be set"),
    ("restoreconfig /nowhere", "Restore file /nowhere not found"),
    ("ls / deep", "The tree depth must be a number."),
])  # fmt: skip
def test_what_does_not_fit_is_refused_and_changes_nothing(
    cli: Cli, tgtd: FakeTgtd, line: str, words: str
) -> None:
    cli.course()
    cli("backstores/ramdisk create r 1M")
    before = Path(document.RUNNING).read_text()
    tgtd.log.clear()
    assert words in cli(line, rc=1)
    assert Path(document.RUNNING).read_text() == before
    assert tgtd.log == []


def test_a_file_that_is_there_is_taken_as_it_is(cli: Cli) -> None:
    path = cli.disks / "old.img"
    path.write_bytes(b"data" * 1024)
    said = cli(f"backstores/fileio create old {path} 2G")
    assert said.splitlines() == [
        f"{path} exists, using its size (4096 bytes) instead",
        "Created fileio old with size 4096",
    ]
    assert path.read_bytes() == b"data" * 1024
    assert f"storage object for {path} already exists: old" in cli(
        f"backstores/fileio create again {path}", rc=1
    )


@pytest.mark.parametrize("line", [
    f"{TPG}/luns delete lun1", "backstores/fileio delete sdb", f"iscsi/ delete {BLOCKS}",
    f"iscsi/{BLOCKS} delete 1", "clearconfig confirm=True",
])  # fmt: skip
def test_what_is_in_use_is_not_removed(cli: Cli, tgtd: FakeTgtd, line: str) -> None:
    cli.course()
    tgtd.log_in(BLOCKS, NODE1)
    tgtd.log.clear()
    before = Path(document.RUNNING).read_text()
    said = cli(line, rc=1)
    assert f"is in use: {NODE1}" in said
    assert "--logout" in said
    assert (tgtd.log, Path(document.RUNNING).read_text()) == ([], before)
    tgtd.target(BLOCKS).sessions.clear()
    cli(line)


def test_a_portal_that_cannot_open_leaves_all_as_it_was(cli: Cli, tgtd: FakeTgtd) -> None:
    cli.course()
    cli(f"{TPG}/portals delete 0.0.0.0 3260")
    before = Path(document.RUNNING).read_text()
    tgtd.accepts_portals = False
    assert "10.9.9.9:3260 cannot be opened" in cli(f"{TPG}/portals create 10.9.9.9", rc=1)
    assert Path(document.RUNNING).read_text() == before
