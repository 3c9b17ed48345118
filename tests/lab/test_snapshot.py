"""Snapshots of a lab that runs: nothing is lost, nothing is left, whatever happens in between."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labctl.bubble import freeze
from labctl.engine.base import State
from labctl.errors import BUSY, HOST_LACKS, INTERRUPTED, USAGE
from labctl.run import run
from labctl.wait import wait_until
from tests.lab.driver import ALL, PATIENCE, ROOT, Begun, Driver, labctl, refused

NAME = "t-snap"
BASE = "base"


@pytest.fixture(scope="module")
def kept(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """A lab of four nodes with a file, a resource and a disk's bytes, and a snapshot of that."""
    lab = Driver(NAME)
    lab.log = tmp_path_factory.mktemp(NAME)
    lab.up("--nodes", "4")
    assert lab.snapshots() == ["fresh"]
    lab.snapshot("delete", "fresh")
    lab.on("node2", "sh", "-c", "echo before >/root/kept; chmod 600 /root/kept; chown 1:2 /root/kept")
    lab.on(
        "node2", "sh", "-c", "mkdir -p /usr/share/empty/made; ln /root/kept /root/twin; rm -r /usr/share/bug"
    )
    lab.on("node1", "pcs", "resource", "create", "kept", "ocf:pacemaker:Dummy", "--wait=60")
    write_disk(lab, b"before")
    lab.snapshot("create", BASE, "--note", "a word")
    yield lab
    lab.down()


def disk(lab: Driver) -> Path:
    """A disk's image beside the lab's own, which no target serves."""
    return lab.places.root / "disks" / "spare.img"


def write_disk(lab: Driver, content: bytes) -> None:
    disk(lab).parent.mkdir(exist_ok=True)
    with disk(lab).open("r+b" if disk(lab).exists() else "wb") as image:
        image.truncate(2 * 1024**3)
        image.seek(1024**3)
        image.write(content)


def read_disk(lab: Driver) -> bytes:
    with disk(lab).open("rb") as image:
        image.seek(1024**3)
        return image.read(6)


def fencings(lab: Driver) -> str:
    return lab.on("node1", "stonith_admin", "--history", "*").stdout


def resources(lab: Driver) -> str:
    return lab.on("node3", "cibadmin", "--query", "--xpath", "//resources").stdout


def is_frozen(lab: Driver) -> bool:
    found = freeze.cgroup(lab.name)
    return found is not None and (found / "cgroup.freeze").read_text().strip() == "1"


def await_frozen(lab: Driver, begun: Begun) -> None:
    wait_until("the lab to be frozen", lambda: is_frozen(lab), timeout=PATIENCE, every=0.001,
               last_seen=lambda: begun.said)  # fmt: skip


def await_thawed(lab: Driver) -> None:
    wait_until("the lab to go on", lambda: not is_frozen(lab), timeout=PATIENCE, every=0.02)


# -- a snapshot and the way back -----------------------------------------------------------------


def test_the_list_tells_what_it_is(kept: Driver) -> None:
    [told] = json.loads(kept.snapshot("list", "--json").stdout)["snapshots"]
    assert told["name"] == BASE
    assert told["quorate"] is True
    assert list(told["nodes"]) == list(ALL)
    assert told["note"] == "a word"
    assert 1024**2 < told["size"] < 512 * 1024**2, "holes count as bytes, or nothing does"
    assert told["frozen"] > 0
    assert BASE in kept.snapshot("list").stdout


def test_everything_comes_back(kept: Driver) -> None:
    before = resources(kept)
    fenced = fencings(kept)
    kept.on("node2", "sh", "-c", "echo after >/root/kept; rm /root/twin; touch /root/made-since")
    kept.on("node2", "sh", "-c", "rm -rf /etc/corosync /usr/share/empty/made; mkdir /usr/share/bug")
    kept.on("node4", "sh", "-c", "rm -rf /usr/share/doc; mkdir /usr/share/doc; echo x >/usr/share/doc/x")
    kept.on("node1", "pcs", "resource", "delete", "kept")
    kept.on("node1", "pcs", "property", "set", "maintenance-mode=true")
    write_disk(kept, b"after.")
    told = json.loads(kept.snapshot("restore", BASE, "--json").stdout)
    assert told["quorate"] is True
    assert {stage["name"] for stage in told["stages"]} >= {"restore", "bubble", "nodes"}
    kept.await_online(*ALL)
    assert resources(kept) == before
    assert fencings(kept) == fenced
    assert "maintenance-mode" not in kept.on("node1", "cibadmin", "--query").stdout
    seen = kept.on("node2", "stat", "-c", "%a %u %g %h", "/root/kept").stdout.split()
    assert seen == ["600", "1", "2", "2"]
    assert kept.on("node2", "cat", "/root/twin").stdout == "before\n"
    gone = kept.on("node2", "sh", "-c", "ls -d /root/made-since /usr/share/bug", check=False)
    assert gone.stdout == ""
    kept.on("node2", "test", "-d", "/usr/share/empty/made")
    assert len(kept.on("node4", "ls", "/usr/share/doc").stdout.split()) > 10
    assert read_disk(kept) == b"before"
    assert disk(kept).stat().st_blocks * 512 < 1024**2
    assert kept.up_json()["changed"] is False


def test_a_lab_that_is_broken_in_every_way(kept: Driver) -> None:
    kept.engine.remove("node3")
    kept.engine.power_off("node2")
    kept.engine.freeze("node4")
    kept.on("node1", "rm", "-rf", "/etc/corosync", "/var/lib/pacemaker", "/usr/bin/systemctl")
    kept.places.record.write_text("no json")
    kept.snapshot("restore", BASE)
    kept.await_online(*ALL)
    assert kept.on("node2", "cat", "/root/kept").stdout == "before\n"


def test_a_lab_that_does_not_run(kept: Driver) -> None:
    run(["kill", "-KILL", str(kept.bubble().init)], timeout=10)
    wait_until("the lab to end", lambda: not kept.runs(), timeout=PATIENCE)
    kept.snapshot("create", "switched-off")
    kept.snapshot("restore", "switched-off")
    kept.await_online(*ALL)
    kept.snapshot("delete", "switched-off")
    assert kept.snapshots() == [BASE]


def test_a_fresh_lab_is_a_restore_away(image: str, tmp_path: Path) -> None:
    lab = Driver("t-snap-two")
    lab.log = tmp_path
    try:
        lab.up("--nodes", "2", "--until", "nodes")
        lab.on("node1", "touch", "/root/made-since")
        # On to a cluster: that is no state reached from nothing, and gets no label.
        assert lab.up_json("--until", "cluster")["changed"] is True
        assert lab.snapshots() == ["fresh-nodes"]
        told = json.loads(lab.snapshot("restore", "fresh-nodes", "--json").stdout)
        assert told["quorate"] is False
        assert lab.on("node1", "ls", "/root").stdout == ""
        assert not lab.member("node1").conf
    finally:
        lab.down()


def test_a_disk_that_is_written_to_all_the_time(kept: Driver) -> None:
    """Its writer waits in the kernel for a server that is frozen itself: never frozen, yet still."""
    before = fencings(kept)
    writer = "while :; do dd if=/dev/zero of=/dev/sdd bs=1M count=64 oflag=direct status=none; done"
    kept.on("node1", "systemd-run", "--quiet", "--unit=writer", "sh", "-c", f"test -b /dev/sdd && {writer}")
    try:
        kept.snapshot("create", "busy")
        assert kept.on("node1", "systemctl", "is-active", "writer").stdout == "active\n"
    finally:
        kept.on("node1", "systemctl", "stop", "writer", check=False)
    assert fencings(kept) == before
    kept.await_online(*ALL)
    kept.snapshot("delete", "busy")


# -- killed, interrupted, at once -----------------------------------------------------------------


def test_killed_while_it_copies(kept: Driver) -> None:
    begun = kept.begin_snapshot("create", "killed")
    begun.await_file(kept.places.snapshots / ".killed.partial")
    begun.kill()
    await_thawed(kept)
    assert kept.snapshots() == [BASE]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill", "ctrl-c"])
def test_ended_while_the_lab_stands_still(kept: Driver, number: signal.Signals) -> None:
    """The guard lets the lab go on; no node is fenced; the next snapshot clears the rest away."""
    before = fencings(kept)
    begun = kept.begin_snapshot("create", "killed")
    await_frozen(kept, begun)
    begun.signal(number)
    assert begun.end() == (-signal.SIGKILL if number is signal.SIGKILL else INTERRUPTED), begun.said
    await_thawed(kept)
    assert kept.snapshots() == [BASE]
    kept.await_online(*ALL)
    kept.snapshot("create", "next")
    kept.snapshot("delete", "next")
    assert [path.name for path in kept.places.snapshots.iterdir()] == [BASE]
    assert fencings(kept) == before


def test_a_lab_left_frozen_goes_on_with_up(kept: Driver) -> None:
    """What is left when the guard is killed, too."""
    found = freeze.cgroup(NAME)
    assert found
    (found / "cgroup.freeze").write_text("1")
    kept.up()
    assert not is_frozen(kept)
    kept.await_online(*ALL)


@pytest.mark.parametrize("moment", ["tree", "marker", "old"])
def test_a_killed_restore(kept: Driver, moment: str) -> None:
    """Before the copy is whole the lab is as it was; from then on `up` finishes what was begun."""
    kept.on("node2", "sh", "-c", "echo after >/root/kept")
    begun = kept.begin_snapshot("restore", BASE)
    begun.await_file(kept.places.root / ".restore" / moment)
    begun.kill()
    kept.up()
    kept.await_online(*ALL)
    assert not (kept.places.root / ".restore").exists()
    found = kept.on("node2", "cat", "/root/kept").stdout
    assert found in ({"before\n", "after\n"} if moment == "tree" else {"before\n"})
    kept.on("node2", "sh", "-c", "echo before >/root/kept")


def test_two_at_once(kept: Driver) -> None:
    begun = kept.begin_snapshot("create", "first")
    begun.await_file(kept.places.snapshots / ".first.partial")
    refused(kept.snapshot("create", "second", check=False), BUSY, "labctl snapshot create")
    assert begun.end() == 0, begun.said
    assert sorted(kept.snapshots()) == [BASE, "first"]
    kept.snapshot("delete", "first")


# -- no room, wrong words ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [("size=4m", "It needs"), ("size=900m,nr_inodes=100", "no room left for snapshot full")],
    ids=["seen-before", "meanwhile"],
)
def test_a_full_disk(kept: Driver, options: str, words: str) -> None:
    """The folder of snapshots on a small file system, in a mount namespace of this command alone."""
    script = 'mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@"'
    command = [sys.executable, "-m", "labctl", "snapshot", "create", "full", "--lab", NAME]
    result = run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", options,
         kept.places.snapshots, *command],
        timeout=PATIENCE, check=False, cwd=ROOT,
    )  # fmt: skip
    refused(result, HOST_LACKS, words, mend="labctl snapshot delete")
    assert not is_frozen(kept)
    assert kept.snapshots() == [BASE]


def test_what_is_no_snapshot(kept: Driver) -> None:
    refused(kept.snapshot("restore", "bace", check=False), USAGE, "did you mean base")
    refused(kept.snapshot("delete", BASE, "nothing", check=False), USAGE, "nothing")
    refused(kept.snapshot("create", BASE, check=False), USAGE, "already", mend="snapshot delete base")
    refused(kept.snapshot("create", "A b", check=False), USAGE, "not a snapshot's name")
    refused(labctl("snapshot", "list", "--lab", "t-nowhere", check=False), USAGE, "no lab", mend="labctl up")
    assert kept.snapshots() == [BASE]


def test_a_snapshot_of_other_nodes_is_refused(kept: Driver) -> None:
    meta = kept.places.snapshots / BASE / "meta.json"
    before = meta.read_text()
    changed: dict[str, Any] = json.loads(before)
    del changed["nodes"]["node4"]
    meta.write_text(json.dumps(changed))
    try:
        refused(kept.snapshot("restore", BASE, check=False), USAGE, "other nodes")
        assert kept.state("node1") is State.ON
    finally:
        meta.write_text(before)
