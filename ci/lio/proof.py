#!/usr/bin/env python3
"""The proof of the lio driver. Runs in the virtual machine (ci/lio/vm.py), as root, on a host without labs.

Each step prints one line: its number, ok or NOT OK, what was shown, and the seconds. Exit code 0 when all
steps are ok. Words choose steps by name; none means all.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from ground import (
    LAB,
    NotShown,
    back,
    before,
    host_network,
    kernel_state,
    labctl,
    machines,
    node,
    remember,
    show,
    up,
)
from proof_fencing import step_fence, step_fence_scsi, step_fence_without_target

from labctl.errors import LabError
from labctl.run import run
from labctl.storage import lio_kernel
from labctl.wait import wait_until

TARGET = "iqn.2023-02.com.example:blocks"

# -- the steps -------------------------------------------------------------------------------


def step_host() -> str:
    """The host is one that the driver can run on."""
    for name in ("configfs", "target_core_mod", "target_core_file", "iscsi_target_mod", "iscsi_tcp"):
        run(["modprobe", name], timeout=60)
    remember()
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
    show(host_network() == before()["network"], "addresses, routes, rules or listeners of the host changed")
    return "addresses, routes and rules of the host unchanged; no listener beyond 127.0.0.1"


def step_shared() -> str:
    """Bytes written on one node are read on the other."""
    node("node1", "echo from-node1 | dd of=/dev/sdd bs=512 seek=7 conv=sync oflag=direct status=none")
    read = node("node2", "dd if=/dev/sdd bs=512 skip=7 count=1 iflag=direct status=none | head -c 10").stdout
    show(read == "from-node1", repr(read))
    return "a sector written on node1 was read on node2"


def step_validate() -> str:
    """`validate` agrees about the disks. Its other checks give commands less time than this machine takes."""
    done = labctl("validate", "--lab", LAB, "--json", timeout=300, check=False)
    checks = [one for one in json.loads(done.stdout)["checks"] if one["id"].startswith("storage.")]
    failed = [f"{one['id']} {one.get('node') or ''}: {one['message']}" for one in checks
              if one["status"] == "failed"]  # fmt: skip
    show(checks and not failed, "; ".join(failed))
    return f"{len(checks)} checks of the disks passed, a write and read through two nodes among them"


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
    node("node1", "rm -f /tmp/counter; nohup sh -c 'i=0; while [ $i -lt 2000 ]; do i=$((i+1)); printf %08d $i"
         " | dd of=/dev/sdb bs=512 seek=20 conv=notrunc,sync oflag=direct status=none || exit;"
         " echo $i > /tmp/counter; done' >/tmp/counter.err 2>&1 & sleep 2")  # fmt: skip
    with machines() as lab:
        lab.stop("target", timeout=60)
        show(not lio_kernel.is_serving(TARGET), "the target serves on although its machine is off")
        at = int(node("node1", "cat /tmp/counter").stdout)
        time.sleep(5)  # as long as the target is away
        lab.start("target")
    wait_until(
        "the writer to go on",
        lambda: int(node("node1", "cat /tmp/counter").stdout) > at + 5,
        timeout=120,
        every=1,
    )
    show(not node("node1", "cat /tmp/counter.err").stdout, node("node1", "cat /tmp/counter.err").stdout)
    node("node1", "pkill -f '[s]eek=20' || :")
    return f"the writer stood at {at} for the target's absence and went on without an error"


def step_second_lab() -> str:
    """One lab per kernel: another one is told why not."""
    done = labctl("up", "--lab", "other", "--nodes", "2", "--storage", "lio", timeout=120, check=False)
    show(done.rc == 69 and f"lab {LAB}" in done.stderr, done.describe())
    labctl("down", "--lab", "other", check=False)
    return "refused with exit code 69 and the name of the lab that has it"


def step_down() -> str:
    """`down` leaves nothing."""
    labctl("down", "--lab", LAB, timeout=300)
    left = {key: value for key, value in kernel_state().items() if before()["state"][key] != value}
    show(not left, f"left: {left}")
    show(host_network() == before()["network"], "the host's network changed")
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
