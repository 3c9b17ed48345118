"""Can this host run a lab: look at everything, say what is missing and what mends it.

Kernel features are tried, not looked up: in a throw-away mount, network and PID namespace,
each trial bounded in time, so the host stays as it is.
"""

from __future__ import annotations

import os
import platform
import resource
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from labctl.errors import HostLacks, LabError
from labctl.host import needs, packages
from labctl.host.limits import has_capability
from labctl.host.needs import Cgroups, Finding
from labctl.run import run, stream

TRIAL_SECONDS = 15.0
MODULES = "load it (modprobe {0}) or use a kernel that has it; inside a container: run that one privileged"

_OVERLAY = (
    'cd -- "$1" && mkdir lower upper work merged && '
    "mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged && : >merged/written"
)
# As a bubble does it: what is there goes first, or a pure v2 host says that it is mounted already.
_CGROUP2 = (
    "umount -R /sys/fs/cgroup 2>/dev/null || umount -l /sys/fs/cgroup;"
    " mount -t cgroup2 none /sys/fs/cgroup && cat /sys/fs/cgroup/cgroup.controllers"
)
_LINKS = (
    "ip link add labctl0 type bridge && ip link add labctl1 type veth peer name labctl2 && "
    "ip link set labctl1 master labctl0 && ip link set labctl0 up"
)
_NFT = "table ip labctl { chain out { type nat hook postrouting priority 100; masquerade; }; }"
_IPTABLES = "iptables -w 5 -t nat -A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE"


def examine(state: Path, *, nodes: int = 4) -> list[Finding]:
    """Everything worth knowing, most basic first. state: the folder of labs and images, made or not.

    Never raises for what it finds; without root, what needs root is left out and said so.
    """
    findings = [_root(), _python()]
    findings += _programs()
    findings += _podman()
    if os.geteuid() == 0:
        findings += _kernel(state)
    findings += _room(state, nodes)
    findings += _surroundings()
    return findings


def fix(findings: Sequence[Finding], on_line: Callable[[str], None]) -> None:
    """Mend what can be mended by a command; each one and its output goes to on_line.

    Raises HostLacks when a command fails.  What has no fix is for the caller to show.
    """
    broken = [finding for finding in findings if finding.ok is not True and finding.fix]
    wanted = sorted({package for finding in broken for package in finding.packages})
    if wanted:
        packages.install(wanted, on_line=on_line)
    for argv in dict.fromkeys(finding.fix for finding in broken if finding.fix and not finding.packages):
        on_line(f"$ {shlex.join(argv)}")
        result = stream(argv, timeout=300, on_line=on_line)
        if not result.ok:
            raise HostLacks(f"{argv[0]} failed.", details=result.describe(), mend=shlex.join(argv))


def cgroup_mode(root: Path = Path("/sys/fs/cgroup")) -> Cgroups:
    """How control groups are mounted here."""
    if (root / "cgroup.controllers").exists():
        return Cgroups.UNIFIED
    return Cgroups.HYBRID if (root / "unified" / "cgroup.controllers").exists() else Cgroups.LEGACY


def trial(argv: Sequence[str | Path], *, stdin: str | None = None) -> str | None:
    """Run a command in private mount, network and PID namespaces: None when it worked, else why not."""
    inside = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
              "--propagation", "private", "--"]  # fmt: skip
    try:
        result = run([*inside, *argv], timeout=TRIAL_SECONDS, check=False, stdin=stdin, env=_search_path())
    except LabError as error:
        return error.message
    if result.ok:
        return None
    said = (result.stderr.strip() or result.stdout.strip()).splitlines()
    return said[-1] if said else f"exit code {result.rc}"


def _search_path() -> dict[str, str]:
    return {"PATH": os.pathsep.join([os.environ.get("PATH", os.defpath), *packages.MORE_PATH])}


def _root() -> Finding:
    if os.geteuid() != 0:
        return Finding("root", False, "not root: namespaces, networks, mounts need it.", "run it by sudo")
    if not has_capability("SYS_ADMIN") or not has_capability("NET_ADMIN"):
        return Finding("root", False, "root, but without CAP_SYS_ADMIN and CAP_NET_ADMIN.",
                       "inside a container: run that one privileged")  # fmt: skip
    raises = "" if has_capability("SYS_RESOURCE") else ", without CAP_SYS_RESOURCE: limits stay as they are"
    return Finding("root", True, f"root{raises}")


def _python() -> Finding:
    ok = sys.version_info >= (3, 11)
    return Finding(
        "python", ok, f"Python {platform.python_version()}", "" if ok else "./lab doctor installs one"
    )


def _programs() -> Iterator[Finding]:
    name = packages.manager()
    for need in packages.table():
        if need.group in ("python", "vm"):  # what virtual machines need: labctl.vm.findings
            continue
        required = need.group == "up"
        found = next((path for path in map(packages.find_program, need.programs) if path), None)
        if found:
            yield Finding(
                f"program-{Path(need.programs[0]).name}", True, f"{found} ({need.purpose})", required=required
            )
            continue
        wanted = packages.packages_for([need], name)
        yield Finding(
            f"program-{Path(need.programs[0]).name}",
            False if required else None,
            f"{need.name} is missing ({need.purpose}).",
            packages.mend([need], name),
            fix=packages.install_command(name, wanted) if name and wanted else None,
            required=required,
            packages=wanted,
        )


def _podman() -> Iterator[Finding]:
    if packages.find_program("podman"):
        try:
            yield needs.judge_podman(run(["podman", "--version"], timeout=TRIAL_SECONDS).stdout)
        except LabError as error:
            yield Finding("podman-version", False, error.message, "podman --version tells more")


def _kernel(state: Path) -> Iterator[Finding]:
    alone = trial(["true"])
    yield needs.judge_trial("namespaces", "mount, network and PID namespaces", alone,
                            "sysctl -w user.max_mnt_namespaces=1024 user.max_net_namespaces=1024; "
                            "inside a container: run that one privileged")  # fmt: skip
    if alone is not None:
        return
    yield needs.judge_cgroups(cgroup_mode(), trial(["sh", "-c", _CGROUP2]) is None)
    with tempfile.TemporaryDirectory(prefix=".labctl-trial-", dir=_existing(state)) as folder:
        yield needs.judge_trial(
            "overlay",
            f"overlay file system in {_existing(state)}",
            trial(["sh", "-c", _OVERLAY, "sh", folder]),
            "put the lab on ext4 or xfs: LABCTL_STATE=/other/folder labctl …",
        )
    yield needs.judge_trial("bridge", "bridge and veth links", trial(["sh", "-c", _LINKS]),
                            MODULES.format("bridge veth"))  # fmt: skip
    yield needs.judge_trial(
        "nftables", "nf_tables with address translation", trial(["nft", "-f", "-"], stdin=_NFT),
        MODULES.format("nft_chain_nat nft_masq"), required=False,
    )  # fmt: skip
    yield needs.judge_trial(
        "iptables", "iptables with address translation", trial(_IPTABLES.split()),
        MODULES.format("iptable_nat xt_MASQUERADE"),
    )  # fmt: skip
    tun = trial(["ip", "tuntap", "add", "dev", "labctl0", "mode", "tap"])
    yield needs.judge_trial(
        "tun", "tap device, for the nodes' way to the outside", tun, MODULES.format("tun"), required=False
    )


def _room(state: Path, nodes: int) -> Iterator[Finding]:
    yield needs.judge_disk(shutil.disk_usage(_existing(state)).free, str(state))
    meminfo = Path("/proc/meminfo").read_text().splitlines()
    available = next(int(line.split()[1]) for line in meminfo if line.startswith("MemAvailable:"))
    yield needs.judge_memory(available * 1024, nodes)
    yield needs.judge_nofile(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    for name in needs.INOTIFY_GOOD:
        value = _read(Path("/proc/sys/fs/inotify") / name)
        if value:
            yield needs.judge_inotify(name, int(value))


def _surroundings() -> Iterator[Finding]:
    if _runs_here("corosync"):
        yield Finding("host-cluster", None, "corosync runs on this host; the lab does not touch it",
                      required=False)  # fmt: skip
    if _read(Path("/sys/fs/selinux/enforce")) == "1":
        yield Finding("selinux", True, "SELinux enforces; nodes run unconfined (privileged)", required=False)
    if _read(Path("/sys/module/apparmor/parameters/enabled")) == "Y":
        yield Finding("apparmor", True, "AppArmor is on; nodes run unconfined (privileged)", required=False)
    fuse = Path("/dev/fuse").exists()
    yield Finding("fuse", True if fuse else None, f"/dev/fuse is {'' if fuse else 'not '}there",
                  "" if fuse else "modprobe fuse", required=False)  # fmt: skip
    loop = Path("/dev/loop-control").exists()
    yield Finding("loop", True if loop else None, f"loop devices: {'' if loop else 'not '}there",
                  "" if loop else "modprobe loop", required=False)  # fmt: skip


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there (the same file system, most likely)."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _runs_here(program: str) -> bool:
    """Whether a program runs in our own PID namespace: those of labs are seen from here, but do not count."""
    for process in Path("/proc").glob("[0-9]*"):
        if _read(process / "comm") == program:
            try:
                if (process / "ns/pid").readlink() == Path("/proc/self/ns/pid").readlink():
                    return True
            except OSError:  # it has ended meanwhile, or is not ours to look at
                continue
    return False
