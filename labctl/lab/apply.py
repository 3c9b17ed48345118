"""Does what plan() says: stage after stage, nodes side by side, with a word about each step."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from labctl.bubble import start as bubble
from labctl.cluster import state
from labctl.cluster.files import base_files, cluster_files
from labctl.cluster.secrets import Secrets
from labctl.cluster.state import Member
from labctl.engine import elsewhere
from labctl.engine.base import Engine, File
from labctl.engine.domain import EMULATED
from labctl.errors import ActionFailed, LabError, TimedOut
from labctl.image.build import BuiltImage
from labctl.image.family import load_family
from labctl.lab import storage
from labctl.lab.bubble import prepare
from labctl.lab.machines import Ground
from labctl.lab.model import Lab, NodeSpec
from labctl.lab.plan import Action, Do, Part, Until
from labctl.places import LabPlaces
from labctl.storage import disks
from labctl.storage.base import Driver
from labctl.wait import give_up, wait_until

PER_NODE_SECONDS = 15.0
SYSTEMCTL_SECONDS = 60.0
IMAGE_PASSWORD = "centos"  # noqa: S105 (the course's, set in images/common/finish; docs/lab-file.md)

Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """What actions need beside the plan.

    images: the shared image store's graph root.  driver: None for a lab without storage.
    ground: what its virtual machines are made of, None without any.  pcsd, fencing: wait for it, too.
    """

    lab: Lab
    places: LabPlaces
    image: BuiltImage
    secrets: Secrets
    engine: Engine
    images: Path
    say: Say
    driver: Driver | None
    until: Until
    ground: Ground | None = None
    pcsd: bool = True
    fencing: bool = True

    def image_of(self, mode: str) -> str:
        """The id of what a machine of this mode is made from."""
        return self.ground.image if self.ground and mode == "vm" else self.image.id

    @property
    def paths(self) -> Mapping[str, str]:
        return load_family(self.lab.family).paths

    def patience(self, base: float) -> float:
        """A time-out that grows with the number of nodes, which share the host's processors."""
        return (base + PER_NODE_SECONDS * len(self.lab.nodes)) * self.pace

    @property
    def pace(self) -> float:
        """How many times slower the machines are than they could be; a question costs them as much more."""
        return self.ground.pace if self.ground else 1.0


def apply(actions: Sequence[Action], context: Context, members: Mapping[str, Member]) -> None:
    """Perform the actions; members is what was observed. Errors of several nodes come as one.

    Raises LabError.
    """
    wanted = {action.do for action in actions}
    if Do.START_BUBBLE in wanted:
        context.say("starting the lab's namespaces and services")
        if not context.places.in_bubble:
            elsewhere.end_all(context.places)  # they have outlived their bubble
        settings = prepare(context.lab, context.places, context.images, context.ground)
        bubble.start(context.places, settings)
        if not context.places.in_bubble:
            elsewhere.define_all(context.places, context.ground.boots if context.ground else ())
    if Do.MAKE_NETWORKS in wanted:
        context.engine.make_networks(context.lab)
    living = next((member.conf for member in members.values() if member.corosync), "")
    # A target that is changed sends its initiators away meanwhile: they log in when it is done.
    late = {Do.LOG_IN} if Do.UPDATE_TARGET in wanted else set()
    for stage in ([one for one in actions if one.do not in late], [one for one in actions if one.do in late]):
        per_node: dict[str, list[Action]] = {}
        for action in stage:
            if action.node:
                per_node.setdefault(action.node, []).append(action)
        together(per_node.items(), lambda item: _on_node(item[0], item[1], context, living), len(per_node))


def _on_node(name: str, actions: Sequence[Action], context: Context, living: str) -> None:
    engine = context.engine
    for action in actions:
        because = f" ({action.reason})" if action.reason else ""
        if action.do is Do.REMOVE_NODE:
            context.say(f"{name}: removing{because}")
            engine.remove(name)
        elif action.do is Do.CREATE_NODE:
            context.say(f"{name}: creating{because}")
            node = context.lab.node(name)
            files = _files(context, node, action.part, living)
            engine.create(context.lab, node, context.image_of(node.mode), files)
            if action.part is Part.JOIN:
                _await_departure(context, name)
            engine.start(name)
            _hand_disks(context, name)
            _set_passwords(context, name)
        elif action.do is Do.START_NODE:
            context.say(f"{name}: starting{because}")
            if engine.is_on(name):
                engine.power_off(name)
            _await_departure(context, name)
            engine.start(name)
        elif action.do is Do.THAW_NODE:
            context.say(f"{name}: thawing{because}")
            engine.thaw(name)
        elif action.do is Do.JOIN_CLUSTER:
            context.say(f"{name}: making it a member{because}")
            node = context.lab.node(name)
            engine.node(name).put(_cluster_files(context, action.part, living))
            engine.node(name).run(["systemctl", "daemon-reload"], timeout=SYSTEMCTL_SECONDS)
            _systemctl_start(context, name, "pcsd", "corosync", "pacemaker")
        elif action.do is Do.START_CLUSTER:
            context.say(f"{name}: starting its cluster daemons{because}")
            _await_departure(context, name)
            _systemctl_start(context, name, "corosync", "pacemaker")
        elif action.do is Do.START_PCSD:
            # It takes an emulated machine a minute or more; nobody needs to wait for it here.
            later = ["--no-block"] if context.pace > EMULATED else []
            _systemctl_start(context, name, *later, "pcsd")
        else:
            _on_storage(action, context)


def _hand_disks(context: Context, name: str) -> None:
    if context.driver and context.until.with_storage:
        context.driver.started(context.engine, context.lab, context.lab.node(name))


def _on_storage(action: Action, context: Context) -> None:
    """What concerns the shared disks; context.driver is there whenever the plan asks for it."""
    driver, lab = context.driver, context.lab
    if driver is None:
        raise ActionFailed(f"{action.do.value} was planned for a lab without shared disks.")
    if action.do is Do.SERVE_DISKS:
        context.say(f"serving the shared disks ({action.reason})")
        mode = "container" if driver.disks_on_host else "vm"
        storage.serve(driver, context.engine, lab, context.places, context.image_of(mode))
    elif action.do is Do.UPDATE_TARGET:
        context.say(f"changing the target ({action.reason})")
        on = [node for node in lab.nodes if context.engine.is_on(node.name)]
        if going := disks.leaving(lab, context.places):
            # The order that loses nothing: nobody uses a disk when it goes.
            busy = [f"{node.name}: {use}" for node in on for use in driver.in_use(context.engine, lab, node)]
            if busy:
                raise ActionFailed(
                    f"{', '.join(going)} cannot go: the nodes must log out first, and disks are in use.",
                    details="\n".join(busy),
                    mend="unmount them, or stop the cluster's resources on them, then labctl up",
                )
            context.say(f"{', '.join(going)} goes: the nodes log out first")
            together(on, lambda node: driver.log_out(context.engine, lab, node), len(on))
        disks.prepare(lab, context.places, on_host=driver.disks_on_host)
        driver.update(context.engine, lab, context.places)
        together(on, lambda node: driver.log_in(context.engine, lab, node), len(on))
    elif action.do is Do.LOG_IN:
        context.say(f"{action.node}: logging in to the target ({action.reason})")
        driver.log_in(context.engine, lab, lab.node(action.node))


def _await_departure(context: Context, name: str) -> None:
    """Wait until the others no longer count a node in whose corosync is gone (see state.still_member)."""
    node = context.lab.node(name)
    addresses = [str(leg.address) for leg in node.interfaces]
    others = state.witnesses(context.engine, name)
    with contextlib.suppress(TimedOut):
        wait_until(
            f"the others to notice that {name} is off",
            lambda: not state.still_member(others, addresses),
            timeout=60,
            every=0.3,
        )


def _set_passwords(context: Context, name: str) -> None:
    """The lab's passwords, where they are not the image's own."""
    wanted = context.lab.credentials
    if (wanted.root_password, wanted.hacluster_password) != (IMAGE_PASSWORD, IMAGE_PASSWORD):
        lines = f"root:{wanted.root_password}\nhacluster:{wanted.hacluster_password}\n"
        context.engine.node(name).run(["chpasswd"], stdin=lines, timeout=30)


def _systemctl_start(context: Context, name: str, *units: str) -> None:
    context.engine.node(name).run(["systemctl", "start", *units], timeout=SYSTEMCTL_SECONDS)


def _files(context: Context, node: NodeSpec, part: Part, living: str) -> list[File]:
    files = base_files(context.lab, node, context.secrets, context.paths)
    if part in (Part.FIRST, Part.JOIN):
        files += _cluster_files(context, part, living)
    if context.driver:
        login = context.until.with_storage
        files += context.driver.node_files(context.lab, node, login=login)
    return files


def _cluster_files(context: Context, part: Part, living: str) -> list[File]:
    return cluster_files(
        context.lab,
        context.secrets,
        empty_cib=context.image.empty_cib,
        corosync_log=context.paths["corosync_log"],
        first=part is Part.FIRST,
        conf=living if part is Part.JOIN else "",
    )


def together(items: Iterable[T], work: Callable[[T], None], most: int) -> None:
    """Do the work for all items at once; wait for every one; raise what went wrong as one error."""
    with ThreadPoolExecutor(max_workers=max(1, min(most, 16))) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            wait(futures)
        except KeyboardInterrupt:
            give_up()  # or the pool would wait for waits that nobody wants any more
            raise
    errors = [error for future in futures if (error := future.exception())]
    if not errors:
        return
    strange = [error for error in errors if not isinstance(error, LabError)]
    if strange or len(errors) == 1:
        raise (strange or errors)[0]
    raise ActionFailed(
        f"{len(errors)} nodes failed.",
        details="\n".join(str(error) for error in errors),
        mend=next((error.mend for error in errors if isinstance(error, LabError) and error.mend), ""),
    )
