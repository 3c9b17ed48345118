"""Into a lab: exec, ssh, console, cp, forward; its own podman and libvirt."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labctl import console, run
from labctl.cli.frame import LabOption, known_lab, require_root, require_running
from labctl.cli.helping import add
from labctl.cli.reach import is_target, remote, root_at, ssh_options
from labctl.cli.tongue import say
from labctl.errors import OK, ActionFailed, TimedOut, UsageError
from labctl.places import DEFAULT_LAB, LabPlaces, lab_flag
from labctl.storage.base import TARGET

if TYPE_CHECKING:
    from labctl.lab.model import Lab

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
CHECK_SECONDS = 10.0
LOGIN_SECONDS = 60.0  # an emulated machine's sshd, beside other work
PODMAN_FAILED, SSH_FAILED = 125, 255  # what they themselves end with
AGENT_SECONDS = 3600.0  # of one command; the agent has no other end to it
FORWARD = re.compile(r"(?:(?P<host>\d{1,5}):)?(?P<address>[^:\s]+):(?P<port>\d{1,5})")

NodeArgument = Annotated[str, typer.Argument(metavar="NODE", help="node1, node2, …")]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    add(app, "exec", execute, context_settings=PASS_ON)
    add(app, "ssh", ssh, context_settings=PASS_ON)
    add(app, "cp", copy)
    add(app, "podman", podman, context_settings=PASS_ON)
    add(app, "console", console_)
    add(app, "virsh", virsh, context_settings=PASS_ON)
    add(app, "forward", forward)


def execute(
    context: typer.Context,
    node: NodeArgument,
    command: Annotated[list[str] | None, typer.Argument(metavar="-- COMMAND [ARG]…")] = None,
    lab: LabOption = DEFAULT_LAB,
) -> int:
    """Run a command as root in a node, a shell when none is given; its exit code is ours.

    In a virtual machine by ssh; where that does not answer, by its guest agent.
    """
    require_root("exec")
    places, bubble = require_running(lab)
    known = known_lab(places)
    spec = known.node(node)
    words = [*(command or []), *context.args] or ["bash", "-l"]
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if spec.mode == "vm":
        inside = [*bubble.enter("--net", "--pid"), "ssh", *ssh_options(places, shared=True)]
        where = root_at(known, spec)
        if _ssh_answers(inside, where):
            # ssh gives its words to a shell of the machine.
            return run.attach([*inside, "-tt" if terminal else "-T", where, shlex.join(words)])
        if terminal and not (command or context.args):
            raise ActionFailed(
                f"{spec.name} does not answer by ssh, and its guest agent offers no terminal.",
                mend=f"labctl console {spec.name}{lab_flag(lab)}"
                f"   or one command: labctl exec {spec.name}{lab_flag(lab)} -- ip -br address",
            )
        return _by_agent(places, spec.name, words)
    tty = ["--tty"] if terminal else []
    ended = run.attach(remote(places, "exec", "--interactive", *tty, spec.name, *words))
    if ended == PODMAN_FAILED and _is_off(places, spec.name):
        console.note(say("switched-off", node=spec.name, up=f"labctl up{lab_flag(lab)}"))
    return ended


def _is_off(places: LabPlaces, name: str) -> bool:
    """Whether a container does not run."""
    asked = remote(places, "inspect", "--format", "{{.State.Running}}", name)
    try:
        return run.run(asked, timeout=CHECK_SECONDS, check=False).stdout.strip() == "false"
    except TimedOut:
        return False


def _ssh_answers(ssh: Sequence[str], where: str) -> bool:
    """Whether a machine can be had by ssh: over the shared connection, or a new one, which is shared then.

    ssh's own exit code does not tell a command's 255 from a connection that failed.
    """
    if run.run([*ssh, "-O", "check", where], timeout=CHECK_SECONDS, check=False).ok:
        return True
    try:
        return run.run([*ssh, "-T", where, "true"], timeout=LOGIN_SECONDS, check=False).ok
    except TimedOut:
        return False


def _by_agent(places: LabPlaces, name: str, words: list[str]) -> int:
    """One command through QEMU's guest agent: text in, text out, at its end."""
    from labctl.lab import bubble as lab_bubble

    console.note(say("by-agent", node=name))
    given = None if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
    engine = lab_bubble.engine(places.lab, places)
    try:
        done = engine.node(name).run(words, timeout=AGENT_SECONDS, check=False, stdin=given)
    finally:
        engine.close()
    sys.stdout.write(done.stdout)
    sys.stdout.flush()
    sys.stderr.write(done.stderr)
    return done.rc


def ssh(
    context: typer.Context,
    node: NodeArgument,
    command: Annotated[list[str] | None, typer.Argument(metavar="[-- COMMAND [ARG]…]")] = None,
    lab: LabOption = DEFAULT_LAB,
) -> int:
    """Log in to a node over ssh, as root, with the lab's own key."""
    require_root("ssh")
    places, bubble = require_running(lab)
    known = known_lab(places)
    where = root_at(known, known.node(node))
    words = [*(command or []), *context.args]
    ended = run.attach([*bubble.enter("--net"), "ssh", *ssh_options(places), where, *words])
    if ended == SSH_FAILED:  # or the command itself ended so
        console.note(say("no-ssh", without=f"labctl exec {node}{lab_flag(lab)}"))
    return ended


def copy(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A path, or NODE:PATH.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A path, or NODE:PATH.")],
    lab: LabOption = DEFAULT_LAB,
) -> int:
    """Copy files between the host and a node, or between nodes."""
    require_root("cp")
    places, bubble = require_running(lab)
    known = known_lab(places)
    plain, by_ssh = [], []
    for end in (source, target):
        name, colon, path = end.partition(":")
        inside = bool(colon) and "/" not in name
        plain.append(f"{known.node(name).name}:{path}" if inside else end)
        by_ssh.append(f"{root_at(known, known.node(name))}:{path}" if inside else str(Path(end).absolute()))
    if all(":" not in end for end in plain):
        raise UsageError("Neither end is in a node.", mend="labctl cp FILE node1:/root/")
    if known.has_machines:
        # Between two nodes the bytes go through here; the nodes need not trust each other.
        words = ["scp", "-3", "-r", "-p", *ssh_options(places), *by_ssh]
        return run.attach([*bubble.enter("--net"), *words])
    return run.attach(remote(places, "cp", *plain))


def podman(context: typer.Context, lab: LabOption = DEFAULT_LAB) -> int:
    """The lab's own podman, with whatever arguments: labctl podman -- ps -a."""
    require_root("podman")
    places, bubble = require_running(lab)
    words = [*bubble.enter("--mount", "--net", "--pid", "--cgroup"), "podman", *context.args]
    from labctl.lab import bubble as lab_bubble

    return run.attach(words, env=lab_bubble.podman_environment(places))


def console_(node: NodeArgument, lab: LabOption = DEFAULT_LAB) -> int:
    """A virtual machine's serial console: works without network or ssh. Ctrl-] leaves it."""
    require_root("console")
    places, _ = require_running(lab)
    known = known_lab(places)
    target = is_target(known, node)
    name = TARGET if target else known.node(node).name
    if not (known.has_machines if target else known.node(node).mode == "vm"):
        enter = "" if target else f"labctl exec {name}{lab_flag(lab)}   or: "
        raise UsageError(
            f"{name} is a container and has no console.", mend=f"{enter}labctl logs {name}{lab_flag(lab)}"
        )
    there = _in_libvirt(places, name)
    return run.attach(["virsh", "--connect", places.libvirt_address, "console", "--force", there])


def _in_libvirt(places: LabPlaces, machine: str) -> str:
    """What libvirt calls a machine: in one that is not the lab's own, by the lab's name, too."""
    from labctl.engine.domain import title

    return machine if places.in_bubble else title(places.lab, machine)


def virsh(context: typer.Context, lab: LabOption = DEFAULT_LAB) -> int:
    """The libvirt of the lab's machines, with whatever arguments: labctl virsh -- list --all.

    A word that is a machine's name means that machine, also where libvirt calls it labctl-LAB-NAME.
    """
    require_root("virsh")
    places, _ = require_running(lab)
    known = known_lab(places)
    if not known.has_machines:
        raise UsageError(
            f"Lab {lab} has no virtual machines.", mend=f"labctl podman{lab_flag(lab)} -- ps -a"
        )  # fmt: skip
    names = {node.name for node in known.nodes} | {TARGET}
    words = [_in_libvirt(places, word) if word in names else word for word in context.args]
    return run.attach(["virsh", "--connect", places.libvirt_address, *words])


def forward(
    where: Annotated[
        str, typer.Argument(metavar="[HOSTPORT:]ADDRESS:PORT", help="A node, a VIP, any address.")
    ],
    lab: LabOption = DEFAULT_LAB,
) -> int:
    """Make an address of the lab reachable at 127.0.0.1, until Ctrl-C."""
    require_root("forward")
    places, bubble = require_running(lab)
    match = FORWARD.fullmatch(where)
    if not match:
        raise UsageError(
            f"{where!r} is not [HOSTPORT:]ADDRESS:PORT.", mend="labctl forward 8080:192.168.90.210:80"
        )
    port = int(match["port"])
    host_port = int(match["host"] or port)
    if not (0 < port < 65536 and 0 < host_port < 65536):
        raise UsageError("A port is a number from 1 to 65535.")
    address = _address(known_lab(places), match["address"])
    from labctl.bubble.forward import serve

    console.note(say("forwarding", from_port=host_port, address=address, port=port))
    serve(bubble, host_port, address, port)
    return OK


def _address(lab: Lab, word: str) -> str:
    from ipaddress import IPv4Address

    try:
        return str(IPv4Address(word))
    except ValueError:
        return str(lab.node(word).address(lab.cluster.links[0]))
