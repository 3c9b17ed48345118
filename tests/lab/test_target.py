"""A learner's own target on a node: the course's commands, and what initiators then see of it."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from labctl.run import Result
from labctl.wait import wait_until
from tests.lab import learner_target
from tests.lab.driver import FAMILY, PATIENCE, Driver
from tests.lab.learner_target import (
    ADDRESS,
    BLOCKS,
    DISKS,
    IMAGE,
    NODE2,
    TPG,
    Writer,
    changed,
    cli,
    io,
    listing,
    served,
    sessions,
    sh,
)  # fmt: skip

pair, lab = learner_target.pair, learner_target.lab  # fixtures
if FAMILY == "centos":
    pytestmark = pytest.mark.skip(reason="CentOS Stream 9 has no tgtd: there the target is LIO's")

# Logs in, asks for 30 MiB, and never reads a byte of it.
TAKES_NOTHING = f"""\
import socket, struct, sys, time
sys.path.insert(0, "/usr/local/lib/labctl")
from innode import wire
peer = wire.Connection("{ADDRESS["node1"]}", 3260, initiator="{NODE2}", target="{BLOCKS}")
peer._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
for at in range(30):
    cdb = struct.pack(">BBIBHB6x", 0x28, 0, at * 2048, 0, 2048, 0)
    peer.send(0x01, 0xC1, lun=1, tag=struct.pack(">I", 1 << 20), cdb=cdb)
open("/run/t-asked", "w").close()
time.sleep(1000)
"""


def test_the_courses_target_serves_those_who_have_an_acl(lab: Driver) -> None:
    seen = listing(lab).stdout
    assert f"Target:{BLOCKS} Portal:{ADDRESS['node1']}:3260,1" in seen
    assert re.findall(r"Lun:(\d) +Type:DIRECT_ACCESS", seen) == ["1", "2", "3"]
    stranger = listing(lab, "iqn.2023-02.com.example:stranger")
    assert "Target:" not in stranger.stdout, "a stranger must not even learn of the target"
    url = f"iscsi://{ADDRESS['node1']}/{BLOCKS}/1"
    turned_away = lab.on("node2", "iscsi-inq", "-i", "iqn.2023-02.com.example:stranger", url, check=False)
    assert not turned_away.ok
    assert io(lab, "write -P 7 1M 64k", "flush", "read -P 7 1M 64k", "read -P 0 0 64k").ok
    there = lab.on("node1", "od", "-An", "-tu1", "-j1048576", "-N4", IMAGE).stdout.split()
    assert there == ["7"] * 4, "what was flushed is in the image"


def test_a_disk_can_be_recognised(lab: Driver) -> None:
    url = f"iscsi://{ADDRESS['node1']}/{BLOCKS}/2"
    about = lab.on("node2", "iscsi-inq", "-i", NODE2, url).stdout
    assert re.search(r"Product:sdc\b", about)
    serial = lab.on("node2", "iscsi-inq", "-i", NODE2, "-e", "1", "-c", "128", url).stdout
    saved = json.loads(lab.on("node1", "cat", "/etc/target/saveconfig.json").stdout)
    wwns = {so["name"]: so["wwn"] for so in saved["storage_objects"]}
    assert f"[{wwns['sdc']}]" in serial
    shown = json.loads(lab.on("node1", "labctl-target", "show", "--json").stdout)["targets"][0]
    identifiers = [lun["wwn"] for lun in shown["luns"]]
    assert len(set(identifiers)) == 3
    assert identifiers[1] == "wwn-0x" + ("6001405" + wwns["sdc"].replace("-", ""))[:32]


def test_chap_right_wrong_and_none(lab: Driver) -> None:
    acl = f"{TPG}/acls/{NODE2}"
    cli(lab, acl, "set", "auth", "userid=username")
    assert listing(lab).ok, "a name without a password asks for nothing yet"
    cli(lab, acl, "set", "auth", "password=password")
    assert "Lun:3" in listing(lab, user="username%password@").stdout
    for user in ("", "username%wrong@", "somebody%password@"):
        answer = listing(lab, user=user)
        assert "DIRECT_ACCESS" not in answer.stdout
        assert "Authentication failure" in answer.stdout
    cli(lab, acl, "set", "auth", "password=changed-password")
    assert "DIRECT_ACCESS" not in listing(lab, user="username%password@").stdout
    assert "Lun:3" in listing(lab, user="username%changed-password@").stdout


def test_mutual_chap(lab: Driver) -> None:
    one, other = (
        ["userid=username", "password=password"],
        ["mutual_userid=disks", "mutual_password=secret"],
    )
    cli(lab, f"{TPG}/acls/{NODE2}", "set", "auth", *one, *other)
    url = f"iscsi://username%password@{ADDRESS['node1']}/{BLOCKS}/1?target_user=disks&target_password="
    assert lab.on("node2", "iscsi-inq", "-i", NODE2, f"{url}secret").ok
    false = lab.on("node2", "iscsi-inq", "-i", NODE2, f"{url}wrong", check=False)
    assert not false.ok
    assert "from the target" in false.stdout + false.stderr


def test_a_disk_more_while_a_session_writes(lab: Driver) -> None:
    writer = Writer(lab)
    before = sessions(lab)
    cli(lab, "backstores/fileio", "create", "sde", f"{DISKS}/sde_disk.img", "2G")
    assert "Created LUN 4." in cli(lab, f"{TPG}/luns/", "create", "/backstores/fileio/sde/")
    writer.await_progress()
    assert writer.alive()
    assert sessions(lab) == before, "the session must be the same one"
    assert "Lun:4" in listing(lab).stdout


def test_what_is_in_use_is_not_removed(lab: Driver) -> None:
    writer = Writer(lab)
    for words in (
        [f"{TPG}/luns", "delete", "1"],
        ["iscsi/", "delete", BLOCKS],
        ["clearconfig", "confirm=True"],
    ):
        said = cli(lab, *words, rc=1)
        assert f"is in use: {NODE2}" in said
        assert "--logout" in said
    writer.await_progress()
    writer.signal("TERM")
    wait_until("the session to end", lambda: not sessions(lab), timeout=PATIENCE)
    assert "Deleted LUN 1." in cli(lab, f"{TPG}/luns", "delete", "1")
    assert lab.on("node1", "test", "-e", IMAGE).ok, "the image stays"


@pytest.mark.parametrize("how", ["systemctl restart target", "pkill -9 -x tgtd"])
def test_a_writer_waits_for_the_target_and_goes_on(lab: Driver, how: str) -> None:
    writer = Writer(lab)
    lab.on("node1", *how.split())
    wait_until("the session to be back", lambda: served(lab) and bool(sessions(lab)), timeout=PATIENCE)
    writer.await_progress()
    assert writer.alive()


def test_after_a_boot_what_was_saved_is_back(lab: Driver) -> None:
    assert io(lab, "write -P 9 0 64k", "flush").ok
    lab.on("node1", "systemctl", "enable", "target")
    cli(lab, "backstores/fileio", "create", "unsaved", f"{DISKS}/unsaved.img", "1M")
    before = lab.started("node1")
    # Not at once: a command that runs while its container ends comes back a minute later.
    soon = ["--on-active=300ms", "--timer-property=AccuracySec=10ms"]  # a timer's own accuracy is a minute
    lab.on("node1", "systemd-run", "--quiet", *soon, "systemctl", "reboot")
    lab.await_restart("node1", before)
    wait_until("the target to serve", lambda: "Lun:3" in listing(lab).stdout, timeout=PATIENCE)
    assert io(lab, "read -P 9 0 64k").ok
    assert "unsaved" not in cli(lab, "ls")


def test_without_a_saved_configuration_it_is_lost(lab: Driver) -> None:
    lab.on("node1", "rm", "/etc/target/saveconfig.json")
    lab.on("node1", "systemctl", "restart", "target")
    assert "Targets: 0" in cli(lab, "ls", "/", "1")
    assert "Target:" not in listing(lab).stdout


def test_a_bad_image_is_named_and_the_others_serve(lab: Driver) -> None:
    sh(lab, "node1", f"rm {IMAGE}; truncate -s 1M {DISKS}/sdc.img; systemctl kill -s KILL labctl-tgtd")
    wait_until("the target to serve", lambda: "Lun:3" in listing(lab).stdout, timeout=PATIENCE)
    assert re.findall(r"Lun:(\d) +Type:DIRECT", listing(lab).stdout) == ["3"]
    done = lab.on("node1", "labctl-target", "apply", "/etc/target/saveconfig.json", check=False)
    assert done.rc == 1
    assert f"sdb: its image {IMAGE} does not exist" in done.stderr
    assert f"sdc: its image {DISKS}/sdc.img has 1048576 bytes, 2147483648 are needed" in done.stderr
    assert not lab.on("node1", "test", "-e", IMAGE, check=False).ok, "it is not made anew, empty"


def test_two_at_once_lose_nothing(lab: Driver) -> None:
    names = [f"disk{number}" for number in range(8)]
    each = [f"targetcli backstores/fileio create {name} {DISKS}/{name}.img 1M &" for name in names]
    sh(lab, "node1", "\n".join([*each, "wait"]))
    assert all(f"o- {name} " in cli(lab, "ls", "backstores/fileio") for name in names)


def test_the_shell_reads_lines(lab: Driver) -> None:
    script = f"cd {TPG}\nget attribute authentication\npwd\nbogus\n"
    done = sh(lab, "node1", f"printf %s {shlex.quote(script)} | targetcli")
    assert (
        f"authentication=0\n/{TPG}> /{TPG}\n".replace(f"/{TPG}> ", "/iscsi/iqn.20...e:blocks/tpg1> ")
        in done.stdout
    )
    assert "Command not found bogus" in done.stderr
    assert "Global pref auto_save_on_exit=true" in done.stdout


# -- cutting off ----------------------------------------------------------------------------------


def cut(lab: Driver, *words: str) -> Result:
    return lab.on("node1", "labctl-target", "cut", *words, check=False)


@pytest.mark.parametrize("how", ["STOP", "KILL"])
def test_after_a_cut_nothing_of_that_address_reaches_the_disk(lab: Driver, how: str) -> None:
    writer = Writer(lab)
    writer.signal(how)
    done = cut(lab, ADDRESS["node2"])
    after = changed(lab)
    assert done.ok, done.describe()
    assert sessions(lab) == []
    if how == "STOP":
        # It could log in anew when it went on; a fenced node is dead.
        lab.on("node2", "systemctl", "kill", "--signal=KILL", "t-writer", check=False)
        wait_until("the writer to be gone", lambda: not writer.alive(), timeout=PATIENCE)
    assert changed(lab) == after


def test_a_peer_that_takes_nothing_cannot_hold_the_target_up(lab: Driver) -> None:
    words = ["python3", "-c", TAKES_NOTHING]
    lab.on("node2", "systemd-run", "--quiet", "--unit=t-peer", "--collect", *words)
    asked = ["test", "-e", "/run/t-asked"]
    wait_until("the peer to ask", lambda: lab.on("node2", *asked, check=False).ok, timeout=PATIENCE)
    done = cut(lab, ADDRESS["node2"])
    assert done.ok, done.describe()
    assert sessions(lab) == []
    lab.on("node2", "systemctl", "restart", "t-peer", check=False)
    lab.on("node2", "sh", "-c", "systemctl stop t-peer; rm -f /run/t-asked", check=False)
    lab.on("node2", "systemd-run", "--quiet", "--unit=t-peer2", "--collect", *words)
    wait_until("the peer to ask again", lambda: lab.on("node2", *asked, check=False).ok, timeout=PATIENCE)
    # Without anybody cutting it off, the target frees itself.
    own = f"iscsi-ls -s -i {NODE2} iscsi://127.0.0.1"
    wait_until(
        "the target to answer", lambda: "Lun:3" in lab.on("node1", *own.split(), check=False).stdout,
        timeout=PATIENCE,
    )  # fmt: skip


def test_cutting_leaves_others_alone(lab: Driver) -> None:
    writer = Writer(lab)
    assert cut(lab, ADDRESS["node1"]).ok
    writer.await_progress()
    assert len(sessions(lab)) == 1
    assert cut(lab, "not-an-address").rc == 2
