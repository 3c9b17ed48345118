"""Does what plan() says: stage after stage, nodes side by side, with a word about each step."""

from __future__ import annotations

import contextlib
import time
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
from labctl.engine.base import Engine, File, State
from labctl.errors import ActionFailed, LabError, TimedOut
from labctl.image.build import BuiltImage
from labctl.image.family import load_family
from labctl.lab.bubble import prepare
from labctl.lab.model import Lab, NodeSpec
from labctl.lab.plan import Action, Do, Part
from labctl.places import LabPlaces
from labctl.wait import wait_until

# Generous: what a small machine takes for many nodes, not what a good one does.
BOOT_SECONDS = 60.0
PER_NODE_SECONDS = 15.0
CLUSTER_SECONDS = 90.0
SYSTEMCTL_SECONDS = 60.0
# A node that was fenced or rebooted is off until the others have noticed; for longer, it is broken.
OFF_SECONDS = 30.0
IMAGE_PASSWORD = "centos"  # noqa: S105 (the course's, set in images/common/finish; docs/lab-file.md)

Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """What actions need beside the plan. images: the shared image store's graph root."""

    lab: Lab
    places: LabPlaces
    image: BuiltImage
    secrets: Secrets
    engine: Engine
    images: Path
    say: Say

    @property
    def paths(self) -> Mapping[str, str]:
        return load_family(self.lab.family).paths

    def patience(self, base: float) -> float:
        """A time-out that grows with the number of nodes, which share the host's processors."""
        return base + PER_NODE_SECONDS * len(self.lab.nodes)


def apply(actions: Sequence[Action], context: Context, members: Mapping[str, Member]) -> None:
    """Perform the actions; members is what was observed. Errors of several nodes come as one.

    Raises LabError.
    """
    wanted = {action.do for action in actions}
    if Do.START_BUBBLE in wanted:
        context.say("starting the lab's namespaces and services")
        settings = prepare(context.lab, context.places, context.images)
        bubble.start(context.places, settings)
    if Do.MAKE_NETWORKS in wanted:
        context.engine.make_networks(context.lab)
    living = next((member.conf for member in members.values() if member.corosync), "")
    per_node: dict[str, list[Action]] = {}
    for action in actions:
        if action.node:
            per_node.setdefault(action.node, []).append(action)
    _together(per_node.items(), lambda item: _on_node(item[0], item[1], context, living), len(per_node))


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
            engine.create(context.lab, node, context.image.id, _files(context, node, action.part, living))
            if action.part is Part.JOIN:
                _await_departure(context, name)
            engine.start(name)
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
            _systemctl_start(context, name, "pcsd")


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


# -- waiting for the result ----------------------------------------------------------------


def await_boot(context: Context) -> None:
    """Wait until every node has booted; a node that does not shows its journal's last lines."""

    def one(node: NodeSpec) -> None:
        member = Member()
        last_on = time.monotonic()

        def booted() -> bool:
            nonlocal member, last_on
            member = state.ask(context.engine.node(node.name))
            if not member.silent or context.engine.is_on(node.name):
                last_on = time.monotonic()
            elif time.monotonic() - last_on > OFF_SECONDS:
                raise ActionFailed(f"{node.name} went off while it booted.", details=member.silent)
            return member.booted

        try:
            wait_until(
                f"{node.name} to boot",
                booted,
                timeout=context.patience(BOOT_SECONDS),
                every=0.2,
                last_seen=lambda: member.silent or "systemd is still starting units",
            )
        except ActionFailed as error:
            raise type(error)(
                error.message,
                details=f"{error.details}\n{last_words(context.engine, node.name)}",
                mend=f"labctl logs {node.name} --lab {context.lab.name}",
            ) from None

    _together(context.lab.nodes, one, len(context.lab.nodes))


def last_words(engine: Engine, name: str) -> str:
    """The last lines of a node's journal, or of its console when it has no journal yet."""
    try:
        text = engine.node(name).run(["journalctl", "--no-pager", "-n", "15"], timeout=15).stdout
    except LabError:
        text = engine.console(name)
    return "\n".join(f"  {line}" for line in text.strip().splitlines()[-15:])


def await_cluster(context: Context) -> None:
    """Wait until every configured node is online, there is a DC, quorum, and all fence devices run.

    Asks one node at a time: the first that knows.
    """
    last = "no node answers"
    off_since: dict[str, float] = {}

    def check_machines() -> None:
        for name, machine in context.engine.observe().items():
            if machine.state is not State.OFF:
                off_since.pop(name, None)
            elif time.monotonic() - off_since.setdefault(name, time.monotonic()) > OFF_SECONDS:
                raise ActionFailed(
                    f"{name} went down while the cluster formed and does not come back.",
                    details=last_words(context.engine, name),
                    mend=f"labctl logs {name} --lab {context.lab.name}, then labctl up",
                )

    def settled() -> bool:
        nonlocal last
        check_machines()
        for node in context.lab.nodes:
            member = state.ask(context.engine.node(node.name))
            if not member.view:
                continue
            view = member.view
            missing = sorted(member.nodelist - (view.online - view.unclean))
            stopped = sorted(name for name, at in view.fencing.items() if at != "Started")
            last = (
                f"DC {view.dc or 'not elected'}, {'with' if view.quorate else 'no'} quorum, "
                f"not online: {', '.join(missing) or 'none'}, "
                f"fence devices not started: {', '.join(stopped) or 'none'}"
            )
            if view.dc and view.quorate and not missing and not stopped:
                return True
        return False

    try:
        wait_until(
            "the cluster to form",
            settled,
            timeout=context.patience(CLUSTER_SECONDS),
            every=0.15,
            last_seen=lambda: last,
        )
    except TimedOut as error:
        words = [
            f"{node.name}, its last words:\n{last_words(context.engine, node.name)}"
            for node in context.lab.nodes
            if node.hostname in last
        ]
        raise TimedOut(
            error.message,
            details="\n".join([error.details, *words]),
            mend=f"labctl validate --lab {context.lab.name}",
        ) from None


def await_pcsd(context: Context) -> None:
    """Wait until pcsd answers on every node: it starts last, and pcs is of no use without it."""

    def one(node: NodeSpec) -> None:
        script = "until timeout 2 bash -c ': </dev/tcp/127.0.0.1/2224' 2>/dev/null; do sleep 0.2; done"
        context.engine.node(node.name).run(["sh", "-c", script], timeout=context.patience(BOOT_SECONDS))

    _together(context.lab.nodes, one, len(context.lab.nodes))


def _together(items: Iterable[T], work: Callable[[T], None], most: int) -> None:
    """Do the work for all items at once; wait for every one; raise what went wrong as one error."""
    with ThreadPoolExecutor(max_workers=max(1, min(most, 16))) as pool:
        futures = [pool.submit(work, item) for item in items]
        wait(futures)
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
