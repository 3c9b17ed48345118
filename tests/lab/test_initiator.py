"""A node as initiator in user space: iscsiadm against a learner's own target, and what becomes of the data.

node1 is the target, as in the course; node2 and node3 log in to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labctl.errors import LabError
from labctl.run import Result, run
from labctl.wait import wait_until
from tests.lab.driver import PATIENCE, Driver

BLOCKS = "iqn.2023-02.com.example:blocks"
TPG = f"iscsi/{BLOCKS}/tpg1"
ADDRESS = "192.168.100.110"
NODES = ("node2", "node3")
RECORD = f"-m node -T {BLOCKS} -p {ADDRESS}"
# Numbered records, each acknowledged by a line once the write has returned. After an error it opens anew.
WRITER = """\
import os, sys
disk, told = sys.argv[1], open(sys.argv[2], "w", buffering=1)
fd = None
for number in range(100000):
    while True:
        try:
            if fd is None:
                fd = os.open(disk, os.O_WRONLY | os.O_SYNC)
            os.pwrite(fd, b"%15d\\n" % number + bytes(496), number * 512)
            break
        except OSError as error:
            print("again", error, file=sys.stderr)
            if fd is not None:
                os.close(fd)
            fd = None
    told.write(f"{number}\\n")
"""
READER = """\
import os, sys
fd, number = os.open(sys.argv[1], os.O_RDONLY), 0
while os.pread(fd, 16, number * 512) == b"%15d\\n" % number:
    number += 1
print(number)
"""
# Many small buffered writes at once, as a file system makes them; then what of it is on the disk.
SCATTER = """\
import mmap, os, random, sys
disk, size = sys.argv[1], 2**31
fd, page = os.open(disk, os.O_RDWR), mmap.mmap(-1, 4096)
for unit in (512, 4096, 12288):
    places = random.Random(unit).sample(range(size // unit - 1), 400)
    for place in places:
        os.pwrite(fd, b"%d;" % place + bytes([place % 255 + 1]) * (unit - len(b"%d;" % place)), place * unit)
    os.fsync(fd)
    straight = os.open(disk, os.O_RDONLY | os.O_DIRECT)
    for place in places:
        at = place * unit
        os.preadv(straight, [page], at // 4096 * 4096)
        assert page[at % 4096:].startswith(b"%d;" % place), (unit, place)
    os.close(straight)
print("whole")
"""


@pytest.fixture(scope="module")
def lab(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    assert image
    lab = Driver("t-initiator")
    lab.log = tmp_path_factory.mktemp("t-initiator")
    lab.up("--nodes", "3", "--storage", "userspace", "--until", "nodes")
    lab.on("node1", "systemctl", "enable", "--now", "target")
    lab.on("node1", "mkdir", "-p", "/var/lib/iscsi_disks")
    targetcli(lab, f"iscsi/ create {BLOCKS}")
    for disk in ("sdb", "sdc"):
        add_disk(lab, disk)
    for node in NODES:
        targetcli(lab, f"{TPG}/acls/ create {initiator(node)}")
    targetcli(lab, "saveconfig")
    yield lab
    lab.down()


@pytest.fixture
def logged_in(lab: Driver) -> Driver:
    """Both nodes have the two disks, whatever the test before left."""
    for node in NODES:
        iscsiadm(lab, node, f"-m discovery -t sendtargets -p {ADDRESS}")
        if not sessions(lab, node):
            iscsiadm(lab, node, f"{RECORD} --login")
    return lab


def initiator(node: str) -> str:
    return f"iqn.2023-02.com.example:{node}.init"


def targetcli(lab: Driver, line: str) -> None:
    lab.on("node1", "targetcli", *line.split())


def add_disk(lab: Driver, disk: str) -> None:
    targetcli(lab, f"backstores/fileio create {disk} /var/lib/iscsi_disks/{disk}.img 2G")
    targetcli(lab, f"{TPG}/luns/ create /backstores/fileio/{disk}")


def iscsiadm(lab: Driver, node: str, line: str, *, rc: int = 0) -> Result:
    done = lab.on(node, "iscsiadm", *line.split(), check=False)
    assert done.rc == rc, done.describe()
    return done


def sessions(lab: Driver, node: str) -> list[dict[str, Any]]:
    told = lab.on(node, "sh", "-c", "cat /run/labctl-iscsi/sessions/*.json", check=False).stdout
    return [json.loads(one) for one in re.split(r"(?<=^})\n", told, flags=re.MULTILINE) if one]


def on(lab: Driver, node: str, line: str) -> str:
    return lab.on(node, "sh", "-c", line).stdout.strip()


class Writer:
    """Writes to sdc of node2 until it is stopped."""

    def __init__(self, lab: Driver) -> None:
        self._lab = lab
        self._told, self._complained = "/root/t-acknowledged", "/root/t-complaints"
        lab.on("node2", "rm", "-f", self._told, self._complained)
        words = ["python3", "-c", WRITER, "/dev/sdc", self._told]
        # Not the journal, which may still be busy with what the writer before this one said.
        unit = ["--collect", "--unit=t-writer", f"--property=StandardError=file:{self._complained}"]
        lab.on("node2", "systemd-run", "--quiet", *unit, *words)
        self.await_more(20)

    def acknowledged(self) -> int:
        """How many records were acknowledged: the number of the last one and one."""
        return int(on(self._lab, "node2", f"cat {self._told} 2>/dev/null | wc -l"))

    def await_more(self, more: int) -> None:
        before = self.acknowledged()
        wait_until("the writer to go on", lambda: self.acknowledged() >= before + more, timeout=PATIENCE)

    def stop(self) -> int:
        """End it; how many records were acknowledged."""
        self._lab.on("node2", "systemctl", "stop", "t-writer", check=False)
        return self.acknowledged()

    def complaints(self) -> list[str]:
        """Its errors, each kind once."""
        return on(self._lab, "node2", f"sort -u {self._complained}").splitlines()


@pytest.fixture
def writer(logged_in: Driver) -> Iterator[Writer]:
    one = Writer(logged_in)
    yield one
    one.stop()


def on_disk(lab: Driver, node: str) -> int:
    """How many records a node reads without a gap."""
    return int(lab.on(node, "python3", "-c", READER, "/dev/sdc").stdout)


# -- what a login makes -------------------------------------------------------------------------------


def test_the_course_s_commands(lab: Driver) -> None:
    told = iscsiadm(lab, "node2", f"-m discovery -t sendtargets -p {ADDRESS}").stdout
    assert told == f"{ADDRESS}:3260,1 {BLOCKS}\n"
    label = f"[iface: default, target: {BLOCKS}, portal: {ADDRESS},3260]"
    told = iscsiadm(lab, "node2", "-m node --login").stdout
    assert told == f"Logging in to {label}\nLogin to {label} successful.\n"
    told = iscsiadm(lab, "node2", "-m session --debug 3").stdout
    assert re.fullmatch(rf"tcp: \[\d+\] {ADDRESS}:3260,1 {BLOCKS} \(non-flash\)\n", told)
    lab.on("node2", "systemctl", "restart", "iscsi", "iscsid")
    again = lab.on("node2", "iscsiadm", "-m", "node", "--login", check=False)
    assert again.rc in {0, 15}, again.describe()  # 15: iscsi did not run before, so it logged nobody out
    iscsiadm(lab, "node2", "-m session --rescan")
    lab.on("node2", "systemctl", "stop", "iscsid")
    iscsiadm(lab, "node2", "-m session")  # as with the original, sessions outlive it
    lab.on("node2", "systemctl", "stop", "iscsi")
    iscsiadm(lab, "node2", "-m session --rescan", rc=21)
    iscsiadm(lab, "node2", f"{RECORD} --login")
    iscsiadm(lab, "node2", f"{RECORD} --login", rc=15)
    iscsiadm(lab, "node2", f"{RECORD} --logout")
    assert on(lab, "node2", "ls /dev/sd* /dev/disk/by-*/* 2>/dev/null || true") == ""
    assert on(lab, "node2", "grep -c fuse /proc/mounts || true") == "0"


def test_disks_have_names_links_and_this_node_s_initiator_name(logged_in: Driver) -> None:
    for node in NODES:
        [session] = sessions(logged_in, node)
        assert session["initiator"] == initiator(node)
        assert [disk["name"] for disk in session["disks"]] == ["sdb", "sdc"]
        for disk in session["disks"]:
            path = on(logged_in, node, f"readlink -f /dev/disk/by-id/{disk['wwn']}")
            assert path == f"/dev/{disk['name']}"
            assert disk["size"] == 2**31
        assert on(logged_in, node, "lsblk -nro NAME,SIZE,TYPE | grep sd") == "sdb 2G disk\nsdc 2G disk"
    told = json.loads(on(logged_in, "node1", "labctl-target show --json"))
    [target] = [target for target in told["targets"] if target["iqn"] == BLOCKS]
    assert {session["initiator"] for session in target["sessions"]} == {initiator(node) for node in NODES}


def test_partitions(logged_in: Driver) -> None:
    made = lab_parted(logged_in, "mklabel gpt mkpart a 1MiB 500MiB mkpart b 500MiB 600MiB")
    assert "bug" not in made.stderr
    wait_for(logged_in, "[ -b /dev/sdb1 ] && [ -b /dev/sdb2 ]")
    assert on(logged_in, "node2", "lsblk -nro NAME,TYPE /dev/sdb") == "sdb disk\nsdb1 part\nsdb2 part"
    assert on(logged_in, "node2", "readlink -f /dev/disk/by-id/wwn-*-part1") == "/dev/sdb1"
    fill = "mkfs.xfs -q -f /dev/sdb1 && mount /dev/sdb1 /mnt && echo here > /mnt/file && umount /mnt"
    on(logged_in, "node2", fill)
    lab_parted(logged_in, "rm 2")
    wait_for(logged_in, "[ -b /dev/sdb1 ] && [ ! -e /dev/sdb2 ]")
    on(logged_in, "node3", "partprobe /dev/sdb")
    wait_for(logged_in, "[ -b /dev/sdb1 ]", node="node3")
    assert (
        on(logged_in, "node3", "mount -o ro,norecovery /dev/sdb1 /mnt && cat /mnt/file && umount /mnt")
        == "here"
    )


def lab_parted(lab: Driver, line: str) -> Result:
    return lab.on("node2", "parted", "-s", "/dev/sdb", *line.split())


def wait_for(lab: Driver, condition: str, *, node: str = "node2") -> None:
    wait_until(condition, lambda: lab.on(node, "sh", "-c", condition, check=False).ok, timeout=PATIENCE)


# -- the data -----------------------------------------------------------------------------------------


def test_what_one_node_wrote_another_reads(logged_in: Driver) -> None:
    for text in ("first", "second"):  # the second time, node3 has read the place before
        on(logged_in, "node2", f"echo {text} | dd of=/dev/sdc conv=fsync 2>/dev/null")
        assert on(logged_in, "node3", "head -n 1 /dev/sdc") == text


@pytest.mark.parametrize("disk", ["sdb", "sdc"])
def test_many_writes_at_once_stay_whole(logged_in: Driver, disk: str) -> None:
    """QEMU's FUSE export mixes up writes that are under way together; it must get one at a time."""
    assert logged_in.on("node2", "python3", "-c", SCATTER, f"/dev/{disk}").stdout == "whole\n"


@pytest.mark.parametrize("victim", ["daemon", "keeper"])
def test_nothing_acknowledged_is_lost_with_the_initiator_s_process(
    logged_in: Driver, writer: Writer, victim: str
) -> None:
    [before] = sessions(logged_in, "node2")
    logged_in.on("node2", "kill", "-9", str(before[victim]))
    writer.await_more(20)
    acknowledged = writer.stop()
    assert writer.complaints(), "the writer noticed nothing: what was killed?"
    assert on_disk(logged_in, "node3") >= acknowledged
    [after] = sessions(logged_in, "node2")
    assert after[victim] != before[victim]
    assert [disk["name"] for disk in after["disks"]] == [disk["name"] for disk in before["disks"]]


@pytest.mark.parametrize("how", ["systemctl restart target", "systemctl kill -s KILL labctl-tgtd"])
def test_io_waits_for_the_target(logged_in: Driver, writer: Writer, how: str) -> None:
    logged_in.on("node1", *how.split())
    writer.await_more(20)
    acknowledged = writer.stop()
    assert writer.complaints() == [], "no write may fail"
    assert on_disk(logged_in, "node3") >= acknowledged


def test_rescan_brings_a_disk_and_disturbs_nobody(logged_in: Driver, writer: Writer) -> None:
    [before] = sessions(logged_in, "node2")
    add_disk(logged_in, "sdd")
    iscsiadm(logged_in, "node2", "-m session --rescan")
    [after] = sessions(logged_in, "node2")
    assert [disk["name"] for disk in after["disks"]] == ["sdb", "sdc", "sdd"]
    assert (after["daemon"], after["disks"][:2]) == (before["daemon"], before["disks"])
    writer.await_more(20)
    assert writer.complaints() == []
    written = re.search(r"txdata_octets: (\d+)", iscsiadm(logged_in, "node2", "-m session -s").stdout)
    assert written
    assert int(written[1]) > 0


# -- logins that fail -----------------------------------------------------------------------------------


@pytest.fixture
def chap(lab: Driver) -> Iterator[Driver]:
    """node3 has to show a password; it is logged out, its record knows none."""
    if sessions(lab, "node3"):
        iscsiadm(lab, "node3", "-m node -u")
    iscsiadm(lab, "node3", f"-m discovery -t st -p {ADDRESS}")
    acl = f"{TPG}/acls/{initiator('node3')}"
    targetcli(lab, f"{acl} set auth userid=username")
    targetcli(lab, f"{acl} set auth password=password")
    yield lab
    targetcli(lab, f"{acl} set auth userid=")
    targetcli(lab, f"{acl} set auth password=")


def setting(lab: Driver, name: str, value: str) -> None:
    iscsiadm(lab, "node3", f"{RECORD} -o update -n node.session.{name} -v {value}")


def test_chap(chap: Driver) -> None:
    words = "initiator reported error (24 - iSCSI login failed due to authorization failure)"
    assert words in iscsiadm(chap, "node3", f"{RECORD} -l", rc=24).stderr
    setting(chap, "auth.authmethod", "CHAP")
    setting(chap, "auth.username", "username")
    setting(chap, "auth.password", "wrong")
    assert words in iscsiadm(chap, "node3", f"{RECORD} -l", rc=24).stderr
    setting(chap, "auth.password", "password")
    iscsiadm(chap, "node3", f"{RECORD} -l")
    [session] = sessions(chap, "node3")
    commands = on(chap, "node3", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert f"keep {session['sid']}" in commands
    assert "password" not in commands.replace("labctl-iscsi", "")
    assert len(session["disks"]) >= 2
    iscsiadm(chap, "node3", f"{RECORD} -u")


def test_an_unknown_initiator(lab: Driver) -> None:
    iscsiadm(lab, "node3", "-m iface -I stranger -o new")
    iscsiadm(
        lab, "node3", "-m iface -I stranger -o update -n iface.initiatorname -v iqn.1999-01.org.example:x"
    )
    try:
        iscsiadm(lab, "node3", f"{RECORD},1 -I stranger -o new")
        # tgt tells strangers that there is no such target, LIO that they may not; both are final.
        done = lab.on("node3", "iscsiadm", *f"{RECORD} -I stranger -l".split(), check=False)
        assert done.rc in {19, 24}, done.describe()
        assert f"initiator reported error ({done.rc} - " in done.stderr
    finally:
        iscsiadm(lab, "node3", "-m iface -I stranger -o delete")


def test_a_portal_where_nobody_is(lab: Driver) -> None:
    iscsiadm(lab, "node3", f"-m node -o new -T {BLOCKS} -p {ADDRESS}:3999,1")
    try:
        setting_at = f"-m node -p {ADDRESS}:3999 -o update -n node.session.initial_login_retry_max -v"
        iscsiadm(lab, "node3", f"{setting_at} 0")
        done = iscsiadm(lab, "node3", f"-m node -p {ADDRESS}:3999 -l", rc=8)
        assert "initiator reported error (8 - connection timed out)" in done.stderr
    finally:
        iscsiadm(lab, "node3", f"-m node -p {ADDRESS}:3999 -o delete")


# -- a node's life ----------------------------------------------------------------------------------------


def test_a_reboot_brings_the_disks_back_by_name(logged_in: Driver) -> None:
    links = "ls -l /dev/disk/by-id | awk '{print $(NF-2), $NF}' | grep -v part"
    before = on(logged_in, "node2", links)
    iscsiadm(logged_in, "node2", f"{RECORD} -o update -n node.startup -v automatic")
    logged_in.on("node2", "systemctl", "enable", "open-iscsi")
    started = logged_in.started("node2")
    logged_in.on("node2", "reboot", check=False)
    logged_in.await_restart("node2", started)

    def back() -> bool:
        try:
            return bool(sessions(logged_in, "node2"))
        except LabError:
            return False

    wait_until("node2's session", back, timeout=PATIENCE)
    assert on(logged_in, "node2", links) == before
    assert on(logged_in, "node2", "systemctl is-active open-iscsi") == "active"


def test_a_node_that_is_killed_leaves_no_loop_device_and_no_mount(logged_in: Driver) -> None:
    loops = {disk["loop"] for disk in sessions(logged_in, "node2")[0]["disks"]}
    assert all(Path("/sys/block", loop, "loop").exists() for loop in loops)
    logged_in.engine.power_off("node2")
    wait_until(
        "the loop devices to go",
        lambda: not any(Path("/sys/block", loop, "loop").exists() for loop in loops),
        timeout=PATIENCE,
        last_seen=lambda: run(["losetup", "--list"], timeout=20).stdout,
    )
    assert "labctl-iscsi" not in Path("/proc/mounts").read_text()
    logged_in.engine.power_on("node2")
