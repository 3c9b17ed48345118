"""The lio driver of a lab of virtual machines: the kernel's own at both ends.

The target is a machine of the lab that has LIO's, told by rtslib and saveconfig.json; the disks are
files in it, as in the course.  The nodes log in with open-iscsi.  Nothing is asked of the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from labctl.engine.base import Appliance, Engine, File
from labctl.probe.facts import TargetSeen
from labctl.storage import asked, saveconfig
from labctl.storage.base import CONFIG, CONFIG_NAME, LIO, PROGRAM, TARGET, NodeDisks

if TYPE_CHECKING:
    from labctl.lab.model import Lab, NodeSpec
    from labctl.places import LabPlaces

UNITS = "/etc/systemd/system/multi-user.target.wants"
LOGIN_UNITS = {"debian": "open-iscsi.service", "centos": "iscsi.service"}
OWN_DISKS = "--own-disks"
# Exclusive opening fails for what is mounted, or held by LVM, md or swap (open(2), O_EXCL).
_IN_USE = """\
import errno, glob, os, sys
mounts = dict(line.split()[:2] for line in open("/proc/mounts"))
for link in sorted(glob.glob("/dev/disk/by-path/*-iscsi-" + sys.argv[1] + "-lun-*")):
    path = os.path.realpath(link)
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_EXCL))
    except OSError as error:
        if error.errno == errno.EBUSY:
            print(path, "mounted at " + mounts[path] if path in mounts else "held by a program")
"""


class VmLio:
    """labctl.storage.base.Driver with a kernel for each machine."""

    name = LIO
    disks_on_host = False

    def prepare(self, lab: Lab, places: LabPlaces) -> None:
        """Nothing: all of it runs in the lab's own machines."""

    def appliance(self, lab: Lab, places: LabPlaces) -> Appliance:
        # Without the host's folders: what it serves and is told lies in the machine.
        argv = (PROGRAM, "serve", OWN_DISKS, "--config", CONFIG)
        return replace(asked.machine(lab, places), argv=argv, mounts=())

    def appliance_files(self, places: LabPlaces) -> list[File]:
        program = (Path(__file__).parent / "lio_target.py").read_bytes()
        return [File(PROGRAM, b"#!/usr/bin/python3\n" + program, mode=0o755), _config(places)]

    def node_files(self, lab: Lab, node: NodeSpec, *, login: bool) -> list[File]:  # noqa: ARG002 (all alike)
        return _login_files(lab) if login else []

    def update(self, engine: Engine, lab: Lab, places: LabPlaces) -> None:  # noqa: ARG002
        machine = engine.node(TARGET)
        machine.put([_config(places)])
        machine.run([PROGRAM, "apply", OWN_DISKS, CONFIG], timeout=60)

    def started(self, engine: Engine, lab: Lab, node: NodeSpec) -> None:
        """Nothing: a node logs in by itself at its boot."""

    def log_in(self, engine: Engine, lab: Lab, node: NodeSpec) -> None:
        machine = engine.node(node.name)
        asked.log_in(machine, lab, _login_files(lab))
        machine.run(["systemctl", "reset-failed", LOGIN_UNITS[lab.family]], timeout=30, check=False)

    def in_use(self, engine: Engine, lab: Lab, node: NodeSpec) -> list[str]:
        argv = ["python3", "-IS", "-c", _IN_USE, lab.storage.target]
        return engine.node(node.name).run(argv, timeout=30).stdout.splitlines()

    def log_out(self, engine: Engine, lab: Lab, node: NodeSpec) -> None:
        asked.log_out(engine.node(node.name), lab)

    def show(self, engine: Engine, lab: Lab) -> TargetSeen:
        return asked.target(engine, lab.storage.target)

    def last_words(self, engine: Engine, node: str) -> str:
        return asked.journal(engine.node(node), "iscsid", "*iscsi.service")

    def question(self, lab: Lab) -> str:
        """A login at boot that failed counts as none: somebody must try again."""
        units, record = self.login_units(lab), asked.record_file(lab)
        lines = [f"[ -e '{record}' ] && ! systemctl -q is-failed {units} && echo 'storage configured'"]
        for disk in lab.storage.disks:
            link = saveconfig.stable_path(lab, disk.name)
            lines.append(f"[ -b '{link}' ] && echo 'storage disk {disk.name}'")
        return "\n".join(lines) + "\n"

    def login_units(self, lab: Lab) -> str:
        """What logs in at boot: systemd's units, for a shell."""
        return LOGIN_UNITS[lab.family]

    def answered(self, lines: Sequence[str]) -> NodeDisks:
        return asked.node_disks(lines)


def _config(places: LabPlaces) -> File:
    return File(CONFIG, (places.target / CONFIG_NAME).read_bytes(), mode=0o600)


def _login_files(lab: Lab) -> list[File]:
    text, chap = asked.login_record(lab), lab.storage.chap
    if chap and chap.mutual_userid and chap.mutual_password:
        own = {"username_in": chap.mutual_userid, "password_in": chap.mutual_password}
        lines = "".join(f"node.session.auth.{key} = {value}\n" for key, value in own.items())
        text = text.replace("# END RECORD", f"{lines}# END RECORD")
    unit = LOGIN_UNITS[lab.family]
    return [
        File(asked.record_file(lab), text.encode(), mode=0o600),
        File(f"{UNITS}/{unit}", b"", link_to=f"/usr/lib/systemd/system/{unit}"),
    ]
