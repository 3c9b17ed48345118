"""What a host must offer for the lio driver, and the lab's claim on what every lab of a host would share.

The target's configfs, the initiator's records and its daemon are one per kernel.  Whoever serves a target
has a claim in /run, from before the first object is made until the last is gone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from labctl import run
from labctl.errors import HostLacks, LabError
from labctl.storage import lio_kernel
from labctl.storage.lio_session import RECORD_ROOTS

CLAIMS = Path("/run/labctl-lio")
RULES = Path("/run/udev/rules.d")
# After 60-persistent-storage.rules has looked at a disk, before LVM (69) and systemd (99) act on what it saw.
# multipathd(8) would make one device of all nodes' paths to a LUN. It leaves disks alone that have ID_SERIAL
# but neither ID_WWN nor SCSI_IDENT_… (multipath.conf(5), property). udisks(8) would offer to mount them.
# nowatch: udev is not to look at a disk each time that a node has closed it.
RULE = """\
# labctl: these disks are for the nodes of lab {lab}; this host leaves them alone.
SUBSYSTEM!="block", GOTO="labctl_end"
ENV{{ID_PATH}}!="ip-127.0.0.1:{port}-iscsi-*", GOTO="labctl_end"
ENV{{ID_FS_TYPE}}="", ENV{{ID_FS_USAGE}}=""
{cleared}
ENV{{DM_MULTIPATH_DEVICE_PATH}}="0", ENV{{UDISKS_IGNORE}}="1", ENV{{SYSTEMD_READY}}="0", OPTIONS+="nowatch"
LABEL="labctl_end"
"""
# What `sg_inq --export` (sg3_utils) and scsi_id(8) make of LIO's VPD pages; udev has no pattern for clearing.
_IDENTITIES = (
    "ID_WWN", "ID_WWN_WITH_EXTENSION", "ID_WWN_VENDOR_EXTENSION", "SCSI_IDENT_SERIAL",
    "SCSI_IDENT_LUN_VENDOR", "SCSI_IDENT_LUN_T10", "SCSI_IDENT_LUN_EUI64", "SCSI_IDENT_LUN_NAA_EXT",
    "SCSI_IDENT_LUN_NAA_LOCAL", "SCSI_IDENT_LUN_NAA_REG", "SCSI_IDENT_LUN_NAA_REGEXT",
    "SCSI_IDENT_LUN_NAME", "SCSI_IDENT_LUN_UUID", "SCSI_IDENT_LUN_LOGICAL_UNIT_GROUP",
    "SCSI_IDENT_PORT_RELATIVE", "SCSI_IDENT_PORT_TARGET_PORT_GROUP", "SCSI_IDENT_PORT_NAME",
    "SCSI_IDENT_TARGET_NAME",
)  # fmt: skip
_CLEARED = "\n".join(f'ENV{{{name}}}=""' for name in _IDENTITIES)
# In the order of loading; each is in /sys/module or built in.
MODULES = ("configfs", "target_core_mod", "target_core_file", "iscsi_target_mod", "iscsi_tcp")
SYSTEMD = Path("/run/systemd/system")


@dataclass(frozen=True)
class Lack:
    """One thing that the driver needs and the host has not got; package: Debian's name of what has it."""

    what: str
    mend: str
    package: str = ""


@dataclass(frozen=True)
class Host:
    """What was seen of a host; lacks() judges it.

    modules: name → loaded, or there to be loaded.  busy: who serves the lab's target already, "".
    """

    root: bool
    first_network: bool
    modules: dict[str, bool]
    iscsiadm: bool
    iscsid: bool
    busy: str = ""


def lacks(host: Host) -> list[Lack]:
    """All that keeps the host from running the driver, with the commands that mend it. Pure."""
    found: list[Lack] = []
    if not host.root:
        found.append(Lack("labctl is not root", "run ./lab or use sudo"))
    if not host.first_network:
        found.append(
            Lack(
                "labctl runs in a network namespace of its own, and the kernel's initiator is in the first",
                "run labctl outside the container",
            )
        )
    missing = [name for name, there in host.modules.items() if not there]
    if missing:
        found.append(
            Lack(f"the kernel has no {', '.join(missing)}",
                 f"modprobe -a {' '.join(missing)}   (Debian: kernel package linux-image-amd64, not -cloud)")
        )  # fmt: skip
    if not (host.iscsiadm and host.iscsid):
        what = "iscsiadm" if not host.iscsiadm else "iscsid"
        found.append(Lack(f"the host has no {what}", "apt-get install open-iscsi", "open-iscsi"))
    if host.busy:
        found.append(Lack(host.busy, "labctl up --storage userspace, or end the other one first"))
    return found


def look(lab: str, root: Path, target: str, *, sys: Path = lio_kernel.SYS, claims: Path = CLAIMS) -> Host:
    """Look at this host, without changing it."""
    return Host(
        root=os.geteuid() == 0,
        first_network=_same("/proc/self/ns/net", "/proc/1/ns/net"),
        modules={name: _module(name, sys) for name in MODULES},
        iscsiadm=_program("iscsiadm"),
        iscsid=_program("iscsid"),
        busy=busy(lab, root, target, sys=sys, claims=claims),
    )


def busy(lab: str, root: Path, target: str, *, sys: Path = lio_kernel.SYS, claims: Path = CLAIMS) -> str:
    """Who else holds the lab's target or its name in this kernel; "" when nobody does, or target is ""."""
    if not target:
        return ""
    others = [claim for claim in read_claims(claims) if (claim.lab, claim.root) != (lab, str(root))]
    for claim in others:
        if target in claim.targets or claim.lab == lab:
            return f"lab {claim.lab} of {claim.root} serves {target} with this kernel"
    mine = any(target in claim.targets for claim in read_claims(claims) if claim not in others)
    if not mine and lio_kernel.target_folder(target, sys).is_dir():
        return f"this kernel serves a target {target} that is not labctl's"
    return ""


def _module(name: str, sys: Path) -> bool:
    if (sys / "module" / name).is_dir():
        return True
    try:
        # Succeeds for what is built in, too.
        return run.run(["modprobe", "--dry-run", "--quiet", name], timeout=30, check=False).ok
    except LabError:
        return False


def load_modules(*, sys: Path = lio_kernel.SYS) -> None:
    """Load what the driver needs and mount configfs; both stay, as with any program that needs them.

    Raises CommandFailed.
    """
    for name in MODULES:
        if not (sys / "module" / name).is_dir():
            run.run(["modprobe", name], timeout=60)
    folder = sys / "kernel/config"
    if not os.path.ismount(folder):
        run.run(["mount", "-t", "configfs", "configfs", folder], timeout=20)


def _program(name: str) -> bool:
    try:
        run.run([name, "--version"], timeout=20, check=False)
    except HostLacks:
        return False
    return True


def _same(one: str, other: str) -> bool:
    try:
        return Path(one).stat().st_ino == Path(other).stat().st_ino
    except OSError:
        return False


# -- the daemon ----------------------------------------------------------------------------


def start_iscsid() -> None:
    """Have the host's iscsid run. Raises CommandFailed, HostLacks."""
    if iscsid_runs():
        return
    if SYSTEMD.is_dir():
        run.run(["systemctl", "start", "iscsid.service"], timeout=60)
    else:
        run.run(["iscsid"], timeout=30)


def stop_iscsid() -> None:
    """Stop the iscsid that runs for a lab only, unless somebody has a session by now."""
    if lio_kernel.sessions():
        return
    if SYSTEMD.is_dir():
        run.run(["systemctl", "stop", "iscsid.service"], timeout=60, check=False)
    else:
        run.run(["iscsiadm", "-k", "0"], timeout=30, check=False)


def iscsid_runs() -> bool:
    """Whether the host's iSCSI daemon runs."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "comm").read_text().strip() == "iscsid":
                    return True
            except OSError:
                continue
    return False


# -- the host's own interest in disks -------------------------------------------------------


def keep_udev_away(lab: str, port: int, rules: Path = RULES) -> None:
    """Have udev tell nobody what is on the disks that come through this portal; until let_udev_near()."""
    if rules.parent.is_dir():
        rules.mkdir(exist_ok=True)
        (rules / _rules_name(lab)).write_text(RULE.format(lab=lab, port=port, cleared=_CLEARED))


def let_udev_near(lab: str, rules: Path = RULES) -> None:
    (rules / _rules_name(lab)).unlink(missing_ok=True)
    try:
        rules.rmdir()
    except OSError:
        return  # not there, or with rules of others


def _rules_name(lab: str) -> str:
    return f"65-labctl-{lab}.rules"


def touched(lab: str, *, claims: Path = CLAIMS, records: Sequence[Path] = RECORD_ROOTS) -> bool:
    """Whether this host may have anything of this lab with this driver; true after its reboot, too. Quick."""
    return claims.exists() or any(any(root.glob(f"ifaces/labctl.{lab}.*")) for root in records)


# -- claims --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """What a lab has, or may have, in the kernel.

    root: the lab's folder.  serials: unit serial numbers of its storage objects.  port: of its portal on
    127.0.0.1.  started_iscsid, made_fabric: the daemon, the iscsi folder in configfs were not there before.
    """

    lab: str
    root: str
    targets: tuple[str, ...]
    serials: tuple[str, ...]
    port: int
    started_iscsid: bool
    made_fabric: bool

    def save(self, claims: Path = CLAIMS) -> None:
        claims.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = claims / f".{self.lab}.{os.getpid()}"
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(claims / f"{self.lab}.json")

    def drop(self, claims: Path = CLAIMS) -> None:
        (claims / f"{self.lab}.json").unlink(missing_ok=True)
        try:
            claims.rmdir()
        except OSError:
            return  # another lab's claim is in it


def read_claims(claims: Path = CLAIMS) -> Sequence[Claim]:
    """All claims on this host. One that cannot be read is left out."""
    found = []
    for path in sorted(claims.glob("*.json")):
        try:
            raw = json.loads(path.read_text())
            found.append(
                Claim(
                    lab=str(raw["lab"]),
                    root=str(raw["root"]),
                    targets=tuple(raw["targets"]),
                    serials=tuple(raw["serials"]),
                    port=int(raw["port"]),
                    started_iscsid=bool(raw["started_iscsid"]),
                    made_fabric=bool(raw["made_fabric"]),
                )
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found
