#!/usr/bin/env python3
"""The proof of the lio driver. Runs in the virtual machine (ci/lio/vm.py), as root, on a host without labs.

Each step prints one line: its number, ok or NOT OK, what was shown, and the seconds. Exit code 0 when all
steps are ok. Words choose steps by name; none means all.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from labctl.engine.podman import PodmanEngine  # noqa: E402
from labctl.errors import LabError  # noqa: E402
from labctl.lab.bubble import engine  # noqa: E402
from labctl.places import lab_places  # noqa: E402
from labctl.run import Result, run  # noqa: E402
from labctl.storage import lio_kernel  # noqa: E402
from labctl.wait import wait_until  # noqa: E402

LAB = "lio"
UP_SECONDS = 900.0
# An emulated node takes longer to boot than `up` waits; it goes on where it was when it is called again.
UP_ATTEMPTS = 5
DISKS = Path("/var/lib/labctl/labs", LAB, "disks")
NOTE = Path("/run/labctl-proof.json")  # what the host was like before; the steps may be run in several calls
# An emulated machine is some twenty times slower than what Pacemaker's and corosync's defaults are made for.
# Its fence devices would be started and watched all the time: step_fence calls the agent itself.
OVERRIDE = """\
x-lab:
  cluster: {token_ms: 30000, dc_deadtime: 20s}
  fencing: {enabled: false}
"""
DIRTY_SECONDS = 40.0  # the kernel writes dirty pages after 30 s, and looks every 5 (vm.dirty_*)


class NotShown(Exception):
    """A step did not show what it should."""


def show(holds: object, what: str) -> None:
    if not holds:
        raise NotShown(what)


def labctl(*words: str, timeout: float = 300.0, check: bool = True) -> Result:
    return run(["labctl", *words], timeout=timeout, check=check)


def node(name: str, script: str, *, timeout: float = 120.0, check: bool = True) -> Result:
    """A shell script in a node. Without check, a node that cannot be asked is one more failure of it."""
    with machines() as lab:
        try:
            return lab.node(name).run(["sh", "-c", script], timeout=timeout, check=check)
        except LabError as error:
            if check:
                raise
            return Result((script,), 125, "", str(error))


def up(*words: str) -> int:
    """`labctl up` until it is done; how often it was called."""
    override = Path("/run/labctl-proof.yaml")
    override.write_text(OVERRIDE)
    words = ("--override", str(override), *words)
    for attempt in range(1, UP_ATTEMPTS + 1):
        done = labctl("up", "--lab", LAB, "--nodes", "2", *words, timeout=UP_SECONDS, check=False)
        if done.ok:
            return attempt
        why = [
            line for line in done.stderr.splitlines() if line.startswith(("error:", "Waited", "Last seen"))
        ]
        print(f"# up, attempt {attempt}: {' '.join(why)}", flush=True)
        if done.rc != 1:
            raise NotShown(done.describe())
    raise NotShown(done.describe())


# -- what the host has -----------------------------------------------------------------------


def kernel_state() -> dict[str, object]:
    """What a lab of this driver may have in the kernel and in the host's files."""
    modules = {}
    for line in Path("/proc/modules").read_text().splitlines():
        name, _, users = line.split()[:3]
        if name in ("iscsi_tcp", "iscsi_target_mod", "target_core_mod", "target_core_file"):
            modules[name] = users
    target = Path("/sys/kernel/config/target")
    return {
        "sessions": sorted(path.name for path in Path("/sys/class/iscsi_session").glob("*")),
        "disks": sorted(path.name for path in Path("/sys/class/block").glob("sd*")),
        "targets": sorted(str(path) for path in target.glob("iscsi/iqn*")),
        "backstores": sorted(str(path) for path in target.glob("core/*/*/info")),
        "records": sorted(str(path) for path in Path("/etc/iscsi").rglob("*")),
        "claims": sorted(str(path) for path in Path("/run/labctl-lio").glob("*")),
        "rules": sorted(str(path) for path in Path("/run/udev").glob("rules.d/*")),
        "device mapper": sorted(path.name for path in Path("/sys/class/block").glob("dm-*")),
        "users of modules": modules,
        "iscsid": run(["pgrep", "-c", "iscsid"], timeout=20, check=False).stdout.strip(),
        "mounts": sum("labctl" in line for line in Path("/proc/self/mountinfo").read_text().splitlines()),
    }


def host_network() -> str:
    """Addresses, routes, rules, and who listens elsewhere than on loopback."""
    commands = (["ip", "-br", "address"], ["ip", "route"], ["nft", "list", "ruleset"])
    words = [run(argv, timeout=30).stdout for argv in commands]
    listening = run(["ss", "-Hltn"], timeout=30).stdout.splitlines()
    return "".join(words) + "\n".join(sorted(at for at in (line.split()[3] for line in listening)
                                             if not at.startswith("127.0.0.1:")))  # fmt: skip


BEFORE: dict[str, object] = {}


# -- the steps -------------------------------------------------------------------------------


def step_host() -> str:
    """The host is one that the driver can run on."""
    for name in ("configfs", "target_core_mod", "target_core_file", "iscsi_target_mod", "iscsi_tcp"):
        run(["modprobe", name], timeout=60)
    BEFORE.update(state=kernel_state(), network=host_network())
    NOTE.write_text(json.dumps(BEFORE))
    show(not kernel_state()["sessions"], "there are sessions already")
    return f"modules are there, kernel {Path('/proc/sys/kernel/osrelease').read_text().strip()}"


def step_up() -> str:
    """A lab with the driver comes up."""
    attempts = up("--storage", "lio")
    status = json.loads(labctl("status", "--lab", LAB, "--json").stdout)["storage"]
    show(status["driver"] == "lio", f"the driver is {status}")
    show(all(one["logged_in"] for one in status["sessions"]), str(status["sessions"]))
    return f"two nodes online, quorate, both logged in ({attempts} calls of up: emulated nodes boot slowly)"


def step_devices() -> str:
    """Every node has its own three disks under the course's and stable names."""
    ids = {}
    numbers = set()
    for name in ("node1", "node2"):
        for disk in ("sdb", "sdc", "sdd"):
            size = node(name, f"blockdev --getsize64 /dev/{disk}").stdout.strip()
            show(size == str(2 * 1024**3), f"{disk} on {name} has {size} bytes")
            numbers.add(node(name, f"stat -c %t:%T /dev/{disk}").stdout.strip())
        ids[name] = node(name, "cd /dev/disk/by-id && for i in wwn-*; do echo $i $(readlink $i); done").stdout
    show(ids["node1"] == ids["node2"] and ids["node1"].count("wwn-0x6001405") == 3, str(ids))
    show(len(numbers) == 6, f"the nodes share devices: {numbers}")
    sessions = Path("/sys/class/iscsi_session").iterdir()
    initiators = {(one / "initiatorname").read_text().strip() for one in sessions}
    show(initiators == {f"iqn.2023-02.com.example:node{n}.init" for n in (1, 2)}, str(initiators))
    return "sdb, sdc, sdd on both, six devices of two sessions, same wwn on both nodes"


def step_left_alone() -> str:
    """The host's multipathd and LVM leave the nodes' disks to the nodes."""
    show(run(["pgrep", "-c", "multipathd"], timeout=20, check=False).ok, "multipathd does not run")
    node("node1", "wipefs -qa /dev/sdb; pvcreate -qq -ff -y /dev/sdb && vgcreate -qq labvg /dev/sdb"
         " && lvcreate -qq -an -Zn -Wn -L 64M -n one labvg")  # fmt: skip
    run(["udevadm", "settle"], timeout=60, check=False)
    run(["udevadm", "trigger", "--subsystem-match=block"], timeout=60)
    run(["udevadm", "settle"], timeout=120, check=False)
    mapped = sorted(path.name for path in Path("/sys/class/block").glob("dm-*"))
    node("node1", "wipefs -qa /dev/sdb")
    show(not mapped, f"the host made {mapped} of the nodes' disks")
    return "with multipathd and lvm2 on the host no device-mapper device came of the nodes' disks"


def step_network() -> str:
    """The host's network is as it was, and nothing listens beyond loopback."""
    show(host_network() == BEFORE["network"], "addresses, routes, rules or listeners of the host changed")
    return "addresses, routes and rules of the host unchanged; no listener beyond 127.0.0.1"


def step_shared() -> str:
    """Bytes written on one node are read on the other."""
    node("node1", "echo from-node1 | dd of=/dev/sdd bs=512 seek=7 conv=sync oflag=direct status=none")
    read = node("node2", "dd if=/dev/sdd bs=512 skip=7 count=1 iflag=direct status=none | head -c 10").stdout
    show(read == "from-node1", repr(read))
    return "a sector written on node1 was read on node2"


def step_validate() -> str:
    """`validate` agrees."""
    done = labctl("validate", "--lab", LAB, "--json", timeout=300, check=False)
    result = json.loads(done.stdout)
    failed = [f"{one['id']} {one.get('node', '')}: {one['message']}" for one in result["checks"]
              if one["status"] == "failed"]  # fmt: skip
    show(not failed, "; ".join(failed))
    return f"{result['passed']} checks passed"


def step_partitions() -> str:
    """A partition appears in the node where it is made."""
    node("node1", "parted -s /dev/sdb mklabel gpt mkpart one 1MiB 101MiB")
    wait_until(
        "/dev/sdb1 on node1",
        lambda: node("node1", "[ -b /dev/sdb1 ] && ls /dev/disk/by-id/wwn-*-part1", check=False).ok,
        timeout=60,
        every=0.5,
    )
    node("node2", "blockdev --rereadpt /dev/sdb")
    wait_until(
        "/dev/sdb1 on node2", lambda: node("node2", "[ -b /dev/sdb1 ]", check=False).ok, timeout=60, every=0.5
    )
    node("node1", "parted -s /dev/sdb rm 1")
    wait_until(
        "/dev/sdb1 on node1 to go",
        lambda: node("node1", "[ ! -e /dev/sdb1 ]", check=False).ok,
        timeout=60,
        every=0.5,
    )
    return "sdb1 came on node1, on node2 after it read the table, and went again"


def checksum(disk: str) -> str:
    return run(["md5sum", DISKS / f"{disk}.img"], timeout=120).stdout.split()[0]


def fence(victim: str, by: str) -> float:
    """What Pacemaker does, by the same agent against the same BMC; seconds until it reported success."""
    began = time.monotonic()
    agent = "fence_ipmilan -P -a 192.168.122.1 -l centos -p centos --power-timeout=120 --ipmitool-timeout=60"
    node(by, f"{agent} -u {7750 + int(victim[-1])} -o off", timeout=300)
    return time.monotonic() - began


def back(name: str) -> None:
    wait_until(
        f"{name} to be back with its disks",
        lambda: node(name, "for d in sdb sdc sdd; do blockdev --getsize64 /dev/$d; done", check=False).ok,
        timeout=300,
        every=2,
    )


def step_fence() -> str:
    """A node with a file system mounted and full of unwritten pages is frozen and fenced."""
    node("node2", "mkfs.xfs -q -f /dev/sdc && mkdir -p /mnt/x && mount /dev/sdc /mnt/x"
         " && echo kept > /mnt/x/synced && sync -f /mnt/x/synced"
         " && dd if=/dev/urandom of=/mnt/x/dirty bs=1M count=48 status=none"
         " && echo lost > /mnt/x/unsynced")  # fmt: skip
    # A writer of the raw disk, too, which is under way when the node freezes.
    node("node2", "nohup sh -c 'i=0; while :; do i=$((i+1)); printf %08d $i"
         " | dd of=/dev/sdb bs=512 seek=9 conv=notrunc,sync oflag=direct status=none; done'"
         " >/dev/null 2>&1 & sleep 2")  # fmt: skip
    with machines() as lab:
        lab.freeze("node2")
    seconds = fence("node2", "node1")
    sums = checksum("sdc"), checksum("sdb")
    run(["sync"], timeout=120)
    time.sleep(DIRTY_SECONDS)  # what this shows is that nothing happens: there is nothing to wait for
    run(["sync"], timeout=120)
    show((checksum("sdc"), checksum("sdb")) == sums, "the disks changed after the fence was reported")
    node("node1", "mkdir -p /mnt/x && mount /dev/sdc /mnt/x")
    found = node("node1", "cat /mnt/x/synced; ls /mnt/x; umount /mnt/x").stdout.split()
    show("kept" in found, f"what was synced is lost: {found}")
    show("unsynced" not in found, f"what was never synced reached the disk: {found}")
    up("--storage", "lio")
    back("node2")
    return (
        f"frozen and fenced in {seconds:.0f} s; sdb and sdc unchanged for {DIRTY_SECONDS:.0f} s after that;"
        " what was synced is there, what was not is not; the node is back"
    )


@contextlib.contextmanager
def machines() -> Iterator[PodmanEngine]:
    """The lab's own engine."""
    handle = engine(LAB, lab_places(LAB))
    try:
        yield handle
    finally:
        handle.close()


def step_reboot() -> str:
    """A node that reboots itself logs in anew, by the lab's daemon alone."""
    first = node("node1", "cat /run/labctl-iscsi/sessions/lio.json").stdout
    node("node1", "echo once > /var/tmp/before; nohup sh -c 'sleep 1; systemctl reboot' >/dev/null 2>&1 &")
    wait_until(
        "node1 to have a new session",
        lambda: (
            (now := node("node1", "cat /run/labctl-iscsi/sessions/lio.json", check=False)).ok
            and json.loads(now.stdout)["sid"] != json.loads(first)["sid"]
        ),
        timeout=300,
        every=2,
    )
    back("node1")
    return "a new session after the reboot, with the same names"


def step_restart_target() -> str:
    """The target's machine ends and comes back under a writer: it waits and goes on."""
    node("node1", "rm -f /tmp/w; nohup sh -c 'i=0; while [ $i -lt 2000 ]; do i=$((i+1)); printf %08d $i"
         " | dd of=/dev/sdb bs=512 seek=20 conv=notrunc,sync oflag=direct status=none || exit;"
         " echo $i > /tmp/w; done' >/tmp/w.err 2>&1 & sleep 2")  # fmt: skip
    with machines() as lab:
        lab.stop("target", timeout=60)
        at = int(node("node1", "cat /tmp/w").stdout)
        time.sleep(5)  # as long as the target is away
        lab.start("target")
    wait_until(
        "the writer to go on", lambda: int(node("node1", "cat /tmp/w").stdout) > at + 5, timeout=120, every=1
    )
    show(not node("node1", "cat /tmp/w.err").stdout, node("node1", "cat /tmp/w.err").stdout)
    node("node1", "pkill -f seek=20 || :")
    return f"the writer stood at {at} for the target's absence and went on without an error"


def step_fence_without_target() -> str:
    """A node whose target is away, and whose writer therefore hangs, is fenced all the same."""
    node("node2", "nohup sh -c 'while :; do dd if=/dev/zero of=/dev/sdb bs=512 seek=40 count=1 oflag=direct"
         " status=none; done' >/dev/null 2>&1 & sleep 2")  # fmt: skip
    with machines() as lab:
        lab.stop("target", timeout=60)
        seconds = fence("node2", "node1")
        show(not lab.is_on("node2"), "node2 is still on")
        lab.start("target")
    sessions = [one.initiator for one in lio_kernel.sessions()]
    show(not any("node2" in one for one in sessions), f"sessions: {sessions}")
    up("--storage", "lio")
    back("node2")
    return f"fenced in {seconds:.0f} s while its writer waited for the target; back after the target was"


def step_second_lab() -> str:
    """One lab per kernel: another one is told why not."""
    done = labctl("up", "--lab", "other", "--nodes", "2", "--storage", "lio", timeout=120, check=False)
    show(done.rc == 69 and f"lab {LAB}" in done.stderr, done.describe())
    labctl("down", "--lab", "other", check=False)
    return "refused with exit code 69 and the name of the lab that has it"


def step_fence_scsi() -> str:
    """Persistent reservations through the nodes' own sessions, and fence_scsi where nodes may send them."""
    disks = {
        one.initiator.split(":")[1].removesuffix(".init"): one.luns[2].disk for one in lio_kernel.sessions()
    }
    able = node("node1", "sg_persist -n -i -k /dev/sdd", check=False).ok

    def persist(name: str, *words: str) -> str:
        # The first command of a session is answered by a unit attention: what counts is what is seen after.
        if able:
            return node(name, f"sg_persist -n {' '.join(words)} /dev/sdd", check=False).stdout
        argv = ["sg_persist", "-n", *words, f"/dev/{disks[name].kernel_name}"]
        return run(argv, timeout=60, check=False).stdout

    write = "dd if=/dev/zero of=/dev/sdd bs=512 seek=30 count=1 oflag=direct status=none"
    persist("node1", "--out", "--register", "--param-sark=0x1")
    persist("node2", "--out", "--register", "--param-sark=0x2")
    keys = persist("node1", "-i", "-k")
    show("0x1" in keys and "0x2" in keys, f"keys: {keys}")
    persist("node1", "--out", "--reserve", "--param-rk=0x1", "--prout-type=5")
    show(node("node2", write, check=False).ok, "a registrant cannot write")
    persist("node1", "--out", "--preempt-abort", "--param-rk=0x1", "--param-sark=0x2", "--prout-type=5")
    refused = not node("node2", write, check=False).ok
    still = node("node1", write, check=False).ok
    persist("node1", "--out", "--clear", "--param-rk=0x1")
    show(refused and still, f"after the preemption node2 is refused: {refused}, node1 writes: {still}")
    text = "two keys, node2 preempted: its write is refused, node1's is not"
    if not able:
        return (
            f"{text}; sent by the host, since nodes lack CAP_SYS_RAWIO (fence_scsi in a node: not permitted)"
        )
    agent = "mkdir -p /run/cluster; fence_scsi -n {0} -k {1} -d /dev/sdd -o {2} 2>&1"
    for name, key in (("node1", "1111"), ("node2", "2222")):
        node(name, agent.format(f"{name}.example.com", key, "on"))
    node("node1", agent.format("node2.example.com", "2222", "off"))
    refused = not node("node2", write, check=False).ok
    node("node1", "sg_persist -n --out --clear --param-rk=0x1111 /dev/sdd", check=False)
    show(refused, "after fence_scsi node2 writes on")
    return f"{text}; fence_scsi in the nodes: on, on, off, and node2's write is refused"


def step_down() -> str:
    """`down` leaves nothing."""
    labctl("down", "--lab", LAB, timeout=300)
    left = {key: value for key, value in kernel_state().items() if BEFORE["state"][key] != value}  # type: ignore[index]
    show(not left, f"left: {left}")
    show(host_network() == BEFORE["network"], "the host's network changed")
    return "no session, target, backstore, record, claim, user of a module or daemon is left"


def step_kill() -> str:
    """kill -9 of the whole lab while its nodes write, then `down`."""
    up("--storage", "lio")
    node("node1", "nohup sh -c 'while :; do dd if=/dev/zero of=/dev/sdb bs=1M count=50 status=none; done'"
         " >/dev/null 2>&1 & sleep 2")  # fmt: skip
    for pid in run(["pgrep", "-f", "^unshare .*labctl.bubble.init"], timeout=20).stdout.split():
        run(["kill", "-9", pid], timeout=20)
    show(kernel_state()["sessions"], "the sessions should have outlived the lab's processes")
    return step_down()


STEPS: tuple[Callable[[], str], ...] = (
    step_host, step_up, step_devices, step_left_alone, step_network, step_shared, step_validate,
    step_partitions, step_fence, step_reboot, step_restart_target, step_fence_without_target,
    step_second_lab, step_fence_scsi,
    step_down, step_kill,
)  # fmt: skip


def main() -> int:
    wanted = sys.argv[1:]
    known = {step.__name__.removeprefix("step_"): step for step in STEPS}
    if NOTE.is_file():
        BEFORE.update(json.loads(NOTE.read_text()))
    failed = 0
    for number, name in enumerate(wanted or known, 1):
        began = time.monotonic()
        try:
            word, text = "ok", known[name]()
        except (NotShown, LabError) as error:
            word, text, failed = "NOT OK", str(error), failed + 1
        print(f"{number} {word} {name} ({time.monotonic() - began:.0f} s): {text}", flush=True)
    print(f"{failed} of {number} steps failed" if failed else f"all {number} steps are ok", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
