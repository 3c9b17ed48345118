"""Inside a portal group of targetcli's /iscsi: LUNs, portals, and ACLs with their CHAP."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from typing import Any

from .tree import CliError, Node, Parameter, Shell, truth
from .tree_stores import block_or_file, place, remove_luns, stores

PORT = 3260
ANY = "0.0.0.0"  # noqa: S104  where a learner's target listens; tgtd listens on IPv4
AUTH = ("userid", "password", "mutual_userid", "mutual_password")
FIRST_LUN = "LUN 0 is the controller of this target (tgtd): disks begin at LUN 1"
ONE_MAPPING = (
    "tgtd shows every LUN of a target, with its own number, to every initiator that has an ACL there"
)


def iscsi_name(name: str) -> str:
    """An iSCSI name in the form that it is compared in. Raises CliError."""
    clean = name.strip().lower()
    iqn = re.fullmatch(r"iqn\.[0-9]{4}-[0-1][0-9]\.[^\s:_,]+(:[^\s,]+)?", clean)
    if len(clean) > 223 or not (iqn or re.fullmatch(r"eui\.[0-9a-f]{16}|naa\.[0-9a-f]{16,32}", clean)):
        raise CliError("WWN not valid as: iqn, naa, eui")
    return clean


def portal(address: str, port: int) -> dict[str, Any]:
    return {"ip_address": address, "iser": False, "offload": False, "port": port}


def auth(holder: dict[str, Any]) -> dict[str, Parameter]:
    """CHAP settings, as saveconfig.json keeps them: chap_… of an ACL or a portal group."""

    def parameter(name: str) -> Parameter:
        key = f"chap_{name}"

        def change(value: str) -> None:
            if not value.isprintable() or set(value) & set(", "):
                raise ValueError("tgtd takes printable characters without comma and space.")
            if value:
                holder[key] = value
            else:
                holder.pop(key, None)

        return Parameter("string", f"The {name} auth parameter.", change, lambda: str(holder.get(key, "")))

    return {name: parameter(name) for name in AUTH}


class Part(Node):
    """One of the three lists of a portal group."""

    def __init__(self, name: str, tpg: dict[str, Any], parent: Node, shell: Shell) -> None:
        super().__init__(name, parent, shell)
        self.tpg = tpg


class Luns(Part):
    def children(self) -> Sequence[Node]:
        return [Lun(lun, self, self.shell) for lun in self.tpg["luns"]]

    def summary(self) -> tuple[str, bool | None]:
        return f"LUNs: {len(self.tpg['luns'])}", None

    def do_create(self, storage_object: str, lun: str = "", add_mapped_luns: str = "") -> None:
        """Create a LUN from a storage object, or from a file or device for which one is made first."""
        so = self._store(storage_object)
        if any(known["storage_object"] == place(so) for known in self.tpg["luns"]):
            raise CliError(f"lun for storage object {so['plugin']}/{so['name']} already exists")
        taken = {int(known["index"]) for known in self.tpg["luns"]}
        words = lun.lower()[3:] if lun.lower().startswith("lun") else lun
        if words and not words.isdigit():
            raise CliError("LUN must be 1 to 255")
        index = int(words) if words else min(set(range(1, 257)) - taken)
        if index == 0:
            raise CliError(FIRST_LUN)
        if index > 255:
            raise CliError("LUN must be 1 to 255")
        if index in taken:
            raise CliError("This LUN already exists in configFS")
        self.tpg["luns"].append(
            {
                "alias": uuid.uuid4().hex[:10],
                "alua_tg_pt_gp_name": "default_tg_pt_gp",
                "index": index,
                "storage_object": place(so),
            }
        )
        self.shell.say(f"Created LUN {index}.")
        if truth(add_mapped_luns, True):
            for acl in self.tpg["node_acls"]:
                acl["mapped_luns"].append(mapped(index))
                self.shell.say(f"Created LUN {index}->{index} mapping in node ACL {acl['node_wwn']}")

    def _store(self, name: str) -> dict[str, Any]:
        path = self.find(name).path if name.startswith("..") else f"/{name.strip('/')}"
        known = {place(so): so for so in stores(self.shell)}
        if path in known:
            return known[path]
        kind = block_or_file(name)
        if not kind:
            raise CliError("storage object or path not valid")
        plugin = {"file": "fileio", "block": "block"}[kind]
        short = name.rsplit("/", maxsplit=1)[-1]
        self.root.find(f"/backstores/{plugin}").execute("create", [short, name], {})
        self.shell.said[-1] = f"Created storage object {short}."
        return stores(self.shell)[-1]

    def do_delete(self, lun: str) -> None:
        """Delete a LUN and its mappings; its storage object stays."""
        words = lun.lower()[3:] if lun.lower().startswith("lun") else lun
        if words not in {str(known["index"]) for known in self.tpg["luns"]}:
            raise CliError("Invalid LUN")
        remove_luns(self.tpg, {int(words)})
        self.shell.say(f"Deleted LUN {words}.")


def mapped(lun: int) -> dict[str, Any]:
    return {"alias": uuid.uuid4().hex[:10], "index": lun, "tpg_lun": lun, "write_protect": False}


class Lun(Node):
    def __init__(self, lun: dict[str, Any], parent: Node, shell: Shell) -> None:
        super().__init__(f"lun{lun['index']}", parent, shell)
        self.lun = lun

    def summary(self) -> tuple[str, bool | None]:
        known = {place(so): so for so in stores(self.shell)}
        so = known.get(self.lun["storage_object"])
        if so is None:
            return "BROKEN STORAGE LINK", False
        dev = f" ({so['dev']})" if so.get("dev") else ""
        return f"{so['plugin']}/{so['name']}{dev} ({self.lun.get('alua_tg_pt_gp_name', '')})", True

    def facts(self) -> Mapping[str, Any]:
        return self.lun


class Portals(Part):
    def children(self) -> Sequence[Node]:
        return [Portal(at, self, self.shell) for at in self.tpg["portals"]]

    def summary(self) -> tuple[str, bool | None]:
        return f"Portals: {len(self.tpg['portals'])}", None

    def do_create(self, ip_address: str = ANY, ip_port: str = str(PORT)) -> None:
        """Listen on an address; tgtd offers all its targets on all its portals."""
        address, port = self._where(ip_address, ip_port)
        if any(at["ip_address"] == address and at["port"] == port for at in self.tpg["portals"]):
            raise CliError("This NetworkPortal already exists in configFS")
        if any(at["port"] == port and ANY in (at["ip_address"], address) for at in self.tpg["portals"]):
            other = "delete the portal that has the port first"
            raise CliError(f"Could not create NetworkPortal in configFS: port {port} is taken; {other}")
        if port == PORT:
            self.shell.say(f"Using default IP port {PORT}")
        if address == ANY:
            self.shell.say(f"Binding to INADDR_ANY ({ANY})")
        self.tpg["portals"].append(portal(address, port))
        self.shell.say(f"Created network portal {address}:{port}.")

    def do_delete(self, ip_address: str, ip_port: str) -> None:
        """Listen there no more; sessions stay."""
        address, port = self._where(ip_address, ip_port)
        found = [at for at in self.tpg["portals"] if at["ip_address"] == address and at["port"] == port]
        if not found:
            raise CliError(f"No such NetworkPortal in configfs: {address}:{port}")
        self.tpg["portals"].remove(found[0])
        self.shell.say(f"Deleted network portal {address}:{port}")

    def _where(self, address: str, port: str) -> tuple[str, int]:
        if address in ("::0", "::", "[::0]", "[::]"):
            raise CliError(f"tgtd listens on IPv4 here: use {ANY} for all addresses")
        try:
            clean = str(IPv4Address(address))
        except ValueError:
            raise CliError(f"{address} is no IPv4 address") from None
        if not port.isdigit() or not 1 <= int(port) <= 65535:
            raise CliError("Invalid port")
        return clean, int(port)


class Portal(Node):
    def __init__(self, at: dict[str, Any], parent: Node, shell: Shell) -> None:
        super().__init__(f"{at['ip_address']}:{at['port']}", parent, shell)
        self.at = at

    def summary(self) -> tuple[str, bool | None]:
        return "", True

    def facts(self) -> Mapping[str, Any]:
        return self.at


class Acls(Part):
    def children(self) -> Sequence[Node]:
        return [Acl(acl, self, self.shell) for acl in self.tpg["node_acls"]]

    def summary(self) -> tuple[str, bool | None]:
        return f"ACLs: {len(self.tpg['node_acls'])}", None

    def do_create(self, wwn: str, add_mapped_luns: str = "") -> None:
        """Let the initiator of this name log in, and show it all LUNs."""
        name = iscsi_name(wwn)
        if any(acl["node_wwn"] == name for acl in self.tpg["node_acls"]):
            raise CliError("This NodeACL already exists in configFS")
        acl: dict[str, Any] = {"attributes": {}, "mapped_luns": [], "node_wwn": name}
        self.tpg["node_acls"].append(acl)
        self.shell.say(f"Created Node ACL for {name}")
        if truth(add_mapped_luns, True):
            for lun in self.tpg["luns"]:
                acl["mapped_luns"].append(mapped(int(lun["index"])))
                self.shell.say(f"Created mapped LUN {lun['index']}.")

    def do_delete(self, wwn: str) -> None:
        """Let the initiator log in no more; a session that it has stays until it ends."""
        found = [acl for acl in self.tpg["node_acls"] if acl["node_wwn"] == wwn.lower()]
        if not found:
            raise CliError(f"No such NodeACL in configfs: {wwn}")
        self.tpg["node_acls"].remove(found[0])
        self.shell.say(f"Deleted Node ACL {wwn}.")

    def do_tag(self, wwn_or_tag: str, new_tag: str) -> None:
        """Refused: tags are not there."""
        raise CliError(f"tags are not there; use {wwn_or_tag} itself rather than {new_tag}")


class Acl(Node):
    def __init__(self, acl: dict[str, Any], parent: Acls, shell: Shell) -> None:
        super().__init__(str(acl["node_wwn"]), parent, shell)
        self.acl = acl
        self.tpg = parent.tpg

    def children(self) -> Sequence[Node]:
        return [MappedLun(lun, self, self.shell) for lun in self.acl["mapped_luns"]]

    def summary(self) -> tuple[str, bool | None]:
        count = f"Mapped LUNs: {len(self.acl['mapped_luns'])}"
        attributes = self.tpg["attributes"]
        if not int(attributes.get("authentication", 0)):
            return count, None
        if int(attributes.get("generate_node_acls", 0)):
            return f"auth via tpg, {count}", None
        mutual = "mutual auth" if self.acl.get("chap_mutual_userid") else "1-way auth"
        return f"{mutual}, {count}", bool(self.acl.get("chap_userid") and self.acl.get("chap_password"))

    def groups(self) -> Mapping[str, Mapping[str, Parameter]]:
        return {"auth": auth(self.acl)}

    def facts(self) -> Mapping[str, Any]:
        hidden = {name: value for name, value in self.acl.items() if not isinstance(value, (dict, list))}
        return {"wwns": hidden.pop("node_wwn"), **hidden}

    def do_create(self, mapped_lun: str, tpg_lun_or_backstore: str, write_protect: str = "") -> None:
        """Refused: an ACL's mappings follow the LUNs."""
        raise CliError(f"{ONE_MAPPING}; mapped_lun{mapped_lun} of {tpg_lun_or_backstore} cannot differ"
                       f"{', nor be write-protected' if write_protect else ''}")  # fmt: skip

    def do_delete(self, mapped_lun: str) -> None:
        """Refused: an ACL's mappings follow the LUNs."""
        raise CliError(f"{ONE_MAPPING}; to hide lun{mapped_lun}, delete it from luns")


class MappedLun(Node):
    def __init__(self, lun: dict[str, Any], parent: Acl, shell: Shell) -> None:
        super().__init__(f"mapped_lun{lun['index']}", parent, shell)
        self.lun = lun
        self.luns = parent.tpg["luns"]

    def summary(self) -> tuple[str, bool | None]:
        known = {lun["index"]: lun["storage_object"] for lun in self.luns}
        store = known.get(self.lun["tpg_lun"])
        if store is None:
            return "BROKEN LUN LINK", False
        mode = "ro" if self.lun.get("write_protect") else "rw"
        return f"lun{self.lun['tpg_lun']} {str(store)[len('/backstores/') :]} ({mode})", True

    def facts(self) -> Mapping[str, Any]:
        return self.lun
