"""What there is of a lab right now: asked once, in parallel, then only looked at."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from labctl.cluster import state
from labctl.cluster.state import ClusterView, Member
from labctl.engine.base import Engine, Machine, State
from labctl.lab.model import Lab
from labctl.places import LabPlaces
from labctl.storage import disks
from labctl.storage.base import TARGET, Driver, NodeDisks


@dataclass(frozen=True)
class StorageSeen:
    """One moment of the shared disks.

    wanted: the lab is to have them.  machine_current, config_current: the target's machine and its
    configuration are what the model says.  nodes: what each node that is on has, by name.
    """

    wanted: bool = False
    target: State = State.MISSING
    machine_current: bool = True
    config_current: bool = True
    nodes: Mapping[str, NodeDisks] = field(default_factory=dict)

    def configured(self, node: str) -> bool:
        """Whether a node is set up to log in by itself."""
        return self.nodes.get(node, NodeDisks()).configured

    def disks(self, node: str) -> frozenset[str]:
        """Names of the disks that a node has."""
        return self.nodes.get(node, NodeDisks()).disks

    def lacking(self, lab: Lab, node: str) -> list[str]:
        """Names of the lab's disks that a node has not got, in the lab's order."""
        return [disk.name for disk in lab.storage.disks if disk.name not in self.disks(node)]


@dataclass(frozen=True)
class Observed:
    """One moment of a lab.

    image: id of the node image, "" when it must be built.  machines and members by node name;
    members holds the nodes that are on.
    """

    image: str
    bubble: bool
    machines: Mapping[str, Machine] = field(default_factory=dict)
    members: Mapping[str, Member] = field(default_factory=dict)
    storage: StorageSeen = StorageSeen()

    def state(self, node: str) -> State:
        machine = self.machines.get(node)
        return machine.state if machine else State.MISSING

    def view(self) -> ClusterView | None:
        """The best view of the cluster: a quorate one with a DC before any other."""
        views = [member.view for member in self.members.values() if member.view]
        return max(views, key=lambda view: (view.quorate, bool(view.dc), len(view.online)), default=None)


def observe(
    engine: Engine, lab: Lab, places: LabPlaces, *, image: str, driver: Driver | None = None
) -> Observed:
    """Look at every machine, and ask every one that is on.

    driver: the lab's storage driver when its disks are wanted.  Raises ActionFailed for a disk whose
    file is damaged.
    """
    machines = engine.observe()
    on = [name for name, machine in machines.items() if machine.state is State.ON]
    beside = driver.question(lab) if driver else ""
    with ThreadPoolExecutor(max_workers=max(1, len(on))) as pool:
        members = dict(zip(on, pool.map(lambda name: state.ask(engine.node(name), beside), on), strict=True))
    storage = StorageSeen()
    if driver:
        machine = engine.appliances().get(TARGET)
        storage = StorageSeen(
            wanted=True,
            target=machine.state if machine else State.MISSING,
            machine_current=machine is None
            or machine.spec_hash == driver.appliance(lab, places).spec_hash(machine.image),
            config_current=disks.current(lab, places, on_host=driver.disks_on_host),
            nodes={name: driver.answered(member.rest) for name, member in members.items()},
        )
    return Observed(image=image, bubble=True, machines=machines, members=members, storage=storage)
