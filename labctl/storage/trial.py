"""The proof that the shared disks are shared: one node writes, another reads, a stranger is sent away.

On a target of the lab's own (saveconfig.CHECK), never on a disk that somebody may use.  Each step logs
in from a node, over its own leg in the storage network, with qemu-io(1).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from labctl.engine.base import Engine, Node, State
from labctl.errors import LabError
from labctl.probe.facts import TargetSeen, TrialSeen
from labctl.storage import saveconfig
from labctl.storage.base import PORT

if TYPE_CHECKING:
    from labctl.lab.model import Lab, NodeSpec

STEP_SECONDS = 20.0
BLOCK = 64 * 1024  # bytes; one for each node, so that two trials at once do not disturb each other


def trial(engine: Engine, lab: Lab, target: TargetSeen) -> TrialSeen:
    """Try it with the first two nodes that are on; never raises for what nodes do."""
    if target.trouble:
        return TrialSeen(untried="the target does not answer, see storage.target")
    machines = engine.observe()
    on = [node for node in lab.nodes if node.name in machines and machines[node.name].state is State.ON]
    if len(on) < 2:
        return TrialSeen(untried="it takes two nodes that are on")
    writer, reader = on[0], on[1]
    if not _has_qemu_io(engine, writer):
        return TrialSeen(untried="this family's nodes have no iSCSI initiator in user space to try it with")
    mark, offset = 1 + secrets.randbelow(255), (writer.index - 1) * BLOCK
    check = saveconfig.check_target(lab)
    where = f"-P {mark} {offset} {BLOCK}"
    names = {node.name: saveconfig.check_initiator(node.initiator) for node in (writer, reader)}
    at_writer, at_reader = engine.node(writer.name), engine.node(reader.name)
    written = _io(at_writer, _image(lab, check, names[writer.name]), [f"write {where}", "flush"])
    read = "nothing was written" if written else ""
    if not written:
        read = _io(at_reader, _image(lab, check, names[reader.name]), [f"read {where}"])
    stranger = f"{writer.initiator}.stranger"
    let_in = _io(at_writer, ["-r", *_image(lab, lab.storage.target, stranger)], ["read 0 512"])
    return TrialSeen(
        writer=writer.name,
        reader=reader.name,
        written=written,
        read=read,
        stranger="" if let_in else f"{stranger} could log in and read",
    )


def _has_qemu_io(engine: Engine, node: NodeSpec) -> bool:
    try:
        question = ["sh", "-c", "command -v qemu-io && ls /usr/lib/*/qemu/block-iscsi.so"]
        return engine.node(node.name).run(question, timeout=STEP_SECONDS, check=False).ok
    except LabError:
        return False


def _image(lab: Lab, target: str, initiator: str) -> list[str]:
    """qemu-io's words for the first disk of a target, under this initiator's name."""
    options = {
        "driver": "raw",
        "file.driver": "iscsi",
        "file.transport": "tcp",
        "file.portal": f"{lab.storage.address}:{PORT}",
        "file.target": target,
        "file.lun": "1",
        "file.initiator-name": initiator,
    }
    words = []
    if (chap := lab.storage.chap) and target == lab.storage.target:
        words = ["--object", f"secret,id=chap,data={chap.password}"]
        options |= {"file.user": chap.userid, "file.password-secret": "chap"}
    return [*words, "--image-opts", ",".join(f"{key}={value}" for key, value in options.items())]


def _io(node: Node, image: Sequence[str], commands: Sequence[str]) -> str:
    """What went wrong, "" when nothing did."""
    argv = ["qemu-io", *(word for command in commands for word in ("-c", command)), *image]
    try:
        done = node.run(argv, timeout=STEP_SECONDS, check=False)
    except LabError as error:
        return error.message
    said = (done.stdout + done.stderr).strip()
    # qemu-io ends with 0 when only the pattern is another one.
    if done.ok and "failed" not in said:
        return ""
    return said.splitlines()[-1] if said else f"exit code {done.rc}"
