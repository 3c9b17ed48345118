"""The shared disks of a whole lab: what `up` makes and mends, and that nothing acknowledged is lost."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labctl.engine.base import State
from labctl.errors import LabError
from labctl.wait import wait_until
from tests.lab.conftest import MakeLab
from tests.lab.driver import ALL, FQDN, PATIENCE, Driver, refused

TARGET = "iqn.2023-02.com.example:blocks"
RECORD = 4096  # bytes of one write
# Writes numbered records with O_SYNC|O_DIRECT and tells each number once the write has returned.
WRITER = """\
import mmap, os, sys
disk, start = os.open(sys.argv[1], os.O_RDWR | os.O_SYNC | os.O_DIRECT), int(sys.argv[2])
page = mmap.mmap(-1, 4096)
told = os.open("/var/tmp/acknowledged", os.O_RDWR | os.O_CREAT)
for number in range(int(sys.argv[3])):
    page[:16] = b"%16d" % number
    os.pwrite(disk, page, start + number * 4096)
    os.pwrite(told, page[:16], 0)
"""
COUNT = """\
import mmap, os, sys
disk, start = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT), int(sys.argv[2])
page, number = mmap.mmap(-1, 4096), 0
while os.preadv(disk, [page], start + number * 4096) == 4096 and page[:16] == b"%16d" % number:
    number += 1
print(number)
"""


class Writer:
    """A writer on a node, from byte `start` of a disk on."""

    def __init__(self, lab: Driver, node: str, disk: str, start: int) -> None:
        self._lab, self._node, self._disk, self._start = lab, node, disk, start
        words = ["python3", "-c", WRITER, f"/dev/{disk}", str(start), "100000"]
        lab.on(node, "rm", "-f", "/var/tmp/acknowledged")  # noqa: S108
        lab.on(node, "systemd-run", "--quiet", "--collect", "--unit=t-writer", *words)

    def await_records(self, more: int) -> int:
        """Wait for so many more acknowledged records; the number of the last."""
        first = self.acknowledged()
        wait_until(
            f"{self._node} to write {more} records",
            lambda: self.acknowledged() >= first + more,
            timeout=PATIENCE,
            last_seen=lambda: str(self.acknowledged()),
        )
        return self.acknowledged()

    def acknowledged(self) -> int:
        """The last number that the writer was told is on the disk; -1 for none. Works on a dead node, too."""
        try:
            text = self._lab.engine.node(self._node).get("/var/tmp/acknowledged").decode()  # noqa: S108
        except LabError:
            return -1
        return int(text) if text else -1

    def on_disk(self, seen_by: str) -> int:
        """How many records another node reads without a gap."""
        words = ["python3", "-c", COUNT, f"/dev/{self._disk}", str(self._start)]
        return int(self._lab.on(seen_by, *words).stdout)

    def stop(self) -> None:
        self._lab.on(self._node, "systemctl", "stop", "t-writer", check=False)


def digest(image: Path) -> str:
    """Of everything that a disk's image holds, and where; what is a hole, most of it, is not read."""
    found = hashlib.sha256()
    at, size = 0, 1 << 20
    with image.open("rb") as file:
        while (at := data_from(file.fileno(), at) // size * size) >= 0:
            part = os.pread(file.fileno(), size, at)
            if part.strip(b"\0"):  # zeros that were written are no more than a hole
                found.update(b"%d " % at + part)
            at += size
    return found.hexdigest()


def data_from(file: int, at: int) -> int:
    """Where in a sparse file the next data begin; -1 for nowhere."""
    try:
        return os.lseek(file, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return -1


@pytest.fixture
def begin(main: Driver) -> Iterator[Callable[[str, str], Writer]]:
    """Starts a writer at a place of sdd that no other test has used."""
    started: list[Writer] = []

    def start(node: str, disk: str = "sdd") -> Writer:
        begin.number += 1  # type: ignore[attr-defined]
        started.append(Writer(main, node, disk, begin.number * 200 * 1024 * 1024))  # type: ignore[attr-defined]
        return started[-1]

    yield start
    for writer in started:
        writer.stop()


begin.number = 0  # type: ignore[attr-defined]


# -- what is there ---------------------------------------------------------------------------


def test_status_tells_driver_target_sessions_and_disks(calm: Driver) -> None:
    storage = calm.json("status")["storage"]
    assert storage["driver"] in {"lio", "userspace"}
    assert storage["reason"]
    assert storage["target"] == {"iqn": TARGET, "portal": "192.168.100.100:3260", "answers": True}
    assert {each["node"]: each["logged_in"] for each in storage["sessions"]} == dict.fromkeys(ALL, True)
    assert [disk["name"] for disk in storage["disks"]] == ["sdb", "sdc", "sdd"]
    assert all(disk["nodes"] == list(ALL) and disk["size"] == 2 * 1024**3 for disk in storage["disks"])


def test_validate_tries_the_disks_for_real(calm: Driver) -> None:
    checks = {check["id"]: check["status"] for check in calm.json("validate")["checks"]}
    storage = {name: status for name, status in checks.items() if name.startswith("storage.")}
    assert len(storage) == 7
    assert set(storage.values()) == {"passed"}


def test_every_node_has_the_same_disks_by_name_and_by_id(calm: Driver) -> None:
    script = 'for disk in sdb sdc sdd; do echo "$disk $(find -L /dev/disk/by-id -samefile /dev/$disk)"; done'
    told = {node: calm.on(node, "sh", "-c", script).stdout for node in ALL}
    assert len(set(told.values())) == 1
    assert re.search(r"sdb .*/dev/disk/by-id/(wwn-0x|scsi-3)\w+", told["node1"])


def test_bytes_written_on_one_node_are_read_on_the_others(main: Driver) -> None:
    main.on(
        "node1", "sh", "-c", "echo from node1 | dd of=/dev/sdc bs=512 count=1 conv=sync,fsync 2>/dev/null"
    )
    for node in ALL[1:]:
        assert "from node1" in main.on(node, "dd", "if=/dev/sdc", "bs=512", "count=1", "iflag=direct").stdout


def test_a_file_system_moves_from_node_to_node_with_its_files(main: Driver) -> None:
    main.on(
        "node1", "sh", "-ec", "mkfs.xfs -qf /dev/sdc; mount /dev/sdc /mnt; echo kept > /mnt/file; umount /mnt"
    )
    said = main.on("node3", "sh", "-ec", "mount /dev/sdc /mnt; cat /mnt/file; umount /mnt").stdout
    assert said.strip() == "kept"
    main.on("node3", "wipefs", "-qa", "/dev/sdc")


# -- what up mends ---------------------------------------------------------------------------


def test_a_session_that_was_ended_is_begun_again(main: Driver) -> None:
    main.on("node2", "iscsiadm", "-m", "node", "-T", TARGET, "--logout")
    assert main.on("node2", "test", "-e", "/dev/sdb", check=False).rc == 1
    actions = main.up_json()["actions"]
    assert [(action["do"], action["node"]) for action in actions] == [("log-in", "node2")]
    assert main.on("node2", "test", "-b", "/dev/sdb").ok


@pytest.mark.parametrize("how", [("rm", "-f"), ("stop", "-t", "2")], ids=["removed", "stopped"])
def test_a_target_that_is_gone_is_served_again_with_its_data(main: Driver, how: tuple[str, ...]) -> None:
    main.on("node1", "sh", "-c", "echo precious | dd of=/dev/sdb bs=512 count=1 conv=sync,fsync 2>/dev/null")
    main("podman", *how, "target")
    failed = {
        check["id"] for check in main.json("validate", check=False)["checks"] if check["status"] == "failed"
    }
    assert "storage.target" in failed
    assert [action["do"] for action in main.up_json()["actions"]] == ["serve-disks"]
    again = main.on("node4", "dd", "if=/dev/sdb", "bs=512", "count=1", "iflag=direct", timeout=PATIENCE)
    assert "precious" in again.stdout


def test_a_killed_target_comes_back_by_itself(main: Driver) -> None:
    before = main.engine.appliances()["target"].started
    main("podman", "kill", "target")
    wait_until(
        "the target to be started again",
        lambda: main.engine.appliances()["target"].started != before and main.engine.is_on("target"),
        timeout=PATIENCE,
    )
    assert main.on("node1", "dd", "if=/dev/sdb", "of=/dev/null", "bs=4096", "count=1", "iflag=direct").ok
    assert main.up_json()["actions"] == []


def test_a_disks_file_that_is_gone_is_an_error_that_keeps_everything(main: Driver) -> None:
    image = main.places.disks / "sdd.img"
    aside = image.with_suffix(".aside")
    image.rename(aside)
    try:
        refused(main.up(check=False), 1, "sdd.img is gone", mend="snapshot restore")
        assert not image.exists()
    finally:
        aside.rename(image)
    assert main.up_json()["actions"] == []


def test_a_disks_file_that_was_cut_short_is_told(main: Driver) -> None:
    image = main.places.disks / "sdd.img"
    size = image.stat().st_size
    with image.open("r+b") as file:
        file.truncate(size // 2)
    try:
        refused(main.up(check=False), 1, "sdd.img has", "truncated", mend="snapshot restore")
    finally:
        with image.open("r+b") as file:
            file.truncate(size)


# -- nothing acknowledged is lost -----------------------------------------------------------


def test_a_target_that_is_killed_makes_writers_wait_and_loses_nothing(
    main: Driver, begin: Callable[..., Writer]
) -> None:
    writer = begin("node1")
    writer.await_records(20)
    main("podman", "kill", "target")
    after = writer.await_records(20)
    writer.stop()
    assert writer.on_disk("node2") > after


def test_a_node_whose_power_is_cut_loses_nothing_that_was_acknowledged(
    main: Driver, begin: Callable[..., Writer]
) -> None:
    writer = begin("node3")
    writer.await_records(20)
    main.on("node1", "pcs", "stonith", "fence", "node3.example.com", "--off")
    assert writer.on_disk("node1") > writer.acknowledged() >= 20


def test_a_frozen_writer_that_is_fenced_never_writes_again(
    main: Driver, begin: Callable[..., Writer]
) -> None:
    """When fence_ipmilan has said that node3 is off, the disk is as it will stay."""
    writer = begin("node3")
    writer.await_records(20)
    main.engine.freeze("node3")
    bmc = ["-a", "192.168.122.1", "--ipport=7753", "-P", "-l", "centos", "-p", "centos"]
    # Pacemaker may do it first: any success of an agent ends the node's access.
    main.on("node1", "fence_ipmilan", *bmc, "--action=off")
    image = main.places.disks / "sdd.img"
    sessions = main("podman", "exec", "target", "labctl-target", "sessions").stdout
    assert "node2.init" in sessions
    assert "node3.init" not in sessions
    written, whole = writer.on_disk("node1"), digest(image)
    assert main.state("node3") is not State.FROZEN
    assert written > writer.acknowledged() >= 20
    # Pacemaker fences it, too, and would do so to a node that came back before.
    wait_until("the cluster to know that node3 is off", lambda: known_off(main, "node3"), timeout=PATIENCE)
    # Power comes back when the others have noticed that the node is gone: at times after the agent's 20 s.
    on = ["--action=on", "--power-timeout=60"]
    with_power = main.on("node1", "fence_ipmilan", *bmc, *on, check=False)
    assert with_power.ok, with_power.describe()
    main.await_online(*ALL)
    assert digest(image) == whole
    told = main.on("node3", "systemctl", "is-active", "t-writer", check=False)
    assert told.stdout.strip() == "inactive", told.describe()


def known_off(lab: Driver, node: str) -> bool:
    """Whether node1 sees the node offline, and nobody waits for fencing."""
    view = lab.view("node1")
    return view is not None and node + FQDN not in view.online and not view.unclean


# -- labs of another description ------------------------------------------------------------


@pytest.fixture(scope="module")
def lab(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """A lab of two nodes for tests that each say which disks it is to have."""
    assert image
    lab = Driver("t-disks")
    lab.log = tmp_path_factory.mktemp("t-disks")
    yield lab
    lab.down()


@pytest.fixture
def override(tmp_path: Path) -> Callable[[object], str]:
    """Writes an override file with this x-lab.storage; its path."""

    def write(storage: object) -> str:
        path = tmp_path / "storage.yaml"
        # Lists are appended unless they say otherwise: Compose's own rule.
        text = json.dumps({"x-lab": {"storage": storage}}).replace('"disks": [', '"disks": !override [')
        path.write_text(text)
        return str(path)

    return write


def disks(*names: str) -> dict[str, object]:
    return {"disks": [{"name": name, "size": "256MiB"} for name in names]}


def test_disks_come_and_go_while_the_lab_runs(lab: Driver, override: Callable[[object], str]) -> None:
    lab.up("--nodes", "2", "--override", override(disks("sdb", "sdc")))
    lab.on("node1", "sh", "-c", "echo kept | dd of=/dev/sdb bs=512 count=1 conv=sync,fsync 2>/dev/null")
    writer = Writer(lab, "node2", "sdc", 0)
    writer.await_records(20)

    lab.up("--override", override(disks("sdb", "sdc", "sdd")))
    assert all(lab.on(node, "test", "-b", "/dev/sdd").ok for node in ("node1", "node2"))
    writer.await_records(20)  # nobody was disturbed
    writer.stop()

    lab.up("--override", override(disks("sdb", "sdd")))
    for node in ("node1", "node2"):
        assert lab.on(node, "sh", "-c", "test -b /dev/sdd && test ! -e /dev/sdc").ok
    assert "kept" in lab.on("node2", "dd", "if=/dev/sdb", "bs=512", "count=1", "iflag=direct").stdout
    assert lab.json("validate")["failed"] == 0


def test_a_disk_in_use_does_not_go(lab: Driver, override: Callable[[object], str]) -> None:
    lab.up("--nodes", "2", "--override", override(disks("sdb", "sdc")))
    lab.on("node1", "sh", "-ec", "mkfs.ext4 -qF /dev/sdc; mount /dev/sdc /mnt")
    refused(lab.up("--override", override(disks("sdb")), check=False), 1, "sdc", "node1", "/mnt")
    lab.on("node1", "sh", "-ec", "echo alive > /mnt/file; sync /mnt/file; umount /mnt")
    lab.up("--override", override(disks("sdb")))
    assert lab.on("node1", "test", "-e", "/dev/sdc", check=False).rc == 1


def test_chap_from_the_labs_file(make_lab: MakeLab, override: Callable[[object], str]) -> None:
    lab = make_lab("t-chap")
    secret = {"userid": "username", "password": "password"}
    lab.up("--nodes", "2", "--override", override({"chap": secret}))
    assert lab.json("validate")["failed"] == 0
    lab.on("node1", "iscsiadm", "-m", "node", "-T", TARGET, "--logout")
    record = ["iscsiadm", "-m", "node", "-T", TARGET]
    lab.on("node1", *record, "-o", "update", "-n", "node.session.auth.password", "-v", "wrong")
    wrong = lab.on("node1", *record, "--login", check=False)
    assert wrong.rc == 24
    assert "authorization" in wrong.stderr
    lab.on("node1", *record, "-o", "update", "-n", "node.session.auth.password", "-v", "password")
    assert lab.on("node1", *record, "--login").ok


def test_a_lab_without_shared_disks(make_lab: MakeLab) -> None:
    lab = make_lab("t-chap")
    lab.up("--nodes", "2", "--storage", "none", "--until", "nodes")
    lab.up("--storage", "none")
    assert lab.json("status")["storage"] == {"driver": None, "reason": "asked for", "disks": []}
    assert dict(lab.engine.appliances()) == {}
    found = lab.json("validate")
    assert found["failed"] == 0
    skipped = {check["id"] for check in found["checks"] if check["status"] == "skipped"}
    assert {"storage.target", "storage.disks"} <= skipped
    refused(lab.up("--storage", "userspace", check=False), 2, "storage driver none", mend="labctl down")


def test_a_full_disk_under_the_target_is_an_error_and_not_the_end(
    lab: Driver, override: Callable[[object], str]
) -> None:
    """A sparse file that cannot grow: the writer hears of it, everybody else goes on, room mends it."""
    lab.up("--nodes", "2", "--override", override(disks("sdb", "sdc")))
    lab("podman", "stop", "-t", "2", "target")
    small = str(lab.places.disks)
    swap = ["mkdir {0}/.all", "mount -t tmpfs -o size=24m small {0}/.all",
            "cp --sparse=always {0}/*.img {0}/.all/", "mount --move {0}/.all {0}"]  # fmt: skip
    lab.inside("sh", "-ec", "; ".join(swap).format(small))
    lab.up("--override", override(disks("sdb", "sdc")))
    fill = ["dd", "if=/dev/urandom", "of=/dev/sdb", "bs=1M", "count=64", "oflag=direct"]
    full = lab.on("node1", *fill, check=False)
    assert full.rc != 0
    assert lab.engine.is_on("target")
    assert lab.on("node2", "dd", "if=/dev/sdc", "of=/dev/null", "bs=4096", "count=1", "iflag=direct").ok
    lab.inside("mount", "-o", "remount,size=200m", small)
    assert lab.on("node1", *fill).ok


def test_nodes_are_told_by_their_full_names(calm: Driver) -> None:
    told = calm.json("status")["storage"]["sessions"]
    assert [each["initiator"] for each in told] == [f"iqn.2023-02.com.example:{node}.init" for node in ALL]
    assert FQDN not in "".join(each["node"] for each in told)
