"""A lab of containers and virtual machines on the same networks: each name goes to its own engine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from labctl.engine.base import Appliance, Engine, File, Machine, Node

if TYPE_CHECKING:
    from labctl.lab.model import Lab, NodeSpec


class MixedEngine:
    """labctl.engine.base.Engine over two others."""

    def __init__(self, containers: Engine, machines: Engine, names: Collection[str]) -> None:
        """names: of the virtual machines, the target's among them."""
        self._containers = containers
        self._machines = machines
        self._names = frozenset(names)

    def _of(self, name: str) -> Engine:
        return self._machines if name in self._names else self._containers

    @property
    def pace(self) -> float:
        return max(self._containers.pace, self._machines.pace)

    def observe(self) -> Mapping[str, Machine]:
        return {**self._containers.observe(), **self._machines.observe()}

    def appliances(self) -> Mapping[str, Machine]:
        return {**self._containers.appliances(), **self._machines.appliances()}

    def make_networks(self, lab: Lab) -> list[str]:
        return [*self._machines.make_networks(lab), *self._containers.make_networks(lab)]

    def create(self, lab: Lab, node: NodeSpec, image: str, files: Sequence[File]) -> None:
        self._of(node.name).create(lab, node, image, files)

    def create_appliance(self, appliance: Appliance, image: str, files: Sequence[File]) -> None:
        self._of(appliance.name).create_appliance(appliance, image, files)

    def start(self, name: str) -> None:
        self._of(name).start(name)

    def stop(self, name: str, *, timeout: float) -> None:
        self._of(name).stop(name, timeout=timeout)

    def remove(self, name: str) -> None:
        self._of(name).remove(name)

    def is_on(self, name: str) -> bool:
        return self._of(name).is_on(name)

    def power_off(self, name: str) -> None:
        self._of(name).power_off(name)

    def power_on(self, name: str) -> None:
        self._of(name).power_on(name)

    def freeze(self, name: str) -> None:
        self._of(name).freeze(name)

    def thaw(self, name: str) -> None:
        self._of(name).thaw(name)

    def node(self, name: str) -> Node:
        return self._of(name).node(name)

    def console(self, name: str) -> str:
        return self._of(name).console(name)

    def close(self) -> None:
        self._containers.close()
        self._machines.close()
