"""Into a lab: exec, ssh, logs, cp, podman, forward."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labctl import console, run
from labctl.cli.frame import LabOption, known_lab, require_lab, require_root, require_running
from labctl.errors import FAILED, OK, ActionFailed, LabError, TimedOut, UsageError
from labctl.places import DEFAULT_LAB, LabPlaces, lab_flag
from labctl.storage.base import NONE, TARGET

if TYPE_CHECKING:
    from labctl.lab.model import Lab, NodeSpec

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
CHECK_SECONDS = 10.0
LOGIN_SECONDS = 60.0  # an emulated machine's sshd, beside other work
PODMAN_FAILED, SSH_FAILED = 125, 255  # what they themselves end with
AGENT_SECONDS = 3600.0  # of one command; the agent has no other end to it
FORWARD = re.compile(r"(?:(?P<host>\d{1,5}):)?(?P<address>[^:\s]+):(?P<port>\d{1,5})")

NodeArgument = Annotated[str, typer.Argument(metavar="NODE", help="node1, node2, …")]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    app.command("exec", context_settings=PASS_ON)(execute)
    app.command("ssh", context_settings=PASS_ON)(ssh)
    app.command("logs")(logs)
    app.command("cp")(copy)
    app.command("podman", context_settings=PASS_ON)(podman)
    app.command("console")(console_)
    app.command("virsh", context_settings=PASS_ON)(virsh)
    app.command("forward")(forward)


def _remote(places: LabPlaces, *words: str) -> list[str]:
    """The host's podman as a client of the lab's service."""
    return ["podman", "--remote", "--url", f"unix://{places.socket}", *words]


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
        inside = [*bubble.enter("--net", "--pid"), "ssh", *_ssh_options(places, shared=True)]
        where = _root_at(known, spec)
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
    ended = run.attach(_remote(places, "exec", "--interactive", *tty, spec.name, *words))
    if ended == PODMAN_FAILED and _is_off(places, spec.name):
        on = console.command(f"labctl up{lab_flag(lab)}")
        console.note(f"{spec.name} is switched off: {on} switches it on.")
    return ended


def _is_off(places: LabPlaces, name: str) -> bool:
    """Whether a container does not run."""
    asked = _remote(places, "inspect", "--format", "{{.State.Running}}", name)
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

    console.note(f"{name} does not answer by ssh: by its guest agent, which prints at the command's end")
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
    where = _root_at(known, known.node(node))
    words = [*(command or []), *context.args]
    ended = run.attach([*bubble.enter("--net"), "ssh", *_ssh_options(places), where, *words])
    if ended == SSH_FAILED:  # or the command itself ended so
        without = console.command(f"labctl exec {node}{lab_flag(lab)}")
        console.note(f"Where ssh does not get in, {without} does: it needs no network in the node.")
    return ended


def _root_at(lab: Lab, node: NodeSpec) -> str:
    return f"root@{node.address(lab.cluster.links[0])}"


def _ssh_options(places: LabPlaces, *, shared: bool = False) -> list[str]:
    """shared: over one connection for a minute's commands, kept by a process of the bubble."""
    from labctl.cluster.secrets import ssh_key_file

    options = [
        "-i", str(ssh_key_file(places.secrets)),
        "-o", "IdentitiesOnly=yes",
        # A node that is made anew has new host keys, and nobody else can be at this address.
        "-o", "StrictHostKeyChecking=no",
        "-o", "UserKnownHostsFile=/dev/null",
        "-o", "LogLevel=ERROR",
        "-o", "ConnectTimeout=10",
    ]  # fmt: skip
    if shared:
        path = f"ControlPath={places.logs}/ssh-%h"  # logs are in no snapshot
        options += ["-o", "ControlMaster=auto", "-o", "ControlPersist=60", "-o", path]
        # A connection whose other end was locked out must not be taken for one that works.
        options += ["-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4", "-o", "BatchMode=yes"]
    return options


def logs(
    node: Annotated[
        str | None, typer.Argument(metavar="[NODE]", help="One node, or the target; without it, all nodes.")
    ] = None,
    lab: LabOption = DEFAULT_LAB,
    follow: Annotated[
        bool, typer.Option("--follow", "-F", help="Go on; Ctrl-C ends. One node only.")
    ] = False,
    lines: Annotated[
        int, typer.Option("--lines", min=1, max=100_000, help="How many of the last lines.")
    ] = 100,
    unit: Annotated[str | None, typer.Option("--unit", "-u", help="Only this systemd unit.")] = None,
) -> int:
    """A node's journal; of a node that is off, its console. Without a node: all, and the lab's own."""
    require_root("logs")
    places = require_lab(lab)
    known = known_lab(places)
    if node and _is_target(known, node):
        return _logs_of_target(places, known, lines, only=unit, follow=follow)
    names = [known.node(node).name] if node else [each.name for each in known.nodes]
    only = ["--unit", unit] if unit else []
    if node and follow:
        _, bubble = require_running(lab)
        words = ["journalctl", "--no-pager", "-n", str(lines), "-f", *only]
        spec = known.node(node)
        if spec.mode == "vm":
            login = [*_ssh_options(places), _root_at(known, spec)]
            return run.attach([*bubble.enter("--net"), "ssh", *login, shlex.join(words)])
        return run.attach(_remote(places, "exec", "--interactive", spec.name, *words))
    if follow:
        raise UsageError("--follow goes with one node.", mend=f"labctl logs {names[0]} --follow")
    if not node:
        for file in sorted(places.logs.glob("*.log")):
            console.heading(f"== {file.name}")
            console.line("\n".join(file.read_text(errors="replace").splitlines()[-lines:]))
    from labctl.lab import bubble as lab_bubble

    engine = lab_bubble.engine(lab, places)
    worst = OK
    for name in names:
        if not node:
            console.heading(f"== {name}")
        try:
            argv = ["journalctl", "--no-pager", "-n", str(lines), *only]
            console.line(engine.node(name).run(argv, timeout=60).stdout.rstrip())
        except LabError as error:
            console.warning(f"{name} does not answer ({error.message}); its console's last lines:")
            worst = FAILED if node else worst
            try:
                console.line(engine.console(name).rstrip())
            except LabError:
                console.line("(the lab does not run)")
    return worst


def _is_target(lab: Lab, name: str) -> bool:
    """Whether the name is of the machine that serves the lab's disks."""
    return name == TARGET and lab.storage.driver != NONE


def _logs_of_target(places: LabPlaces, lab: Lab, lines: int, *, only: str | None, follow: bool) -> int:
    """A container's output, which is all that it writes; a machine's journal, or its console."""
    from labctl.lab import bubble as lab_bubble

    if follow or (only and not lab.has_machines):
        raise UsageError(f"The {TARGET} goes without that.", mend=f"labctl logs {TARGET}{lab_flag(lab.name)}")
    engine = lab_bubble.engine(places.lab, places)
    try:
        if lab.has_machines:
            argv = ["journalctl", "--no-pager", "-n", str(lines), *(["--unit", only] if only else [])]
            try:
                console.line(engine.node(TARGET).run(argv, timeout=60).stdout.rstrip())
                return OK
            except LabError as error:
                console.warning(f"{TARGET} does not answer ({error.message}); its console's last lines:")
        console.line("\n".join(engine.console(TARGET).rstrip().splitlines()[-lines:]))
    finally:
        engine.close()
    return FAILED if lab.has_machines else OK


def copy(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A path, or NODE:PATH.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A path, or NODE:PATH.")],
    lab: LabOption = DEFAULT_LAB,
) -> int:
    """Copy files between the host and a node, or between nodes."""
    require_root("cp")
    places, bubble = require_running(lab)
    known = known_lab(places)
    plain, remote = [], []
    for end in (source, target):
        name, colon, path = end.partition(":")
        inside = bool(colon) and "/" not in name
        plain.append(f"{known.node(name).name}:{path}" if inside else end)
        remote.append(f"{_root_at(known, known.node(name))}:{path}" if inside else str(Path(end).absolute()))
    if all(":" not in end for end in plain):
        raise UsageError("Neither end is in a node.", mend="labctl cp FILE node1:/root/")
    if known.has_machines:
        # Between two nodes the bytes go through here; the nodes need not trust each other.
        words = ["scp", "-3", "-r", "-p", *_ssh_options(places), *remote]
        return run.attach([*bubble.enter("--net"), *words])
    return run.attach(_remote(places, "cp", *plain))


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
    target = _is_target(known, node)
    name = TARGET if target else known.node(node).name
    if not (known.has_machines if target else known.node(node).mode == "vm"):
        enter = "" if target else f"labctl exec {name}{lab_flag(lab)}   or: "
        raise UsageError(
            f"{name} is a container and has no console.", mend=f"{enter}labctl logs {name}{lab_flag(lab)}"
        )
    there = _in_libvirt(places, name)
    return run.attach(["virsh", "--connect", places.libvirt_uri, "console", "--force", there])


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
    return run.attach(["virsh", "--connect", places.libvirt_uri, *words])


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

    console.note(f"127.0.0.1:{host_port} → {address}:{port}   (Ctrl-C ends)")
    serve(bubble, host_port, address, port)
    return OK


def _address(lab: Lab, word: str) -> str:
    from ipaddress import IPv4Address

    try:
        return str(IPv4Address(word))
    except ValueError:
        return str(lab.node(word).address(lab.cluster.links[0]))
