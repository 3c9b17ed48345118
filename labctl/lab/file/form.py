"""The form of a lab's file: the part of the Compose Specification that labctl reads, and x-lab.

Keys of the specification that labctl has no use for pass without complaint, and so
do x- extensions where the specification allows them; any other key is a mistake.
https://github.com/compose-spec/compose-spec/blob/main/spec.md
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from labctl.lab.sections import (
    Cluster,
    Credentials,
    Family,
    Fencing,
    Frozen,
    Mode,
    Scale,
    Storage,
    Time,
    Vips,
    Vm,
)
from labctl.lab.values import Address, HostName, InterfaceName, NodeName, Port, Size, Subnet


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Keys of the specification that would change what a node is; reading past them would mislead.
REFUSED: Final = frozenset({"include", "extends", "network_mode"})


class Standard(BaseModel):
    """A place of the specification: `unused` keys and x- extensions are let through and dropped."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    unused: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _drop_unused(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        used = {field.alias or name for name, field in cls.model_fields.items()}
        return {
            key: value
            for key, value in data.items()
            if key in used or not (str(key).startswith("x-") or key in cls.unused)
        }

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        place = handler.resolve_ref_schema(schema)
        if "properties" in place:
            place["properties"] |= {key: {} for key in sorted(cls.unused)}
            place["patternProperties"] = {"^x-": {}}
        return schema


class PortForm(Standard):
    """A forwarded TCP port; `published` is a port or a range, of which the first free one is taken."""

    unused = _words("mode name app_protocol")

    target: Port
    published: str
    host_ip: str = ""
    protocol: Literal["tcp"] = "tcp"

    @property
    def host_ports(self) -> tuple[int, int]:
        """First and last host port."""
        first, _, last = self.published.partition("-")
        return int(first), int(last or first)

    @model_validator(mode="after")
    def _check(self) -> PortForm:
        if re.fullmatch(r"[0-9]{1,5}(-[0-9]{1,5})?", self.published) is None:
            raise ValueError("the published port must be a port or a range such as 2224-2323")
        first, last = self.host_ports
        if not 1 <= first <= last <= 65535:
            raise ValueError("the published ports must lie between 1 and 65535, the first before the last")
        if self.host_ip != "127.0.0.1":
            raise ValueError(
                f"the host's address must be 127.0.0.1, not {self.host_ip[:40] or 'left out'}: "
                "nothing of a lab listens beyond the host"
            )
        return self


_SHORT_PORT: Final = re.compile(
    r"(?:(?P<ip>[^:]+):)?(?P<published>[0-9-]+):(?P<target>[0-9]{1,5})(?:/(?P<protocol>\w+))?"
)


def _port(value: object) -> object:
    """The long form of a port; `published` as text whichever way it was written."""
    if isinstance(value, dict):
        published = value.get("published")
        return {**value, "published": str(published)} if type(published) is int else value
    match = _SHORT_PORT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('must be "127.0.0.1:HOSTPORT:PORT" or "127.0.0.1:FIRST-LAST:PORT"')
    long: dict[str, object] = {"target": int(match["target"]), "published": match["published"]}
    long |= {"host_ip": match["ip"]} if match["ip"] else {}
    return long | ({"protocol": match["protocol"]} if match["protocol"] else {})


class LegForm(Standard):
    """A service's place in a network."""

    unused = _words("aliases driver_opts gw_priority ipv6_address link_local_ips mac_address priority")

    ipv4_address: Address
    interface_name: InterfaceName


class NodeForm(Frozen):
    """services.NAME.x-lab: what labctl knows of a node beyond Compose."""

    mode: Mode = "container"
    aliases: tuple[NodeName, ...] = ()
    memory: Size | None = None
    cpus: Annotated[int, Field(strict=True, ge=1, le=256)] | None = None


def _legs(value: object) -> object:
    """`networks: [a, b]` is short for a mapping without settings."""
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        value = dict.fromkeys(value)
    return {k: v if v is not None else {} for k, v in value.items()} if isinstance(value, dict) else value


class ServiceForm(Standard):
    """A service: one node."""

    unused = _words(
        """annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs
        container_name cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus
        cpuset credential_spec depends_on deploy develop device_cgroup_rules devices dns dns_opt dns_search
        domainname entrypoint env_file environment expose external_links extra_hosts gpus
        group_add healthcheck image init ipc isolation label_file labels links logging mac_address mem_limit
        mem_reservation mem_swappiness memswap_limit models oom_kill_disable oom_score_adj pid pids_limit
        platform post_start pre_stop privileged profiles provider pull_policy pull_refresh_after read_only
        restart runtime scale
        secrets security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty
        ulimits use_api_socket user userns_mode uts volumes volumes_from working_dir"""
    )

    hostname: HostName
    networks: Annotated[
        Mapping[str, LegForm], BeforeValidator(_legs, json_schema_input_type=Mapping[str, LegForm])
    ]
    ports: tuple[Annotated[PortForm, BeforeValidator(_port, json_schema_input_type=str | PortForm)], ...] = ()
    x_lab: NodeForm = Field(NodeForm(), alias="x-lab")


class SubnetForm(Standard):
    """networks.NAME.ipam.config[0]."""

    unused = _words("aux_addresses ip_range")

    subnet: Subnet
    gateway: Address | None = None


class IpamForm(Standard):
    """networks.NAME.ipam."""

    unused = _words("driver options")

    config: Annotated[tuple[SubnetForm, ...], Field(min_length=1, max_length=1)]


class NetworkForm(Standard):
    """A network with its one IPv4 subnet."""

    unused = _words("attachable driver driver_opts enable_ipv4 enable_ipv6 external labels name")

    internal: Annotated[bool, Field(strict=True)] = False
    ipam: IpamForm


class LabForm(Frozen):
    """x-lab: what Compose has no word for."""

    family: Family = "auto"
    cluster: Cluster
    credentials: Credentials
    fencing: Fencing
    vips: Vips
    storage: Storage
    time: Time
    vm: Vm
    scale: Scale = Scale()


class LabPart(Frozen):
    """As much of x-lab as could be read; for looking at the rest when something is wrong."""

    cluster: Cluster | None = None
    fencing: Fencing | None = None
    vips: Vips | None = None
    storage: Storage | None = None
    time: Time | None = None

    model_config = ConfigDict(extra="ignore")


ProjectName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
NetworkName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")]


class ComposeForm(Standard):
    """The whole file."""

    unused = _words("configs models secrets version volumes")

    name: ProjectName | None = None
    services: Mapping[NodeName, ServiceForm]
    networks: Mapping[NetworkName, NetworkForm]
    x_lab: LabForm = Field(alias="x-lab")


class ComposePart(Standard):
    """As much of the file as could be read."""

    model_config = ConfigDict(extra="ignore")

    services: Mapping[NodeName, ServiceForm] = Field(default_factory=dict)
    networks: Mapping[NetworkName, NetworkForm] = Field(default_factory=dict)
    x_lab: LabPart = Field(LabPart(), alias="x-lab")
