"""The parts of a lab that Compose has no word for: what stands under x-lab in its file.

Each class is read from the file and kept in the model as it is.  Sizes are whole MiB.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from labctl.lab.values import (
    Address,
    BmcPassword,
    BmcUser,
    ChapWord,
    ClusterName,
    DiskName,
    Duration,
    Iqn,
    IqnTemplate,
    Port,
    Property,
    PropertyName,
    Secret,
    Size,
)

MIN_NODES = 2
MAX_NODES = 16

Mode = Literal["container", "vm"]
Family = Literal["auto", "centos", "debian"]
StorageDriver = Literal["auto", "lio", "userspace", "none"]


class Frozen(BaseModel):
    """A value: no unknown fields, no changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Cluster(Frozen):
    """The cluster: links are network names, the first is corosync's link 0.

    dc_deadtime: Pacemaker's own notation; token_ms: corosync's totem token, its default when None;
    op_timeout: of operations that say none of their own, Pacemaker's default when None.
    """

    name: ClusterName
    links: Annotated[tuple[str, ...], Field(min_length=1, max_length=8)]
    properties: Mapping[PropertyName, Property] = Field(default_factory=dict)
    dc_deadtime: Duration = "2s"
    token_ms: Annotated[int, Field(strict=True, ge=100, le=600_000)] | None = None
    op_timeout: Duration | None = None


class Credentials(Frozen):
    """Passwords of the nodes' accounts."""

    root_password: Secret
    hacluster_password: Secret


class Fencing(Frozen):
    """Node n's BMC listens at UDP first_port + n - 1 on the gateway of `network`.

    monitor: the time between two looks at a fence device; MONITOR when None.
    """

    enabled: Annotated[bool, Field(strict=True)] = True
    network: str
    user: BmcUser
    password: BmcPassword
    first_port: Port
    monitor: Duration | None = None


class Vips(Frozen):
    """The course's floating addresses, on the cluster's first link network."""

    nfs: Address
    web: Address
    mariadb: Address
    web_exercise: Address


class Disk(Frozen):
    """One file-backed disk of the target; size in MiB."""

    name: DiskName
    size: Size


class Chap(Frozen):
    """CHAP for the target's portal; with mutual_userid and mutual_password the target proves itself, too."""

    userid: ChapWord
    password: ChapWord
    mutual_userid: ChapWord | None = None
    mutual_password: ChapWord | None = None


class Storage(Frozen):
    """The iSCSI target; `initiator` is a template that holds {node}.

    driver: who serves the disks and logs in (docs/adr/0010-storage-drivers.md).
    """

    driver: StorageDriver = "auto"
    target: Iqn
    network: str
    address: Address
    disks: Annotated[tuple[Disk, ...], Field(min_length=1)]
    initiator: IqnTemplate
    chap: Chap | None = None


class Time(Frozen):
    """The node that serves time to the others."""

    server: str


class Vm(Frozen):
    """A node's virtual machine: memory in MiB."""

    memory: Size
    cpus: Annotated[int, Field(strict=True, ge=1, le=256)]


class Scale(Frozen):
    """How `--nodes` goes beyond the described nodes."""

    address_step: Annotated[int, Field(strict=True, ge=1, le=64)] = 5
    max: Annotated[int, Field(strict=True, ge=MIN_NODES, le=MAX_NODES)] = MAX_NODES
