"""The lio driver in the lab's daemon: nodes lose their disks before their power, and get them after a start.

Does nothing in a lab with another driver, and nothing before `up` has made the plan.
"""

from __future__ import annotations

import logging
import socket
import threading
from pathlib import Path

from labctl.engine.base import Engine
from labctl.errors import LabError
from labctl.storage import lio_kernel
from labctl.storage.lio_link import Link, Plan, through
from labctl.storage.lio_session import iface_name
from labctl.wait import wait_until

log = logging.getLogger(__name__)

NETLINK_KOBJECT_UEVENT = 15  # linux/netlink.h
KERNEL_GROUP = 1  # what the kernel itself sends; udev's own messages have group 2
ATTACH_SECONDS = 120.0  # a host that starts many nodes answers late
SETTLE_SECONDS = 0.3  # partitions come one message each


class LioKeeper:
    """Keeps the nodes' sessions in step with their power.

    conf: the lab's folder with the plan.  network: a descriptor of the host's network namespace.
    """

    def __init__(self, conf: Path, engine: Engine, network: int) -> None:
        self._conf = conf
        self._engine = engine
        self._network = network

    def cut(self, node: str) -> None:
        """Before the power goes off. Raises ActionFailed when it may still write afterwards."""
        link = self._link()
        if link is not None and node in link.plan.initiators:
            link.cut(node)

    def attach(self, node: str) -> None:
        """After the power came on: until it is done, or the node is off again, or the time is over.

        Never raises: the node runs, the log has the reason, and `up` tries again.
        """
        link = self._link()
        if link is None or node not in link.plan.initiators:
            return
        last = ""

        def tried() -> bool:
            nonlocal last
            try:
                if self._engine.is_on(node):
                    link.attach(self._engine, node)
            except LabError as error:
                last = str(error)
                return False
            return True

        try:
            wait_until(
                f"the disks of {node}", tried, timeout=ATTACH_SECONDS, every=0.5, last_seen=lambda: last
            )
        except LabError as error:
            log.warning("%s has no disks: %s", node, error)

    def watch(self, stop: threading.Event) -> None:
        """Follow what the kernel tells of partitions until stop is set; in a thread of its own."""
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_KOBJECT_UEVENT) as uevents:
            uevents.bind((0, KERNEL_GROUP))
            while not stop.is_set():
                uevents.settimeout(1.0)
                changed: set[str] = set()
                try:
                    while True:
                        changed.update(session_of(uevents.recv(65536)))
                        uevents.settimeout(SETTLE_SECONDS)
                except TimeoutError:
                    pass
                except OSError as error:  # ENOBUFS: some were lost
                    log.info("uevents: %s", error)
                    changed.update(f"session{one.sid}" for one in lio_kernel.sessions())
                if changed:
                    self._refresh(changed)

    def _refresh(self, changed: set[str]) -> None:
        link = self._link()
        if link is None:
            return
        by_iface = {iface_name(link.plan.lab, node): node for node in link.plan.initiators}
        for session in lio_kernel.sessions():
            node = by_iface.get(session.iface)
            if node is None or f"session{session.sid}" not in changed:
                continue
            try:
                if self._engine.is_on(node):
                    link.refresh(self._engine, node)
            except LabError as error:
                log.info("devices of %s: %s", node, error)

    def _link(self) -> Link | None:
        plan = Plan.load(self._conf)
        return through(plan, self._network) if plan is not None else None


def session_of(message: bytes) -> list[str]:
    """The session that a uevent of a block device belongs to, as a list of none or one.

    >>> session_of(b"add@/devices/platform/host2/session1/target2:0:0/2:0:0:1/block/sdb/sdb1\\0ACTION=add")
    ['session1']
    """
    path = message.split(b"\0", 1)[0].partition(b"@")[2].decode(errors="replace").split("/")
    return (
        [part for part in path if part.startswith("session") and part[7:].isdigit()]
        if "block" in path
        else []
    )
