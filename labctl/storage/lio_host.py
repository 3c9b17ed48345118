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

CLAIMS = Path("/run/labctl-lio")
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
    """Who else holds the lab's target or its name in this kernel; "" when nobody does."""
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
