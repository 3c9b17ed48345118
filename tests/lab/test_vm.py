"""A lab of virtual machines: real kernels, kernel iSCSI, reservations, GFS2, fencing, nothing left behind.

One lab of three nodes for all of it, in this order; emulated, a machine takes a minute to boot.
"""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from labctl.engine.base import File, State
from labctl.errors import BAD_FILE, HOST_LACKS, USAGE
from labctl.run import Result
from labctl.vm.accel import cache_file, remembered
from labctl.wait import wait_until
from tests.lab.driver import FAMILY, FQDN, Begun, Driver, labctl, refused
from tests.lab.host_snapshot import (
    MARK,
    assert_as_before,
    down_leaves_nothing,
    marked,
    namespaces_in,
    snapshot,
)

NAME = "t-vm"
MINUTES = 60.0
UP_SECONDS = 15 * MINUTES  # emulated, on a machine with other work
NODES = ("node1", "node2", "node3")
MEMBERS = [node + FQDN for node in NODES]
MACHINES = ("--mode", "vm", "--storage", "lio")  # whatever the environment says
WANTED = bool(os.environ.get("LABCTL_TEST_MACHINES"))
LONG = pytest.mark.skipif(
    not WANTED,
    reason="minutes more where it is emulated: ci/test-machines.sh runs it",
)
BOOT_ID = "cat", "/proc/sys/kernel/random/boot_id"
ROOM_KIB = 128 * 1024  # enough to boot, too little for what is written then
BLOCK = "if=/dev/urandom bs=64k count=16 conv=fsync oflag=direct status=none"
CHAP = """
x-lab:
  storage:
    chap: {userid: learner, password: a-long-secret, mutual_userid: target, mutual_password: another-secret}
"""
LEFT_TO_THE_WORKFLOW = pytest.mark.skipif(
    FAMILY == "centos" and not WANTED,
    reason="CentOS Stream 9 machines: the workflow's job vm runs ci/test-machines.sh",
)
pytestmark = LEFT_TO_THE_WORKFLOW
# s for the trial's guest (labctl.vm.accel): emulated, 3 to 4 are usual. Beyond this a walk through a lab of
# machines takes more than half an hour, and all of ./lab test more than anybody waits for.
SLOWEST_TRIAL = 4.5


def skip_where_emulation_crawls(begun: Begun, lab: Driver) -> None:
    """For a lab whose `up` has begun: end it, and skip, where even the trial took too long."""
    begun.await_words("creating", UP_SECONDS)  # the trial came before
    found = remembered(cache_file())
    assert found is not None
    if WANTED or found.boot_seconds <= SLOWEST_TRIAL:
        return
    begun.signal(signal.SIGINT)
    begun.end()
    lab.down()
    pytest.skip(
        f"a small guest takes {found.boot_seconds:.1f} s to begin here, where 3 are usual under emulation:"
        " half an hour more; ci/test-machines.sh runs it"
    )


@pytest.fixture(scope="module")
def vm(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """Three nodes and their target, with CHAP both ways. The host is compared before and after."""
    lab, mark = Driver(NAME), uuid.uuid4().hex
    lab.log = tmp_path_factory.mktemp(NAME)
    (lab.log / "chap.yaml").write_text(CHAP)
    before = snapshot(NAME)
    words = (*MACHINES, "--nodes", str(len(NODES)), "--no-snapshot", "--override", str(lab.log / "chap.yaml"))
    begun = lab.begin("up", "--family", FAMILY, *words, env={MARK: mark})
    skip_where_emulation_crawls(begun, lab)
    assert begun.end(UP_SECONDS) == 0, begun.said
    assert marked(mark), "the mark does not reach the lab's processes"
    yield lab
    # libvirt gives QEMU an environment of its own; its namespaces tell that it is the lab's.
    down_leaves_nothing(lab, mark, namespaces_in(lab))
    assert_as_before(before, NAME)


def disk(vm: Driver, node: str, name: str = "sdb") -> str:
    """The disk's lasting name, as status knows it."""
    storage = status(vm)["storage"]
    [wwn] = [each["wwn"] for each in storage["disks"] if each["name"] == name]
    path = f"/dev/disk/by-id/{wwn}"
    assert vm.on(node, "test", "-b", path, check=False).ok
    return path


def status(vm: Driver) -> dict[str, Any]:
    found: dict[str, Any] = vm.json("status")
    return found


def whole(vm: Driver) -> bool:
    """Every node is a member, and has its session with the target."""
    return is_whole(status(vm))


def is_whole(found: dict[str, Any]) -> bool:
    logged_in = [each["logged_in"] for each in found["storage"]["sessions"]]
    return sorted(found["cluster"]["online"]) == MEMBERS and logged_in == [True] * len(NODES)


def everywhere(vm: Driver, *argv: str, nodes: Sequence[str] = NODES) -> dict[str, Result]:
    """A command on these nodes at once, by their agents, well ended or not; by node."""
    engine = vm.engine
    with ThreadPoolExecutor(len(nodes)) as pool:
        ran = pool.map(lambda node: engine.node(node).run(argv, timeout=UP_SECONDS, check=False), nodes)
        return dict(zip(nodes, ran, strict=True))


def said(vm: Driver, *argv: str) -> dict[str, str]:
    """What a command prints on each node. Every one must end well."""
    ran = everywhere(vm, *argv)
    assert [result.describe() for result in ran.values() if not result.ok] == []
    return {node: result.stdout for node, result in ran.items()}


def test_it_is_up_in_its_own_mode(vm: Driver) -> None:
    found = status(vm)
    assert found["mode"] == "vm"
    assert {node["name"]: node["state"] for node in found["nodes"]} == dict.fromkeys(NODES, "on")
    assert found["cluster"]["quorate"]
    assert found["cluster"]["fencing"] == "enabled"
    assert found["storage"]["driver"] == "lio"
    assert is_whole(found)


def test_every_machine_has_a_kernel_of_its_own(vm: Driver) -> None:
    assert len(set(said(vm, *BOOT_ID).values())) == len(NODES)
    assert vm.on("node1", "systemd-detect-virt", check=False).stdout.strip() in ("qemu", "kvm")
    vm.on("node1", "modprobe", "gfs2")


def test_validate_passes(vm: Driver) -> None:
    document = json.loads(vm("validate", "--json", timeout=UP_SECONDS, check=False).stdout)
    assert [check for check in document["checks"] if check["status"] == "failed"] == []
    assert document["passed"] > 40


def test_commands_files_and_the_console(vm: Driver, tmp_path: Any) -> None:
    done = vm.on("node1", "sh", "-c", "echo 'a  word'; echo err >&2; exit 3", check=False)
    assert (done.rc, done.stdout, done.stderr) == (3, "a  word\n", "err\n")
    (tmp_path / "file").write_bytes(b"\x00\xff")
    labctl("cp", str(tmp_path / "file"), "node2:/root/file", "--lab", NAME)
    assert vm.engine.node("node2").get("/root/file") == b"\x00\xff"
    vm.engine.node("node2").put([File("/srv/new/deep", b"put", mode=0o640)])
    assert vm.on("node2", "stat", "-c", "%a %U", "/srv/new/deep").stdout == "640 root\n"
    names = labctl("virsh", "--lab", NAME, "--", "list", "--name").stdout.split()
    assert sorted(names) == [*NODES, "target"]
    assert "login:" in vm.engine.console("node1")


def test_what_containers_have_and_machines_lack_is_told(vm: Driver) -> None:
    asked = vm("up", "--mode", "container", "--storage", "lio", check=False)
    refused(asked, USAGE, "made in mode vm", mend="labctl down")
    refused(vm("up", "--storage", "userspace", check=False), USAGE, "storage driver")


STRANGERS = r"""
try() {
    name=$1; shift
    iscsiadm -m node -T $target -p $address,1 -I $name -o new
    for setting; do
        iscsiadm -m node -T $target -p $address -I $name -o update -n "node.session.auth.${setting%=*}" \
            -v "${setting#*=}"
    done
    iscsiadm -m node -T $target -p $address -I $name --login; echo "$name $?" >&3
    iscsiadm -m node -T $target -p $address -I $name -o delete
    iscsiadm -m iface -I $name -o delete
}
exec 3>&1 >/dev/null
target=$1 address=$2
iscsiadm -m iface -I stranger -o new
iscsiadm -m iface -I stranger -o update -n iface.initiatorname -v iqn.1999-01.org.example:x
try stranger authmethod=CHAP username=learner password=a-long-secret
iscsiadm -m iface -I wrong -o new
try wrong authmethod=CHAP username=learner password=another
"""
AUTHORIZATION_FAILED = "24"  # iscsiadm(8), EXIT STATUS


def test_a_stranger_and_a_wrong_password_are_sent_away(vm: Driver) -> None:
    """By LIO. The right name with the right password is what every session of this lab has shown."""
    target = status(vm)["storage"]["target"]
    words = (target["iqn"], target["portal"].partition(":")[0])
    done = vm.on("node2", "sh", "-c", STRANGERS, "sh", *words, timeout=UP_SECONDS)
    told = dict(line.split() for line in done.stdout.splitlines())
    assert told == dict.fromkeys(("stranger", "wrong"), AUTHORIZATION_FAILED), done.describe()
    assert whole(vm)


def test_what_one_node_writes_the_others_read(vm: Driver) -> None:
    path = disk(vm, "node1")
    vm.on("node1", "sh", "-c", f"dd of={path} {BLOCK}")
    read = f"dd if={path} bs=64k count=16 iflag=direct status=none | sha256sum"
    assert len(set(said(vm, "sh", "-c", read).values())) == 1


def test_fence_scsi_takes_a_nodes_writes_away(vm: Driver) -> None:
    """The agent itself, as the cluster calls it: keys, a fenced node's writes refused, the way back."""
    path = disk(vm, "node1", "sdc")
    agent = ("fence_scsi", f"--devices={path}")
    keys = {node: f"{number:016x}" for number, node in enumerate(NODES, 1)}
    register = f'fence_scsi --devices={path} --action=on --key=$(printf %016x "$(hostname -s | tr -dc 0-9)")'
    said(vm, "sh", "-c", register)
    assert registered(vm, path) == ["0x1", "0x2", "0x3"]
    assert writing(vm, path) == list(NODES)
    vm.on("node1", *agent, f"--key={keys['node2']}", "--action=off")
    assert registered(vm, path) == ["0x1", "0x3"]
    assert writing(vm, path) == ["node1", "node3"]
    vm.on("node2", *agent, f"--key={keys['node2']}", "--action=on")
    assert writing(vm, path) == list(NODES)


def writing(vm: Driver, path: str) -> list[str]:
    """The nodes that can write to a disk now."""
    ran = everywhere(vm, "sh", "-c", f"dd of={path} {BLOCK}")
    return [node for node, result in ran.items() if result.ok]


def registered(vm: Driver, path: str) -> list[str]:
    """The keys of all initiators that may write."""
    told = vm.on("node1", "sg_persist", "--in", "--read-keys", path).stdout
    return sorted(line.strip() for line in told.splitlines() if line.strip().startswith("0x"))


def test_a_snapshot_holds_memory_and_machines_go_on_from_there(vm: Driver) -> None:
    """Disks, and what is in no disk; the same boot of every kernel, and today's time."""
    boots = said(vm, *BOOT_ID)
    vm.on("node1", "sh", "-c", "echo memory >/run/held; echo disk >/root/held")
    vm.snapshot("create", "held", timeout=UP_SECONDS)
    vm.on("node1", "rm", "/run/held", "/root/held")
    vm.engine.power_off("node2")
    vm.snapshot("restore", "held", timeout=UP_SECONDS)
    assert vm.on("node1", "cat", "/run/held", "/root/held").stdout == "memory\ndisk\n"
    assert said(vm, *BOOT_ID) == boots
    assert abs(int(vm.on("node2", "date", "+%s").stdout) - time.time()) < UP_SECONDS / 10
    assert whole(vm)
    path = disk(vm, "node2")
    vm.on("node2", "sh", "-c", f"dd of={path} {BLOCK}")


@LONG
def test_memory_that_libvirt_refuses_is_a_boot(vm: Driver) -> None:
    boots = said(vm, *BOOT_ID)
    file = vm.places.snapshots / "held" / "memory" / "node1"
    with file.open("r+b") as held:
        held.write(bytes(4096))  # libvirt's header of it
    told = vm.snapshot("restore", "held", timeout=UP_SECONDS)
    assert "they cannot, so they boot" in told.stderr
    assert set(said(vm, *BOOT_ID).values()).isdisjoint(boots.values())
    assert vm.on("node1", "cat", "/root/held").stdout == "disk\n"
    assert whole(vm)


def test_memory_that_was_changed_is_no_snapshot(vm: Driver) -> None:
    file = vm.places.snapshots / "held" / "memory" / "node1"
    with file.open("ab") as held:
        held.write(b"more")
    refused(vm.snapshot("restore", "held", check=False), BAD_FILE, "not whole", mend="snapshot delete held")
    assert vm.state("node1") is State.ON
    vm.snapshot("delete", "held")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_snapshot_that_is_interrupted_leaves_machines_that_go_on(
    vm: Driver, number: signal.Signals
) -> None:
    boot = vm.on("node1", *BOOT_ID).stdout
    begun = vm.begin_snapshot("create", "ended")
    wait_until(
        "the machines to be held still",
        lambda: vm.state("node1") is State.FROZEN,
        timeout=UP_SECONDS,
        every=0.02,
        last_seen=lambda: begun.said,
    )
    begun.signal(number)
    begun.end()
    if number is signal.SIGKILL:
        assert vm.state("node1") is State.FROZEN
        vm("up", *MACHINES, timeout=UP_SECONDS)
    assert vm.state("node1") is State.ON
    assert vm.on("node1", *BOOT_ID).stdout == boot
    assert vm.snapshots() == []


def test_a_killed_libvirtd_comes_back_and_the_machines_never_notice(vm: Driver) -> None:
    boots = said(vm, *BOOT_ID)
    old = vm.inside("pidof", "libvirtd", "virtqemud", check=False).stdout.split()
    assert len(old) == 1
    assert vm.state("node1") is State.ON
    vm.inside("kill", "-KILL", *old)
    wait_until(
        "the bubble to start it again",
        lambda: vm.inside("pidof", "libvirtd", "virtqemud", check=False).stdout.split() not in ([], old),
        timeout=30,
    )
    told = vm("virsh", "--", "list", "--name", timeout=UP_SECONDS).stdout
    assert sorted(told.split()) == [*NODES, "target"]
    # By the connection to the old one, too: a BMC's must not fail at the first fencing after that.
    assert said(vm, *BOOT_ID) == boots
    assert status(vm)["cluster"]["quorate"] is True


SHARE = "/gfs2-share"
MOUNTED = ("timeout", "600", "sh", "-c", f"until mountpoint -q {SHARE}; do sleep 1; done")
SHARED = """
<configuration><resources>
 <clone id="locks"><meta_attributes id="locks-meta">
   <nvpair id="locks-interleave" name="interleave" value="true"/></meta_attributes>
  <primitive id="dlm" class="ocf" provider="pacemaker" type="controld">
   <operations><op id="dlm-monitor" name="monitor" interval="60s" on-fail="fence"/></operations>
  </primitive></clone>
 <clone id="shares"><meta_attributes id="shares-meta">
   <nvpair id="shares-interleave" name="interleave" value="true"/></meta_attributes>
  <primitive id="share" class="ocf" provider="heartbeat" type="Filesystem">
   <instance_attributes id="share-what">
    <nvpair id="share-device" name="device" value="DEVICE"/>
    <nvpair id="share-directory" name="directory" value="/gfs2-share"/>
    <nvpair id="share-fstype" name="fstype" value="gfs2"/></instance_attributes>
   <operations><op id="share-monitor" name="monitor" interval="60s" on-fail="fence"/></operations>
  </primitive></clone>
</resources>
<constraints>
 <rsc_order id="locks-first" first="locks" then="shares" kind="Mandatory"/>
 <rsc_colocation id="locks-here" rsc="shares" with-rsc="locks" score="INFINITY"/>
</constraints></configuration>"""


def test_all_write_one_gfs2_and_a_fenced_node_stops_nobody(vm: Driver) -> None:
    """A node is fenced while all write: the others go on after recovery, and it comes back to its disks."""
    path = disk(vm, "node1", "sdd")
    vm.on("node1", "mkfs.gfs2", "-O", "-K", "-j", str(len(NODES)), "-J", "16", "-p", "lock_dlm",
          "-t", "ha_cluster_lab:share", path, timeout=UP_SECONDS)  # fmt: skip
    vm.on("node1", "cibadmin", "--modify", "--xml-text", SHARED.replace("DEVICE", path))
    said(vm, *MOUNTED)
    kinds = said(vm, "findmnt", "--noheadings", "--output", "FSTYPE", SHARE)
    assert {kind.strip() for kind in kinds.values()} == {"gfs2"}
    write = f"while sleep 1; do date >>{SHARE}/$(hostname -s) && sync -f {SHARE}/$(hostname -s); done"
    said(vm, "systemd-run", "--quiet", "--unit=writer", "sh", "-c", write)
    for node in NODES:
        await_lines(vm, node, dict.fromkeys(NODES, 1))
    before = vm.on("node2", *BOOT_ID).stdout
    vm.on("node1", "stonith_admin", "--reboot", "node2.example.com", "--timeout", "240", timeout=UP_SECONDS)
    then = lines(vm, "node1")
    await_lines(vm, "node1", {node: then[node] + 3 for node in ("node1", "node3")})
    node2 = vm.engine.node("node2")

    def again() -> bool:
        found = node2.run(list(BOOT_ID), timeout=10, check=False) if vm.state("node2") is State.ON else None
        return found is not None and found.ok and found.stdout != before

    wait_until("node2 to run again", lambda: quietly(again), timeout=UP_SECONDS, every=2.0)
    vm("up", *MACHINES, timeout=UP_SECONDS)
    assert whole(vm)
    said(vm, *MOUNTED)
    seen = lines(vm, "node2")
    assert all(seen[node] >= then[node] + 3 for node in ("node1", "node3")), (
        "node2 has mounted it again, and sees what was written meanwhile"
    )
    mine = f"date >>{SHARE}/again.$(hostname -s) && sync -f {SHARE}/again.$(hostname -s)"
    said(vm, "sh", "-c", mine)


@LONG
def test_a_machine_that_meets_a_full_disk_stands_still_until_there_is_room(vm: Driver) -> None:
    """The last test: node2's disk moves to a file system that is nearly full."""
    folder = str(vm.places.vms / "node2")
    # A member that stands still is fenced, so it is none while it does.
    vm.on("node2", "systemctl", "disable", "--now", "pacemaker", "corosync", timeout=UP_SECONDS)
    vm.engine.power_off("node2")
    used = int(vm.inside("du", "-sk", folder).stdout.split()[0])
    vm.inside("sh", "-c", """
        mount -t tmpfs -o mode=700,size=$2k tmpfs /mnt && cp -a --sparse=always "$1"/. /mnt &&
        mount --move /mnt "$1"
    """, "sh", folder, str(used + ROOM_KIB), timeout=120)  # fmt: skip
    vm.engine.start("node2")
    wait_until(
        "node2 to run", lambda: quietly(lambda: vm.on("node2", "true", check=False).ok), timeout=UP_SECONDS
    )
    write = "dd if=/dev/zero of=/root/much bs=1M count=400 conv=fsync status=none"
    vm.on("node2", "systemd-run", "--quiet", "--unit=much", "sh", "-c", write)
    wait_until("it to stand still", lambda: vm.state("node2") is State.FROZEN, timeout=UP_SECONDS)
    refused(vm("up", *MACHINES, check=False), HOST_LACKS, "node2 writes to is full", mend="make room")
    vm.inside("mount", "-o", "remount,size=2G", folder)
    vm("up", *MACHINES, timeout=UP_SECONDS)
    vm.on("node2", "sh", "-c", "while systemctl is-active --quiet much; do sleep 1; done", timeout=UP_SECONDS)
    assert vm.on("node2", "stat", "--format=%s", "/root/much").stdout.strip() == str(400 * 1024**2)
    assert whole(vm)


def lines(vm: Driver, node: str) -> dict[str, int]:
    """How many lines of each writer a node sees; 0 where nothing is mounted."""
    count = f"cd {SHARE} && for writer; do wc -l <$writer || echo 0; done"
    told = vm.engine.node(node).run(["sh", "-c", count, "sh", *NODES], timeout=UP_SECONDS, check=False)
    counts = [int(word) for word in told.stdout.split()] if told.ok else [0] * len(NODES)
    return dict(zip(NODES, counts, strict=True))


def await_lines(vm: Driver, node: str, wanted: Mapping[str, int]) -> None:
    """Wait until a node sees at least so many lines of these writers."""
    seen: dict[str, int] = {}

    def there() -> bool:
        nonlocal seen
        seen = lines(vm, node)
        return all(seen[writer] >= count for writer, count in wanted.items())

    wait_until(
        f"{node} to see what {', '.join(wanted)} write",
        there,
        timeout=UP_SECONDS,
        every=2.0,
        last_seen=lambda: str(seen),
    )


def quietly(ask: Any) -> bool:
    """Whether the answer is yes; a machine that boots gives none."""
    from labctl.errors import LabError

    try:
        return bool(ask())
    except LabError:
        return False
