"""The steps of the proof that take a node's disks away."""

from __future__ import annotations

import time

from ground import (
    DIRTY_SECONDS,
    back,
    checksum,
    fence,
    machines,
    node,
    show,
    up,
)

from labctl.run import run
from labctl.storage import lio_kernel


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
