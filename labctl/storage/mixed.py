"""Shared disks where some nodes are virtual machines and some are containers.

The target is a machine with LIO.  The machines log in with their own kernels, the containers as ever with
programs of their own: on the wire both are initiators (RFC 7143).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labctl.engine.base import Engine, File
from labctl.storage.base import Driver
from labctl.storage.userspace import Userspace
from labctl.storage.vm import VmLio

if TYPE_CHECKING:
    from labctl.lab.model import Lab, NodeSpec


class Mixed(VmLio):
    """labctl.storage.base.Driver: the machines' target, and to each node its own way in."""

    def __init__(self) -> None:
        self._containers = Userspace()
        self._machines = VmLio()

    def _way_in(self, node: NodeSpec) -> Driver:
        return self._containers if node.mode == "container" else self._machines

    def node_files(self, lab: Lab, node: NodeSpec, *, login: bool) -> list[File]:
        return self._way_in(node).node_files(lab, node, login=login)

    def log_in(self, engine: Engine, lab: Lab, node: NodeSpec) -> None:
        self._way_in(node).log_in(engine, lab, node)

    def in_use(self, engine: Engine, lab: Lab, node: NodeSpec) -> list[str]:
        return self._way_in(node).in_use(engine, lab, node)

    def login_units(self, lab: Lab) -> str:
        # A container gives up after two minutes, as open-iscsi does; its target may still be booting then.
        return f"{super().login_units(lab)} 'labctl-iscsi-session@*'"

    def last_words(self, engine: Engine, node: str) -> str:
        told = (super().last_words(engine, node), self._containers.last_words(engine, node))
        return "\n".join(dict.fromkeys(words for words in told if words))
