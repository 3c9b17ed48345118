"""The scalar values a lab's file may hold, each with its rule and its words for a wrong one.

The types serve both the model (already typed values pass) and the file's form
(text is read); the JSON Schema shows what the file takes.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

# RFC 1123, section 2.1: labels of letters, digits and inner hyphens.
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# RFC 3720, section 3.2.6.3.1: iqn.YYYY-MM.reversed-domain[:string], at most 223 bytes.
_IQN: Final = re.compile(rf"iqn\.[0-9]{{4}}-(?:0[1-9]|1[0-2])\.{_LABEL}(?:\.{_LABEL})*(?::[a-z0-9.:_-]+)?")
_SIZE: Final = re.compile(r"([0-9]{1,9}) ?(MiB|GiB|TiB)")
_SIZES: Final = {"MiB": 1, "GiB": 1024, "TiB": 1024 * 1024}
_UNFIT: Final = tuple(
    IPv4Network(net) for net in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")
)


def _matching(pattern: str, rule: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if compiled.fullmatch(value) is None:
            raise ValueError(rule)
        return value

    return AfterValidator(check)


def _address(value: object) -> IPv4Address:
    if isinstance(value, IPv4Address):
        return value
    try:
        # A bare number would pass as an address.
        return IPv4Address(value if isinstance(value, str) else "")
    except AddressValueError:
        raise ValueError("must be an IPv4 address such as 192.168.90.110") from None


def _subnet(value: object) -> IPv4Network:
    if isinstance(value, IPv4Network):
        return value
    if not isinstance(value, str) or "/" not in value:
        raise ValueError("must be an IPv4 subnet such as 192.168.90.0/24")
    try:
        loose = IPv4Network(value, strict=False)
    except (AddressValueError, NetmaskValueError, ValueError):
        raise ValueError("must be an IPv4 subnet such as 192.168.90.0/24") from None
    if str(loose.network_address) != value.partition("/")[0]:
        raise ValueError(f"has host bits set; the subnet is {loose}")
    if not 8 <= loose.prefixlen <= 29:
        raise ValueError("must be between /8 and /29")
    if any(loose.overlaps(unfit) for unfit in _UNFIT):
        raise ValueError(
            "lies in a range that nodes cannot have (loopback, link-local, multicast or reserved)"
        )
    return loose


def _size(value: object) -> int:
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        raise ValueError("must be a size with its unit, such as 512MiB or 2GiB")
    size = int(match[1]) * _SIZES[match[2]]
    if size > 64 * 1024 * 1024:
        raise ValueError("is more than 64 TiB")
    return size


def _iqn(value: str) -> str:
    if len(value) > 223 or _IQN.fullmatch(value) is None:
        raise ValueError("must be an iSCSI name (RFC 3720) such as iqn.2023-02.com.example:blocks")
    return value


def _iqn_template(value: str) -> str:
    if value.count("{node}") != 1:
        raise ValueError("must hold {node} once, so that every node has its own name")
    _iqn(value.replace("{node}", "node1"))
    return value


def _property(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError("must be text, a number, true or false")


def _secret(value: str) -> str:
    # chpasswd(8) reads user:password lines, so a colon or a line's end would break them.
    if not value or not value.isprintable() or not value.isascii() or ":" in value:
        raise ValueError("must be printable ASCII without a colon")
    return value


def _chap_word(value: str) -> str:
    # tgtadm(8) parts its words at commas; "NULL" is how LIO says that there is none.
    plain = value.isprintable() and value.isascii() and not set(value) & set(":, ")
    if not value or not plain or value == "NULL":
        raise ValueError("must be printable ASCII without colon, comma and space, and not NULL")
    return value


HostName = Annotated[
    str,
    Field(max_length=253),
    _matching(
        rf"{_LABEL}(\.{_LABEL})*", "must be a host name (RFC 1123): small letters, digits, inner hyphens"
    ),
]
NodeName = Annotated[
    str, _matching(_LABEL, "must be a host's short name (RFC 1123): small letters, digits, inner hyphens")
]
Address = Annotated[IPv4Address, BeforeValidator(_address, json_schema_input_type=str)]
Subnet = Annotated[IPv4Network, BeforeValidator(_subnet, json_schema_input_type=str)]
Size = Annotated[int, BeforeValidator(_size, json_schema_input_type=str)]
"""Whole MiB; in the file text with a unit: 512MiB, 2GiB."""
Iqn = Annotated[str, AfterValidator(_iqn)]
IqnTemplate = Annotated[str, AfterValidator(_iqn_template)]
Property = Annotated[str, BeforeValidator(_property, json_schema_input_type=str | int | float | bool)]
Secret = Annotated[str, Field(max_length=72), AfterValidator(_secret)]
ChapWord = Annotated[str, Field(max_length=72), AfterValidator(_chap_word)]
# IPMI 2.0, sections 22.28 and 22.30: names of 16 bytes, passwords of 20.
BmcUser = Annotated[str, Field(max_length=16), AfterValidator(_secret)]
BmcPassword = Annotated[str, Field(max_length=20), AfterValidator(_secret)]
# 32 bytes is what a GFS2 lock table keeps of a cluster's name (mkfs.gfs2(8)).
ClusterName = Annotated[
    str, _matching(r"[A-Za-z0-9_-]{1,32}", "must be 1 to 32 letters, digits, hyphens or underscores")
]
Duration = Annotated[
    str, _matching(r"[1-9][0-9]{0,6}(ms|s|min|h)", "must be a time with its unit, such as 500ms, 2s or 1min")
]
DiskName = Annotated[str, _matching(r"sd[b-z]", "must be sdb to sdz")]
# IFNAMSIZ is 16 with its closing zero.
InterfaceName = Annotated[
    str,
    _matching(
        r"[a-z][a-z0-9_.-]{0,14}", "must be an interface's name of at most 15 characters, such as eth1"
    ),
]
PropertyName = Annotated[str, _matching(r"[A-Za-z][A-Za-z0-9_-]*", "must be a cluster property's name")]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
