"""Which programs the lab needs, which package has them here, and how to install it.

The table is packages.txt beside this file; the launcher ./lab reads the same one.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labctl.errors import HostLacks
from labctl.run import run, stream

TABLE = Path(__file__).with_name("packages.txt")
MANAGERS = ("apt", "dnf", "zypper", "pacman")
GROUPS = ("python", "up", "debian", "vm", "test")
# podman's helpers are not on PATH, and a user's PATH may lack the sbin folders.
MORE_PATH = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/libexec/podman", "/usr/lib/podman")

_INSTALL: Mapping[str, tuple[str, ...]] = {
    "apt": ("apt-get", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300",
            "-o", "Dpkg::Use-Pty=0", "install"),
    "dnf": ("dnf", "-y", "--setopt=install_weak_deps=False", "install"),
    "zypper": ("zypper", "--non-interactive", "install", "--no-recommends"),
    "pacman": ("pacman", "-S", "--needed", "--noconfirm"),
}  # fmt: skip
_FAMILIES = (("apt", {"debian", "ubuntu"}), ("dnf", {"fedora", "rhel", "centos"}),
             ("zypper", {"suse", "opensuse"}), ("pacman", {"arch"}))  # fmt: skip
_INSTALL_SECONDS = 1800.0


@dataclass(frozen=True)
class Need:
    """One row of the table: any of these programs will do; a path is a file that must be there.

    A path may be a pattern with * and ?, for what each distribution keeps elsewhere.
    """

    group: str
    programs: tuple[str, ...]
    packages: Mapping[str, tuple[str, ...]]
    purpose: str

    @property
    def name(self) -> str:
        return "|".join(self.programs)


def read_table(text: str) -> tuple[Need, ...]:
    """The rows of packages.txt. Raises ValueError with the line's number for a malformed one."""
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split(maxsplit=6)
        if len(fields) != 7 or fields[0] not in GROUPS:
            raise ValueError(f"packages.txt line {number}: not seven columns, or an unknown group")
        packages = {
            manager: () if column == "-" else tuple(column.split(","))
            for manager, column in zip(MANAGERS, fields[2:6], strict=True)
        }
        rows.append(Need(fields[0], tuple(fields[1].split("|")), packages, fields[6]))
    return tuple(rows)


def table() -> tuple[Need, ...]:
    """Every need, in the table's order."""
    return read_table(TABLE.read_text())


def find_program(name: str) -> Path | None:
    """Where a program (or, for an absolute path or a pattern of one, a file) is; None when it is not."""
    if name.startswith("/"):
        return next(iter(sorted(Path("/").glob(name[1:]))), None)
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *MORE_PATH]))
    return Path(found) if found else None


def missing(
    groups: Collection[str], *, find: Callable[[str], Path | None] = find_program
) -> tuple[Need, ...]:
    """The needs of these groups (of GROUPS) that the host does not meet."""
    return tuple(
        need for need in table() if need.group in groups and not any(find(one) for one in need.programs)
    )


def manager(
    *, os_release: Path = Path("/etc/os-release"), find: Callable[[str], Path | None] = find_program
) -> str | None:
    """The distribution's package manager, one of MANAGERS; None when there is none of them.

    The distribution's name goes first: Debian carries a dnf, and Fedora an apt.
    """
    like = _distribution(os_release)
    preferred = [name for name, words in _FAMILIES if words & like]
    return next((name for name in (*preferred, *MANAGERS) if find(_INSTALL[name][0])), None)


def packages_for(needs: Iterable[Need], manager_name: str | None) -> tuple[str, ...]:
    """The packages that meet these needs, sorted; without those that the distribution has not got."""
    if manager_name is None:
        return ()
    return tuple(sorted({package for need in needs for package in need.packages[manager_name]}))


def install_command(manager_name: str, packages: Sequence[str]) -> tuple[str, ...]:
    """The command that installs packages without asking anything."""
    return (*_INSTALL[manager_name], *packages)


def mend(needs: Sequence[Need], manager_name: str | None) -> str:
    """The command, as text, that installs what meets these needs."""
    packages = packages_for(needs, manager_name)
    if manager_name is None or not packages:
        return f"install {', '.join(need.name for need in needs)} with the distribution's means"
    return shlex.join(install_command(manager_name, packages))


def install(packages: Sequence[str], *, on_line: Callable[[str], None]) -> None:
    """Install packages; every command and its output goes to on_line.

    Raises HostLacks when there is no package manager or it fails.
    """
    name = manager()
    if name is None:
        raise HostLacks(
            "There is no package manager here that labctl knows.",
            mend=f"install {' '.join(packages)} with the distribution's means",
        )
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    argv = install_command(name, packages)
    # Lists that do not know the packages are the one reason to fetch them first.
    if name == "apt" and not run([*argv, "--dry-run"], timeout=120, check=False, env=env).ok:
        refresh = ("apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", "update")
        on_line(f"$ {shlex.join(refresh)}")
        stream(refresh, timeout=600, on_line=on_line, env=env)
    on_line(f"$ {shlex.join(argv)}")
    result = stream(argv, timeout=_INSTALL_SECONDS, on_line=on_line, env=env)
    if not result.ok:
        raise HostLacks(
            f"{argv[0]} could not install {' '.join(packages)}.",
            details=result.describe(),
            mend=shlex.join(argv),
        )


def ensure(groups: Collection[str], *, on_line: Callable[[str], None]) -> None:
    """Install what these groups (of GROUPS) lack, after saying what. Raises HostLacks."""
    lacking = missing(groups)
    if not lacking:
        return
    name = manager()
    for need in lacking:
        on_line(f"missing: {need.name} ({need.purpose})")
    if os.environ.get("LABCTL_NO_INSTALL"):
        raise HostLacks("LABCTL_NO_INSTALL is set.", mend=mend(lacking, name))
    packages = packages_for(lacking, name)
    if packages:
        install(packages, on_line=on_line)
    still = missing(groups)
    if still:
        raise HostLacks(f"The host lacks {', '.join(need.name for need in still)}.", mend=mend(still, name))


def _distribution(os_release: Path) -> set[str]:
    """The words of ID and ID_LIKE (os-release(5)), opensuse-leap and its like cut to opensuse."""
    try:
        lines = os_release.read_text().splitlines()
    except OSError:
        return set()
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    words = " ".join(values.get(key, "").strip("\"'") for key in ("ID", "ID_LIKE")).split()
    return {"opensuse" if word.startswith("opensuse") else word for word in words}
