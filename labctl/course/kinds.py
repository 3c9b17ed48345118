"""The kinds of check that an exercise may use, with parameters; docs/writing-exercises.md explains them.

Three sorts: judged from the probe's facts, asked of the nodes by a harmless command, and proofs,
which do something to a node (a reboot, a reload) and look again.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from labctl.course.text import Text, Words
from labctl.lab.sections import Frozen

ID: Final = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
CheckId = Annotated[str, Field(pattern=rf"^{ID}$", max_length=40)]
Nodes = Annotated[tuple[str, ...], Field(min_length=1)]


def _places(value: object) -> object:
    """`on: node1` is short for a list of one."""
    return [value] if isinstance(value, str) else value


On = Annotated[Nodes, BeforeValidator(_places)]
Seconds = Annotated[int, Field(strict=True, ge=1, le=600)]
PortNumber = Annotated[int, Field(strict=True, ge=1, le=65535)]


# What asks pcsd, here or on other nodes (pcs(8)).
PCSD: Final = re.compile(r"\bpcsd\b|:2224\b|\bpcs (?:-\S+ )*(?:host|cluster|client|quorum|stonith sbd)\b")


def asks_pcsd(command: str) -> bool:
    """Whether a shell command asks pcsd: it fails while pcsd, which starts last, is not there."""
    return bool(PCSD.search(command))


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    return value


Pattern = Annotated[str, AfterValidator(_pattern)]


class Base(Frozen):
    """What every check has.

    point: what is to be so, as the learner reads it.  look: the command that shows more when it is
    not, {node} being the node in question.
    on: the nodes it looks at; all of the exercise's when left out.
    requires: checks of the same exercise without which this one is not tried.
    """

    id: CheckId
    point: Text
    look: Words
    on: On | None = None
    requires: tuple[CheckId, ...] = ()


class Hostname(Base):
    """The node bears its full name."""

    type: Literal["hostname"]


class Resolve(Base):
    """The node resolves every node of the exercise by each of its names; reach: and gets an echo."""

    type: Literal["resolve"]
    reach: bool = True


class Address(Base):
    """The node's interfaces in these networks bear the lab's addresses."""

    type: Literal["address"]
    networks: Nodes


class UnitState(Base):
    """systemd units by their logical names; enabled: whether they come with the next boot."""

    type: Literal["unit"]
    units: Nodes
    active: bool | None = None
    enabled: bool | None = None

    @model_validator(mode="after")
    def _something(self) -> UnitState:
        if self.active is None and self.enabled is None:
            raise ValueError("asks for nothing: give active, enabled or both")
        return self


class TimeSource(Base):
    """chronyd is synchronised to this node."""

    type: Literal["time"]
    server: str


class PcsHosts(Base):
    """The node's pcs holds a token for each of these nodes."""

    type: Literal["pcs_hosts"]
    hosts: Nodes


class Cluster(Base):
    """One quorate cluster of exactly these members, all online, with one DC."""

    type: Literal["cluster"]
    members: Nodes
    name: str | None = None


class Links(Base):
    """corosync talks over these networks, in this order, and no others."""

    type: Literal["links"]
    networks: Nodes


class Cib(Base):
    """What an XPath finds in the live CIB: count elements exactly, or at least one."""

    type: Literal["cib"]
    xpath: Words
    count: Annotated[int, Field(strict=True, ge=0)] | None = None


class Command(Base):
    """A command that changes nothing, run on each node; its output is compared.

    equals: the output, white space at the ends aside.  contains, lacks: text.
    matches: a regular expression that is found in it; a dot stands for a line's end, too.
    found: what a learner is told instead of the output, which may be long.
    """

    type: Literal["command"]
    run: Words
    rc: Annotated[int, Field(strict=True, ge=0, le=255)] | None = 0
    equals: str | None = None
    contains: str | None = None
    lacks: str | None = None
    matches: Pattern | None = None
    found: Text | None = None
    timeout: Seconds = 10


class Login(Base):
    """From one node, as a user, one gets into each of the nodes by key alone, under both names."""

    type: Literal["login"]
    source: str
    user: str = "root"


class PortOpen(Base):
    """A port answers another node, or does not. A listener is put there for the moment of asking."""

    type: Literal["port"]
    source: str
    port: PortNumber
    protocol: Literal["tcp", "udp"] = "tcp"
    open: bool = True


class Restored(Base):
    """The lab has a snapshot of this name, and was last brought back to it, after it was made."""

    type: Literal["restored"]
    snapshot: str


class Again(Base):
    """A proof: reboot the nodes of `on` in order, or run a command there, and judge the checks again.

    undo: what puts back what run may have lost.  timeout: of each of the two.
    found: what a learner is told when run ends badly; what it wrote itself follows in brackets.
    """

    type: Literal["again"]
    checks: Annotated[tuple[CheckId, ...], Field(min_length=1)]
    reboot: bool = False
    run: Words | None = None
    undo: Words | None = None
    found: Text | None = None
    timeout: Seconds = 60

    @model_validator(mode="after")
    def _one(self) -> Again:
        if self.reboot == (self.run is not None):
            raise ValueError("takes either reboot: true or run")
        if self.found is not None and self.run is None:
            raise ValueError("found goes with run")
        if not self.on:
            raise ValueError("needs `on`: which nodes")
        return self


FromFacts = Hostname | Resolve | Address | UnitState | TimeSource | PcsHosts | Cluster | Links
Asked = Cib | Command | Login | PortOpen | Restored
Check = Annotated[FromFacts | Asked | Again, Field(discriminator="type")]
KINDS: Final[dict[str, type[Base]]] = {
    "hostname": Hostname,
    "resolve": Resolve,
    "address": Address,
    "unit": UnitState,
    "time": TimeSource,
    "pcs_hosts": PcsHosts,
    "cluster": Cluster,
    "links": Links,
    "cib": Cib,
    "command": Command,
    "login": Login,
    "port": PortOpen,
    "restored": Restored,
    "again": Again,
}
