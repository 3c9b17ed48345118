"""A learner's own target on node1, made with the course's commands, and initiators on node2.

The initiators are libiscsi's: qemu-io, qemu-img, iscsi-ls and iscsi-inq.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from labctl.run import Result
from labctl.wait import wait_until
from tests.lab.driver import PATIENCE, Driver

BLOCKS = "iqn.2023-02.com.example:blocks"
TPG = f"iscsi/{BLOCKS}/tpg1"
ADDRESS = {"node1": "192.168.100.110", "node2": "192.168.100.120"}
NODE2 = "iqn.2023-02.com.example:node2.init"
DISKS = "/var/lib/iscsi_disks"
IMAGE = f"{DISKS}/sdb.img"
# The slides' commands, as they are written there.
COURSE = f"""\
mkdir -p /var/lib/iscsi_disks
targetcli backstores/fileio create sdb /var/lib/iscsi_disks/sdb.img 2G
targetcli backstores/fileio create sdc /var/lib/iscsi_disks/sdc.img 2G
targetcli backstores/fileio create sdd /var/lib/iscsi_disks/sdd.img 2G
targetcli iscsi/ create {BLOCKS}
targetcli iscsi/{BLOCKS}/tpg1/luns/ create /backstores/fileio/sdb/
targetcli iscsi/{BLOCKS}/tpg1/luns/ create /backstores/fileio/sdc/
targetcli iscsi/{BLOCKS}/tpg1/luns/ create /backstores/fileio/sdd/
targetcli iscsi/{BLOCKS}/tpg1/acls/ create iqn.2023-02.com.example:node1.init
targetcli iscsi/{BLOCKS}/tpg1/acls/ create {NODE2}
targetcli saveconfig
"""


@pytest.fixture(scope="module")
def pair(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    assert image
    lab = Driver("t-target")
    lab.log = tmp_path_factory.mktemp("t-target")
    lab.up("--nodes", "2", "--until", "nodes")
    yield lab
    lab.down()


@pytest.fixture
def lab(pair: Driver) -> Iterator[Driver]:
    """node1 has the course's target, saved; node2 is a machine beside it. No session is open."""
    sh(pair, "node1", COURSE)
    yield pair
    sh(pair, "node2", "systemctl stop 't-*' || true; rm -f /run/t-*")
    sh(pair, "node1", "labctl-target clear; systemctl disable target; rm -rf /etc/target " + DISKS)


def sh(lab: Driver, node: str, script: str, *, check: bool = True) -> Result:
    return lab.on(node, "sh", "-ec", script, check=check)


def cli(lab: Driver, *words: str, rc: int = 0) -> str:
    done = lab.on("node1", "targetcli", *words, check=False)
    assert done.rc == rc, done.describe()
    return done.stdout if rc == 0 else done.stderr


def at(lun: int = 1, extra: str = "") -> str:
    """The disk as qemu's iscsi driver is told of it."""
    portal = f"{ADDRESS['node1']}:3260"
    where = f"driver=iscsi,transport=tcp,portal={portal},target={BLOCKS},lun={lun},initiator-name={NODE2}"
    return f"{where}{extra}"


def io(lab: Driver, *commands: str, lun: int = 1) -> Result:
    words = [word for command in commands for word in ("-c", command)]
    return lab.on("node2", "qemu-io", *words, "--image-opts", at(lun), check=False)


def listing(lab: Driver, initiator: str = NODE2, user: str = "") -> Result:
    """What an initiator sees of the target: its LUNs."""
    return lab.on(
        "node2", "iscsi-ls", "-s", "-i", initiator, f"iscsi://{user}{ADDRESS['node1']}", check=False
    )


def sessions(lab: Driver) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(lab.on("node1", "labctl-target", "sessions", "--json").stdout)[
        "sessions"
    ]
    return found


def served(lab: Driver) -> bool:
    """Whether tgtd answers: it does not between its end and its next start."""
    return lab.on("node1", "labctl-target", "sessions", "--json", check=False).ok


class Writer:
    """Writes to LUN 1 from node2 without end, 8 requests at a time."""

    def __init__(self, lab: Driver) -> None:
        self._lab = lab
        bench = ["qemu-img", "bench", "-w", "-t", "none", "-c", "4000000", "-d", "8", "-s", "64k"]
        words = [*bench, "--image-opts", at()]
        lab.on("node2", "systemd-run", "--quiet", "--unit=t-writer", "--collect", *words)
        self.await_progress()

    def await_progress(self) -> None:
        """Wait until it has written more than now."""
        before = changed(self._lab)
        wait_until("the writer to go on", lambda: changed(self._lab) != before, timeout=PATIENCE)

    def alive(self) -> bool:
        return self._lab.on("node2", "systemctl", "is-active", "--quiet", "t-writer", check=False).ok

    def signal(self, name: str) -> None:
        self._lab.on("node2", "systemctl", "kill", f"--signal={name}", "t-writer")


def changed(lab: Driver) -> str:
    """When the disk's image was last written to, to the nanosecond."""
    return lab.on("node1", "stat", "-c", "%y", IMAGE).stdout
