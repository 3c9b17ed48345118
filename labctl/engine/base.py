"""What makes and powers nodes (Engine), and what acts inside one (Node).

Everything above talks to these two protocols; podman and libvirt are modules
beside this one, held to one contract suite (tests/lab/test_engine_contract.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from labctl.run import Result

if TYPE_CHECKING:  # pydantic takes a fifth of a second, and the lab's own daemon needs none of it
    from labctl.lab.model import Lab, NodeSpec

TIMEOUT_CODES = (124, 137)  # a run that was cut off: timeout(1) ran out, and the KILL after it


class State(StrEnum):
    """The state of a node's machine, as its power lamp would show it."""

    MISSING = "missing"
    OFF = "off"
    ON = "on"
    FROZEN = "frozen"


@dataclass(frozen=True)
class Machine:
    """One node's machine as observed; spec_hash tells which description made it.

    ended: the exit code of a container that is off, 0 for a machine.  From 128 on it was switched off,
    or rebooted; below, its init gave up.
    """

    name: str
    state: State
    image: str = ""
    spec_hash: str = ""
    started: str = ""
    ended: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class File:
    """A file to put into a node: absolute path, content, mode bits, owner and group by name or id."""

    path: str
    content: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    link_to: str = ""
    directory: bool = False


@dataclass(frozen=True)
class Appliance:
    """A machine of the lab that is no node: one program on the node image, without systemd.

    network, address, prefix: its one leg.  mounts: (folder on the host, folder inside).
    The lab's daemon starts it again when its program ends with another exit code than 0.
    """

    name: str
    hostname: str
    argv: tuple[str, ...]
    network: str
    address: str
    mounts: tuple[tuple[str, str], ...] = ()
    prefix: int = 24

    def spec_hash(self, image: str) -> str:
        """16 hex digits over all that, when changed, asks for the machine to be made anew."""
        facts = json.dumps([asdict(self), image], sort_keys=True)
        return hashlib.sha256(facts.encode()).hexdigest()[:16]


class Node(Protocol):
    """Acts inside one node that is on."""

    @property
    def name(self) -> str: ...

    def run(
        self, argv: Sequence[str], *, timeout: float, check: bool = True, stdin: str | None = None
    ) -> Result:
        """Run a command as root inside the node. Same errors as labctl.run.run."""
        ...

    def put(self, files: Sequence[File]) -> None:
        """Place files; parents are made. Works on a node that is off, too."""
        ...

    def get(self, path: str) -> bytes:
        """A file's content. Raises ActionFailed when there is no such file."""
        ...


class Engine(Protocol):
    """Makes, powers and removes the machines of one lab.

    Wherever a method takes a machine's name, that of a node or of an appliance will do.
    """

    @property
    def pace(self) -> float:
        """How many times longer things take inside a machine than they could; 1 or more.

        Node.run() counts it in by itself.
        """
        ...

    def observe(self) -> Mapping[str, Machine]:
        """Every node's machine of this lab by node name; missing ones are absent."""
        ...

    def appliances(self) -> Mapping[str, Machine]:
        """Every appliance of this lab by name; missing ones are absent."""
        ...

    def make_networks(self, lab: Lab) -> list[str]:
        """Create the networks that are not there; names of those made."""
        ...

    def create(self, lab: Lab, node: NodeSpec, image: str, files: Sequence[File]) -> None:
        """Make a node's machine, switched off, with these files in place."""
        ...

    def create_appliance(self, appliance: Appliance, image: str, files: Sequence[File]) -> None:
        """Make an appliance, switched off, with these files in place."""
        ...

    def start(self, name: str) -> None:
        """Switch on. No error when it is on already."""
        ...

    def stop(self, name: str, *, timeout: float) -> None:
        """Shut down in order, switch off by force after timeout seconds."""
        ...

    def remove(self, name: str) -> None:
        """Remove the machine and its disk; no error when there is none."""
        ...

    def is_on(self, name: str) -> bool:
        """The power lamp: True for a frozen node, too."""
        ...

    def power_off(self, name: str) -> None:
        """Cut the power: every process of the node is gone when this returns, frozen or not."""
        ...

    def power_on(self, name: str) -> None:
        """Press the power button of a node that is off."""
        ...

    def freeze(self, name: str) -> None:
        """Stop every process of the node where it stands, as a hung kernel would."""
        ...

    def thaw(self, name: str) -> None:
        """Let a frozen node go on."""
        ...

    def node(self, name: str) -> Node:
        """The handle to act inside a node."""
        ...

    def console(self, name: str) -> str:
        """The last lines that the node wrote to its console."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...
