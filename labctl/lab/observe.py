"""What there is of a lab right now: asked once, in parallel, then only looked at."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from labctl.cluster import state
from labctl.cluster.state import ClusterView, Member
from labctl.engine.base import Engine, Machine, State


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

    def state(self, node: str) -> State:
        machine = self.machines.get(node)
        return machine.state if machine else State.MISSING

    def view(self) -> ClusterView | None:
        """The best view of the cluster: a quorate one with a DC before any other."""
        views = [member.view for member in self.members.values() if member.view]
        return max(views, key=lambda view: (view.quorate, bool(view.dc), len(view.online)), default=None)

    def living_conf(self) -> str:
        """corosync.conf of a node that runs corosync, "" when none does."""
        return next((member.conf for member in self.members.values() if member.corosync), "")


def observe(engine: Engine, *, image: str) -> Observed:
    """Look at every machine, and ask every one that is on."""
    machines = engine.observe()
    on = [name for name, machine in machines.items() if machine.state is State.ON]
    with ThreadPoolExecutor(max_workers=max(1, len(on))) as pool:
        members = dict(zip(on, pool.map(lambda name: state.ask(engine.node(name)), on), strict=True))
    return Observed(image=image, bubble=True, machines=machines, members=members)
