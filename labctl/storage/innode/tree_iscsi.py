"""targetcli's /iscsi: targets and their portal groups."""

from __future__ import annotations

import re
import socket
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from . import document
from .tree import CliError, Node, Parameter, Shell
from .tree_tpg import ANY, PORT, Acls, Luns, Portals, auth, iscsi_name, portal

ATTRIBUTES = {
    "authentication": (0, "If set to 1, enforce authentication for this TPG."),
    "demo_mode_write_protect": (1, "If set to 1 in demo mode, prevent writes to LUNs."),
    "generate_node_acls": (0, "If set to 1, allow all initiators to login (i.e. demo mode)."),
    "cache_dynamic_acls": (0, "Kept for saveconfig; tgtd makes no ACLs of its own."),
}


class Iscsi(Node):
    def _targets(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.shell.config["targets"]
        return found

    def children(self) -> Sequence[Node]:
        return [Target(target, self, self.shell) for target in self._targets()]

    def summary(self) -> tuple[str, bool | None]:
        return f"Targets: {len(self._targets())}", None

    def facts(self) -> Mapping[str, Any]:
        return {"Fabric module name": "iscsi", "Allowed WWN types": "iqn, naa, eui", "Served by": "tgtd"}

    def do_create(self, wwn: str = "") -> None:
        """Create a target, with a portal group that listens on all addresses."""
        host = socket.gethostname().split(".", maxsplit=1)[0].lower()
        made = f"iqn.2003-01.org.linux-iscsi.{host}.x8664:sn.{uuid.uuid4().hex[:12]}"
        name = iscsi_name(wwn or made)
        if re.search(r"[^0-9a-z:.-]", name):
            raise CliError(f"{name}: tgtd takes letters, digits, '.', ':' and '-' in a target's name")
        if any(target["wwn"] == name for target in self._targets()):
            raise CliError("This Target already exists in configFS")
        target: dict[str, Any] = {"fabric": "iscsi", "tpgs": [], "wwn": name}
        self._targets().append(target)
        self.shell.say(f"Created target {name}.")
        Target(target, self, self.shell).do_create()

    def do_delete(self, wwn: str) -> None:
        """Delete a target and all below it."""
        found = [target for target in self._targets() if target["wwn"] == wwn.lower()]
        if not found:
            raise CliError(f"No such Target in configfs: {wwn}")
        self._targets().remove(found[0])
        self.shell.say(f"Deleted Target {wwn}.")


class Target(Node):
    def __init__(self, target: dict[str, Any], parent: Node, shell: Shell) -> None:
        super().__init__(str(target["wwn"]), parent, shell)
        self.target = target

    def children(self) -> Sequence[Node]:
        return [Tpg(tpg, self, self.shell) for tpg in self.target["tpgs"]]

    def summary(self) -> tuple[str, bool | None]:
        return f"TPGs: {len(self.target['tpgs'])}", None

    def facts(self) -> Mapping[str, Any]:
        return {"fabric": "iscsi", "wwn": self.name}

    def do_create(self, tag: str = "") -> None:
        """Create the portal group; tgtd has one per target, tpg1."""
        number = tag.removeprefix("tpg")
        if number and not number.isdigit():
            raise CliError("Tag argument must be a number.")
        if self.target["tpgs"]:
            raise CliError("tgtd has one portal group per target, and tpg1 is there")
        if number not in ("", "1"):
            raise CliError("tgtd has one portal group per target: it is tpg1")
        tpg: dict[str, Any] = {
            "attributes": {name: value for name, (value, _) in ATTRIBUTES.items()},
            "enable": True,
            "luns": [],
            "node_acls": [],
            "parameters": {"AuthMethod": "CHAP,None"},
            "portals": [portal(ANY, PORT)],
            "tag": document.TAG,
        }
        self.target["tpgs"].append(tpg)
        self.shell.say("Created TPG 1.")
        self.shell.say("Global pref auto_add_default_portal=true")
        self.shell.say(f"Created default portal listening on all IPs ({ANY}), port {PORT}.")

    def do_delete(self, tag: str) -> None:
        """Delete the portal group."""
        if tag not in ("1", "tpg1") or not self.target["tpgs"]:
            raise CliError(f"No such TPG in configfs: {self.name}/tpgt_{tag}")
        self.target["tpgs"].clear()
        self.shell.say("Deleted TPGT 1.")


class Tpg(Node):
    def __init__(self, tpg: dict[str, Any], parent: Node, shell: Shell) -> None:
        super().__init__(f"tpg{tpg['tag']}", parent, shell)
        self.tpg = tpg

    def children(self) -> Sequence[Node]:
        kinds = (("acls", Acls), ("luns", Luns), ("portals", Portals))
        return [kind(name, self.tpg, self, self.shell) for name, kind in kinds]

    def summary(self) -> tuple[str, bool | None]:
        if not self.tpg["enable"]:
            return "disabled", False
        attributes = self.tpg["attributes"]
        open_to_all = int(attributes.get("generate_node_acls", 0))
        first = "gen-acls" if open_to_all else "no-gen-acls"
        if not int(attributes.get("authentication", 0)):
            return f"{first}, no-auth", True if open_to_all else None
        if not open_to_all:
            return f"{first}, auth per-acl", None
        mutual = "mutual auth" if self.tpg.get("chap_mutual_userid") else "1-way auth"
        known = bool(self.tpg.get("chap_userid") and self.tpg.get("chap_password"))
        return f"{first}, tpg-auth, {mutual}", known

    def facts(self) -> Mapping[str, Any]:
        return {"enable": self.tpg["enable"], "tag": self.tpg["tag"]}

    def groups(self) -> Mapping[str, Mapping[str, Parameter]]:
        attributes, parameters = self.tpg["attributes"], self.tpg["parameters"]
        return {
            "attribute": {
                name: number(attributes, name, fallback, about)
                for name, (fallback, about) in ATTRIBUTES.items()
            },
            "auth": auth(self.tpg),
            "parameter": {
                "AuthMethod": text(
                    parameters, "AuthMethod", "CHAP,None", "CHAP: demand it; CHAP,None: take it."
                ),
                **{
                    name: text(parameters, name, fallback, "For sessions that begin later.")
                    for name, fallback in sorted(document.PARAMETERS.items())
                },
            },
        }

    def do_enable(self) -> None:
        """Let initiators in."""
        said = "The TPGT is already enabled." if self.tpg["enable"] else "The TPGT has been enabled."
        self.tpg["enable"] = True
        self.shell.say(said)

    def do_disable(self) -> None:
        """Let nobody in any more; who is in stays."""
        said = "The TPGT has been disabled." if self.tpg["enable"] else "The TPGT is already disabled."
        self.tpg["enable"] = False
        self.shell.say(said)


def number(where: dict[str, Any], name: str, fallback: int, about: str) -> Parameter:
    def change(value: str) -> None:
        if value not in ("0", "1"):
            raise ValueError(f"Syntax error, '{value}' is not 0 or 1.")
        where[name] = int(value)

    return Parameter("number", about, change, lambda: str(where.get(name, fallback)))


def text(where: dict[str, Any], name: str, fallback: str, about: str) -> Parameter:
    kinds = {"AuthMethod": ("CHAP", "CHAP,None", "None"), "InitialR2T": ("Yes", "No")}
    kinds["ImmediateData"] = kinds["InitialR2T"]

    def change(value: str) -> None:
        if name in kinds and value not in kinds[name]:
            raise ValueError(f"Syntax error, '{value}' is not {'|'.join(kinds[name])}.")
        if name not in kinds and not value.isdigit():
            raise ValueError(f"Syntax error, '{value}' is not a NUMBER.")
        where[name] = value

    kind = "string" if name in kinds else "number"
    return Parameter(kind, about, change, lambda: str(where.get(name, fallback)))
