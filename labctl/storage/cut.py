"""Ending a node's access to the shared disks, for good, once its power is off.  Runs in the lab's daemon.

A killed initiator leaves commands in flight: in the network, in the target's socket, in its queue.
Fencing may report success only when none of them can reach a disk any more.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from labctl.engine.base import Engine
from labctl.errors import ActionFailed, LabError
from labctl.run import run
from labctl.storage.base import PROGRAM, TARGET

log = logging.getLogger(__name__)

CUT_SECONDS = 15.0  # s; labctl-target itself gives up after 3 for each address


def cut(addresses: Sequence[str], *, proc: Path = Path("/proc")) -> None:
    """Wait until no iSCSI target of the lab has a connection from these addresses; close what is left.

    Every tgtd of the lab is asked, in its own namespaces: the lab's own target and those that
    learners run on nodes.  Raises ActionFailed when a target does not confirm it.
    """
    servers = targets(proc)
    if not servers or not addresses:
        return
    with ThreadPoolExecutor(len(servers)) as pool:
        problems = [problem for problem in pool.map(lambda pid: _ask(pid, addresses), servers) if problem]
    if problems:
        raise _unconfirmed(addresses, "\n".join(problems))


def cut_by_machine(engine: Engine, addresses: Sequence[str]) -> None:
    """The same where the lab's target is a machine with a kernel of its own: that one is told.

    Raises ActionFailed when a target that is on does not confirm it.
    """
    if not addresses or not engine.is_on(TARGET):
        return
    done = engine.node(TARGET).run([PROGRAM, "cut", *addresses], timeout=CUT_SECONDS, check=False)
    if not done.ok:
        raise _unconfirmed(addresses, done.describe())


def _unconfirmed(addresses: Sequence[str], details: str) -> ActionFailed:
    return ActionFailed(
        f"The target does not confirm that {addresses[0]} is cut off from the disks.", details=details
    )


def targets(proc: Path = Path("/proc")) -> list[int]:
    """Process ids of the lab's tgtd's, in this PID namespace; one each, without their helpers."""
    found = []
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "comm").read_text().strip() == "tgtd" and not _frozen(entry):
                    found.append(int(entry.name))
            except OSError:
                continue  # it ended meanwhile
    return sorted(found)


def _frozen(process: Path) -> bool:
    """A target on a frozen node cannot answer, and cannot write either; its node's fate is another fence."""
    group = (process / "cgroup").read_text().rpartition("::")[2].strip().lstrip("/")
    folder = Path("/sys/fs/cgroup", group)
    return any(
        "frozen 1" in (above / "cgroup.events").read_text()
        for above in (folder, *folder.parents)
        if (above / "cgroup.events").exists()
    )


def _ask(pid: int, addresses: Sequence[str]) -> str:
    """What stands against it, "" when the target confirms."""
    enter = ["nsenter", "--target", str(pid), "--mount", "--net", "--uts", "--ipc", "--pid", "--"]
    try:
        done = run([*enter, PROGRAM, "cut", *addresses], timeout=CUT_SECONDS, check=False)
    except LabError as error:
        return error.message
    if done.ok or not Path(f"/proc/{pid}").exists():
        return ""  # a target that ended has no access to give
    log.info("cut of %s at %d: %s", ", ".join(addresses), pid, done.describe())
    return (done.stderr or done.stdout).strip() or f"exit code {done.rc}"
