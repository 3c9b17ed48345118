"""What a command may name in braces: addresses, names and passwords of the lab, and the family's own words.

`{cluster.name}`, `{node1.storage}`, `{path.chrony_conf}`: always with a dot, so that the shell's own
braces stay the shell's. Values come in quoted for the shell, so they must not stand within quotes.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from labctl.lab.model import Lab, nearest

VARIABLE: Final = re.compile(r"(?<!\$)\{([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+)\}")


def of_lab(
    lab: Lab, family: Mapping[str, Mapping[str, str]], machine: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """Every variable by its name. family: "unit", "path" and "value", each logical name to word.

    machine: what only the lab's machines know, by whole name: `disk.sdb`, `pace.operation`.
    """
    found = {
        "cluster.name": lab.cluster.name,
        "password.root": lab.credentials.root_password,
        "password.hacluster": lab.credentials.hacluster_password,
        "time.server": lab.time.server,
        "target.name": lab.storage.target,
        "target.address": str(lab.storage.address),
        "bmc.address": str(lab.bmc_address),
        "bmc.user": lab.fencing.user,
        "bmc.password": lab.fencing.password,
        **{f"vip.{name}": str(address) for name, address in lab.vips},
        **{f"subnet.{network.name}": str(network.subnet) for network in lab.networks},
        **{f"prefix.{network.name}": str(network.subnet.prefixlen) for network in lab.networks},
        **{f"{kind}.{name}": word for kind, words in family.items() for name, word in words.items()},
        **machine,
    }
    for node in lab.nodes:
        found[f"{node.name}.hostname"] = node.hostname
        found[f"{node.name}.initiator"] = node.initiator
        found[f"{node.name}.bmc_port"] = str(node.bmc_port)
        for leg in node.interfaces:
            found[f"{node.name}.{leg.network}"] = str(leg.address)
            found[f"interface.{leg.network}"] = leg.name
    return found


def used(text: str) -> list[str]:
    """The names of the variables in a text."""
    return VARIABLE.findall(text)


def unknown(text: str, known: Mapping[str, str] | frozenset[str]) -> list[str]:
    """What is wrong with the variables of a text: a sentence each."""
    return [
        f"there is no variable {{{name}}}{nearest(name, known)}" for name in used(text) if name not in known
    ]


def fill(text: str, values: Mapping[str, str], *, shell: bool = True) -> str:
    """The text with its variables; quoted for the shell, or bare for words that are read.

    A name that nobody knows stays as it is: the linter has told it, and it may be the shell's.
    """

    def word(match: re.Match[str]) -> str:
        value = values.get(match[1])
        if value is None:
            return match[0]
        return shlex.quote(value) if shell else value

    return VARIABLE.sub(word, text)
