"""Waiting for what `up` set going: nodes that boot, a cluster that forms, disks that arrive.

Every wait has a deadline and tells what it last saw.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator

from labctl.cluster import state
from labctl.cluster.state import Member
from labctl.engine.base import Engine, State
from labctl.engine.domain import EMULATED, SWITCHED_ON
from labctl.errors import ActionFailed, LabError, TimedOut
from labctl.lab.apply import Context, together
from labctl.lab.model import Lab, NodeSpec
from labctl.storage.base import TARGET
from labctl.wait import wait_until

# Generous: what a small machine takes for many nodes, not what a good one does.
BOOT_SECONDS = 60.0
CLUSTER_SECONDS = 90.0
STORAGE_SECONDS = 60.0
# A node that was fenced or rebooted is off until the others have noticed; for longer, it is broken.
OFF_SECONDS = 30.0
LOOK_SECONDS = 0.1  # between looks that each wait in the node (labctl.cluster.state)
# Where a boot stays until somebody comes: a kernel's panic, a shell of the initramfs (Debian's, dracut's),
# systemd's emergency mode.  The last lines of a machine's console tell it minutes before the deadline does.
STUCK = re.compile(
    r"end Kernel panic - .*?(?= \]---|$)|^\(initramfs\)|^dracut:/#"
    r"|^You are in emergency mode|^Give root password for maintenance|^Press Enter for maintenance",
)
STUCK_LINES = 3
SWITCHED_OFF = 128  # and more: the exit code of an init that a signal ended (pid_namespaces(7), reboot(2))


def await_boot(context: Context) -> None:
    """Wait until every node has booted; a node that does not shows its journal's last lines."""
    limit = OFF_SECONDS * context.pace

    def one(node: NodeSpec) -> None:
        member = Member()
        last_on = time.monotonic()

        def booted() -> bool:
            nonlocal member, last_on
            member = state.ask(context.engine.node(node.name), state.until_booted(context.pace))
            if not member.silent or context.engine.is_on(node.name):
                last_on = time.monotonic()
            elif time.monotonic() - last_on > limit or gave_up(context.engine, node.name):
                raise ActionFailed(f"{node.name} went off while it booted.", details=member.silent)
            if member.silent and node.mode == "vm" and (where := stuck_at(context.engine.console(node.name))):
                raise ActionFailed(f"{node.name} does not boot: {where}", details=member.silent)
            return member.booted

        try:
            wait_until(
                f"{node.name} to boot",
                booted,
                timeout=context.patience(BOOT_SECONDS),
                every=LOOK_SECONDS * context.pace,
                last_seen=lambda: member.silent or "systemd is still starting units",
            )
        except ActionFailed as error:
            raise type(error)(
                error.message,
                details=f"{error.details}\n{last_words(context.engine, node.name)}",
                mend=f"labctl logs {node.name} --lab {context.lab.name}",
            ) from None

    together(context.lab.nodes, one, len(context.lab.nodes))


def gave_up(engine: Engine, name: str) -> bool:
    """Whether a node's init ended by itself: neither a reboot nor a fencing, so nobody starts it again."""
    machine = engine.observe().get(name)
    return machine is not None and machine.state is State.OFF and 0 < machine.ended < SWITCHED_OFF


def stuck_at(console: str) -> str:
    """The line of a console by which its last boot has come to a stop; "" while it may still go on."""
    said = console.rpartition(SWITCHED_ON)[2]
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    found = [match[0] for line in lines[-STUCK_LINES:] if (match := STUCK.search(line))]
    return found[-1].removeprefix("end ") if found else ""


def last_words(engine: Engine, name: str) -> str:
    """The last lines of a node's journal, or of its console when it has no journal yet."""
    try:
        text = engine.node(name).run(["journalctl", "--no-pager", "-n", "15"], timeout=15).stdout
    except LabError:
        text = engine.console(name)
    return "\n".join(f"  {line}" for line in text.strip().splitlines()[-15:])


def await_cluster(context: Context) -> None:
    """Wait for every configured node to be online, a DC, quorum, and (context.fencing) for all fence devices.

    Asks one node at a time: the first that knows.
    """
    last = "no node answers"
    off_since: dict[str, float] = {}
    limit = OFF_SECONDS * context.pace

    def check_machines() -> None:
        for name, machine in context.engine.observe().items():
            if machine.state is not State.OFF:
                off_since.pop(name, None)
            elif time.monotonic() - off_since.setdefault(name, time.monotonic()) > limit:
                raise ActionFailed(
                    f"{name} went down while the cluster formed and does not come back.",
                    details=last_words(context.engine, name),
                    mend=f"labctl logs {name} --lab {context.lab.name}, then labctl up",
                )

    def settled() -> bool:
        nonlocal last
        check_machines()
        for node in context.lab.nodes:
            wait = state.until_formed(context.pace, fencing=context.fencing)
            member = state.ask(context.engine.node(node.name), wait)
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
            if view.dc and view.quorate and not missing and not (context.fencing and stopped):
                return True
        return False

    try:
        wait_until(
            "the cluster to form",
            settled,
            timeout=context.patience(CLUSTER_SECONDS),
            every=LOOK_SECONDS * context.pace,
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
    """Wait until pcsd answers on every node, if context asks for it: it starts last, and pcs needs it.

    Not on emulated machines, where it takes a minute or more; there it starts behind the cluster.
    """
    if not context.pcsd:
        return
    if context.pace > EMULATED:
        context.say("pcsd starts in the background; labctl validate waits for it")
        return
    pcsd_answers(context.engine, context.lab, context.patience(BOOT_SECONDS), context.pace)


def pcsd_answers(engine: Engine, lab: Lab, timeout: float, pace: float) -> None:
    """Wait until pcsd answers on every node of the lab, and systemd takes it for started.

    It listens before it tells systemd so; in between, `validate` would see it starting.
    Raises TimedOut, CommandFailed.
    """

    def one(node: NodeSpec) -> None:
        listens = f"timeout {2 * pace:.0f} bash -c ': </dev/tcp/127.0.0.1/2224' 2>/dev/null"
        script = f"until systemctl -q is-active pcsd && {listens}; do sleep {0.2 * pace:.1f}; done"
        engine.node(node.name).run(["sh", "-c", script], timeout=timeout)

    together(lab.nodes, one, len(lab.nodes))


@contextlib.contextmanager
def telling_of_target(context: Context) -> Iterator[None]:
    """What fails for want of the disks tells, besides, when it is their target that does not answer."""
    try:
        yield
    except ActionFailed as error:
        trouble = context.driver.show(context.engine, context.lab).trouble if context.driver else ""
        if not trouble:
            raise
        lines = context.engine.console(TARGET).strip().splitlines()[-15:]
        told = [f"{TARGET}: {trouble}; the last lines of its console:", *(f"  {line}" for line in lines)]
        raise type(error)(
            error.message,
            details="\n".join([error.details, *told]).strip(),
            mend=f"labctl logs {TARGET} --lab {context.lab.name}",
        ) from None


def await_storage(context: Context) -> None:
    """Wait until every node has all disks of the lab's target."""
    driver = context.driver
    if driver is None:
        return
    wanted = {disk.name for disk in context.lab.storage.disks}
    question = driver.question(context.lab)

    def one(node: NodeSpec) -> None:
        missing = set(wanted)

        def there() -> bool:
            nonlocal missing
            answer = context.engine.node(node.name).run(["sh", "-c", question + "exit 0\n"], timeout=15)
            missing = wanted - driver.answered(answer.stdout.splitlines()).disks
            return not missing

        try:
            wait_until(
                f"{node.name} to have its disks",
                there,
                timeout=context.patience(STORAGE_SECONDS),
                every=0.15 * context.pace,
                last_seen=lambda: f"missing: {', '.join(sorted(missing))}",
            )
        except TimedOut as error:
            raise TimedOut(
                error.message,
                details=f"{error.details}\n{driver.last_words(context.engine, node.name)}",
                mend=f"labctl validate --lab {context.lab.name}",
            ) from None

    together(context.lab.nodes, one, len(context.lab.nodes))
