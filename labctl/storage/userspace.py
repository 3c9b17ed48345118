"""The userspace driver: tgtd as target, qemu-storage-daemon and a loop device in each node as initiator.

The programs are labctl.storage.innode's: they are put into nodes and the target's machine as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING

from labctl.engine.base import Appliance, Engine, File
from labctl.probe.facts import TargetSeen
from labctl.storage import asked
from labctl.storage.base import CONFIG, TARGET, USERSPACE, NodeDisks

if TYPE_CHECKING:
    from labctl.lab.model import Lab, NodeSpec
    from labctl.places import LabPlaces

LIBRARY = "/usr/local/lib/labctl"
PROGRAMS = {
    "labctl-target": "target",
    "labctl-iscsi": "session",
    "iscsiadm": "iscsiadm",
    "targetcli": "targetcli",
}
PROGRAM = """\
#!/usr/bin/python3 -IS
import sys
sys.path.insert(0, "{library}")
from innode.{module} import main
sys.exit(main())
"""
UNITS = "/etc/systemd/system"
# What Debian and CentOS call the same units, so that the course's commands work in both.
ALIASES = {
    "iscsi.service": "open-iscsi.service",
    "rtslib-fb-targetctl.service": "target.service",
}


class Userspace:
    """labctl.storage.base.Driver without any help of the kernel's SCSI."""

    name = USERSPACE
    disks_on_host = True

    def prepare(self, lab: Lab, places: LabPlaces) -> None:
        """Nothing: all of it runs in the lab's own machines."""

    def appliance(self, lab: Lab, places: LabPlaces) -> Appliance:
        return asked.machine(lab, places)

    def appliance_files(self, places: LabPlaces) -> list[File]:  # noqa: ARG002 (they are mounted)
        return [*_library(), _program("labctl-target")]

    def node_files(self, lab: Lab, node: NodeSpec, *, login: bool) -> list[File]:  # noqa: ARG002 (all alike)
        files = [*_library(), *(_program(name) for name in PROGRAMS), *_units()]
        return files + (_login_files(lab) if login else [])

    def update(self, engine: Engine, lab: Lab, places: LabPlaces) -> None:  # noqa: ARG002 (the file says it all)
        engine.node(TARGET).run(["labctl-target", "apply", CONFIG], timeout=60)

    def started(self, engine: Engine, lab: Lab, node: NodeSpec) -> None:
        """Nothing: a node logs in by itself at its boot."""

    def log_in(self, engine: Engine, lab: Lab, node: NodeSpec) -> None:
        asked.log_in(engine.node(node.name), lab, _login_files(lab))

    def in_use(self, engine: Engine, lab: Lab, node: NodeSpec) -> list[str]:
        return asked.in_use(engine.node(node.name), lab.storage.target)

    def log_out(self, engine: Engine, lab: Lab, node: NodeSpec) -> None:
        asked.log_out(engine.node(node.name), lab)

    def show(self, engine: Engine, lab: Lab) -> TargetSeen:
        return asked.target(engine, lab.storage.target)

    def last_words(self, engine: Engine, node: str) -> str:
        return asked.journal(engine.node(node), "labctl-iscsi-session@*")

    def question(self, lab: Lab) -> str:
        path = asked.record_file(lab)
        return (
            f"[ -e '{path}' ] && echo 'storage configured'\n"
            f"for file in {asked.SESSIONS}/*.json; do\n"
            f'  grep -q \'"{lab.storage.target}"\' "$file" 2>/dev/null || continue\n'
            '  for disk in $(grep -o \'"name": *"sd[a-z]*"\' "$file" | cut -d\\" -f4); do\n'
            '    [ -b "/dev/$disk" ] && echo "storage disk $disk"\n'
            "  done\n"
            "done\n"
        )

    def answered(self, lines: Sequence[str]) -> NodeDisks:
        return asked.node_disks(lines)


def _library() -> list[File]:
    folder = resources.files("labctl.storage.innode")
    return [
        File(f"{LIBRARY}/innode/{entry.name}", entry.read_bytes())
        for entry in folder.iterdir()
        if entry.name.endswith(".py")
    ]


def _program(name: str) -> File:
    text = PROGRAM.format(library=LIBRARY, module=PROGRAMS[name])
    return File(f"/usr/local/sbin/{name}", text.encode(), mode=0o755)


def _units() -> list[File]:
    """The units in place of the distribution's own, by the name that the course calls them, too."""
    folder = resources.files("labctl.storage.innode").joinpath("units")
    files = [
        File(f"{UNITS}/{entry.name}", entry.read_bytes())
        for entry in folder.iterdir()
        if entry.name.endswith(".service")
    ]
    return files + [
        File(f"{UNITS}/{alias}", b"", link_to=f"{UNITS}/{unit}") for alias, unit in ALIASES.items()
    ]


def _login_files(lab: Lab) -> list[File]:
    return [
        File(asked.record_file(lab), asked.login_record(lab).encode(), mode=0o600),
        File(
            f"{UNITS}/multi-user.target.wants/open-iscsi.service",
            b"",
            link_to=f"{UNITS}/open-iscsi.service",
        ),
    ]
