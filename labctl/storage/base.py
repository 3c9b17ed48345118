"""What a storage driver is: who serves the lab's disks, and how a node comes to them.

`lio` and `userspace` are modules beside this one (docs/adr/0010-storage-drivers.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from labctl.engine.base import Appliance, Engine, File

if TYPE_CHECKING:
    from labctl.lab.model import Lab, NodeSpec
    from labctl.places import LabPlaces
    from labctl.probe.facts import TargetSeen

TARGET = "target"  # the machine's name
PORT = 3260  # RFC 7143
DISKS_INSIDE = "/var/lib/iscsi_disks"
CONFIG_INSIDE = "/etc/target"
CONFIG_NAME = "saveconfig.json"
CONFIG = f"{CONFIG_INSIDE}/{CONFIG_NAME}"
PROGRAM = "/usr/local/sbin/labctl-target"  # what the target's machine runs
LIO, USERSPACE, NONE = "lio", "userspace", "none"


@dataclass(frozen=True)
class Choice:
    """The driver's name and why it is that one."""

    driver: str
    reason: str


@dataclass(frozen=True)
class NodeDisks:
    """What a node has of the lab's storage.

    configured: it is set up to log in.  disks: names of those that it has (sdb, …).
    """

    configured: bool = False
    disks: frozenset[str] = frozenset()


class Driver(Protocol):
    """Serves the disks from the target machine, and logs the nodes in."""

    @property
    def name(self) -> str: ...

    @property
    def disks_on_host(self) -> bool:
        """Whether the disks are files in the lab's folder; else the target's machine makes its own."""
        ...

    def prepare(self, lab: Lab, places: LabPlaces) -> None:
        """Make the host ready for the target; again and again. Raises HostLacks, ActionFailed."""
        ...

    def appliance(self, lab: Lab, places: LabPlaces) -> Appliance:
        """The target's machine."""
        ...

    def appliance_files(self, places: LabPlaces) -> list[File]:
        """What the target's machine needs beside the node image and its mounted folders."""
        ...

    def node_files(self, lab: Lab, node: NodeSpec, *, login: bool) -> list[File]:
        """What a node needs before its first boot; login: it is to log in by itself then."""
        ...

    def update(self, engine: Engine, lab: Lab, places: LabPlaces) -> None:
        """Bring the running target to its configuration file. Raises ActionFailed, with its words."""
        ...

    def started(self, engine: Engine, lab: Lab, node: NodeSpec) -> None:
        """What a node that has just been switched on needs from outside. Raises ActionFailed."""
        ...

    def log_in(self, engine: Engine, lab: Lab, node: NodeSpec) -> None:
        """Log a running node in to the lab's target, now and at every boot. Raises ActionFailed."""
        ...

    def in_use(self, engine: Engine, lab: Lab, node: NodeSpec) -> list[str]:
        """Which of the lab's disks a running node has mounted or otherwise holds, a phrase each."""
        ...

    def log_out(self, engine: Engine, lab: Lab, node: NodeSpec) -> None:
        """End a running node's session with the lab's target. Raises ActionFailed."""
        ...

    def show(self, engine: Engine, lab: Lab) -> TargetSeen:
        """What the target says of itself; never raises for what it does."""
        ...

    def last_words(self, engine: Engine, node: str) -> str:
        """What a node last said about its session, for an error's details."""
        ...

    def question(self, lab: Lab) -> str:
        """A shell fragment that makes a node say what it has; answered() reads it."""
        ...

    def answered(self, lines: Sequence[str]) -> NodeDisks:
        """From what the question printed."""
        ...
