"""The lab's target as LIO's saveconfig.json, for either driver: pure, from the lab's description.

The form is rtslib-fb's (RTSRoot.dump): storage objects, then targets with portal group, LUNs, ACLs.
"""

from __future__ import annotations

import uuid
from typing import Any

from labctl.lab.model import Chap, Lab
from labctl.storage.base import DISKS_INSIDE, PORT

FIRST_LUN = 1  # tgtd's LUN 0 is its controller
CHECK = "check"
CHECK_SIZE = 1024 * 1024  # bytes
ORGANISATION = "6001405"  # LIO's, in a disk's NAA name
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "labctl.storage")


def document(lab: Lab) -> dict[str, Any]:
    """The whole configuration: the lab's target, and a second one where `validate` may write.

    Passwords are in it.  Sizes are bytes.
    """
    storage = lab.storage
    disks = [(disk.name, disk.size * 1024 * 1024) for disk in storage.disks]
    initiators = [node.initiator for node in lab.nodes]
    return {
        "fabric_modules": [],
        "storage_objects": [
            *(_disk(name, size, wwn(lab, name)) for name, size in disks),
            _disk(CHECK, CHECK_SIZE, wwn(lab, CHECK)),
        ],
        "targets": [
            _target(lab, storage.target, [name for name, _ in disks], initiators, storage.chap),
            _target(lab, check_target(lab), [CHECK], [check_initiator(name) for name in initiators], None),
        ],
    }


def wwn(lab: Lab, disk: str) -> str:
    """The unit serial of a disk: the same for every lab and driver that has this target and disk."""
    return str(uuid.uuid5(_NAMESPACE, f"{lab.storage.target} {disk}"))


def stable_path(lab: Lab, disk: str) -> str:
    """Where every node has a disk, under a name that no boot changes; the same with every driver.

    The NAA name is the one that LIO makes from a unit serial (spc_parse_naa_6h_vendor_specific()).
    """
    digits = "".join(digit for digit in wwn(lab, disk) if digit in "0123456789abcdef")[:25]
    return f"/dev/disk/by-id/wwn-0x{ORGANISATION}{digits}"


def check_target(lab: Lab) -> str:
    """The hidden target's name: the lab's, with `check` behind its colon."""
    return f"{lab.storage.target.partition(':')[0]}:{CHECK}"


def check_initiator(initiator: str) -> str:
    """The name under which a node reaches the hidden target."""
    return f"{initiator}.{CHECK}"


def image(disk: str) -> str:
    """Where the target finds a disk's image."""
    return f"{DISKS_INSIDE}/{disk}.img"


def _disk(name: str, size: int, serial: str) -> dict[str, Any]:
    return {
        "aio": False,
        "alua_tpgs": [],
        "attributes": {"block_size": 512, "emulate_write_cache": 1},
        "dev": image(name),
        "name": name,
        "plugin": "fileio",
        "size": size,
        "write_back": True,
        "wwn": serial,
    }


def _target(lab: Lab, iqn: str, disks: list[str], initiators: list[str], chap: Chap | None) -> dict[str, Any]:
    luns = list(enumerate(disks, FIRST_LUN))
    tpg = {
        "attributes": {
            "authentication": 1 if chap else 0,
            "cache_dynamic_acls": 0,
            "default_cmdsn_depth": 64,
            "demo_mode_write_protect": 1,
            "generate_node_acls": 0,
        },
        "enable": True,
        "luns": [
            {
                "alias": _alias(iqn, name),
                "alua_tg_pt_gp_name": "default_tg_pt_gp",
                "index": index,
                "storage_object": f"/backstores/fileio/{name}",
            }
            for index, name in luns
        ],
        "node_acls": [_acl(iqn, name, [index for index, _ in luns], chap) for name in initiators],
        "parameters": {"AuthMethod": "CHAP" if chap else "CHAP,None"},
        "portals": [{"ip_address": str(lab.storage.address), "iser": False, "offload": False, "port": PORT}],
        "tag": 1,
    }
    return {"fabric": "iscsi", "tpgs": [tpg], "wwn": iqn}


def _acl(iqn: str, initiator: str, luns: list[int], chap: Chap | None) -> dict[str, Any]:
    acl: dict[str, Any] = {
        "attributes": {},
        "mapped_luns": [
            {"alias": _alias(iqn, initiator, str(lun)), "index": lun, "tpg_lun": lun, "write_protect": False}
            for lun in luns
        ],
        "node_wwn": initiator,
    }
    if chap is None:
        return acl
    acl |= {"chap_userid": chap.userid, "chap_password": chap.password}
    if chap.mutual_userid and chap.mutual_password:
        acl |= {"chap_mutual_userid": chap.mutual_userid, "chap_mutual_password": chap.mutual_password}
    return acl


def _alias(*words: str) -> str:
    """configfs's name of a link: ten hex digits that need only be unique (rtslib makes random ones)."""
    return uuid.uuid5(_NAMESPACE, " ".join(words)).hex[:10]
