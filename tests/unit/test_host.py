"""labctl.host: judgements, the package table, limits; and the doctor on this very machine."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labctl.errors import HostLacks
from labctl.host import doctor, limits, needs, packages
from labctl.host.needs import GIB, MIB, Cgroups, Finding


@pytest.mark.parametrize(
    ("output", "ok"),
    [
        ("podman version 4.3.1\n", True),
        ("podman version 5.8.0-dev", True),
        ("podman version 10.0", True),
        ("podman version 4.3", True),
        ("podman version 4.2.99", False),
        ("podman version 3.4.4", False),
        ("no version here", False),
        ("", False),
    ],
)
def test_podman_version(output: str, ok: bool) -> None:
    finding = needs.judge_podman(output)
    assert finding.ok is ok
    assert finding.blocks is not ok
    assert bool(finding.mend) is not ok


@given(st.text())
def test_any_version_text_is_judged(text: str) -> None:
    assert needs.judge_podman(text).id == "podman-version"


@pytest.mark.parametrize("mode", Cgroups)
def test_cgroups_depend_on_the_trial_alone(mode: Cgroups) -> None:
    assert needs.judge_cgroups(mode, mountable=True).ok is True
    assert needs.judge_cgroups(mode, mountable=False).blocks


def test_cgroups_say_what_the_lab_does() -> None:
    assert "of its own" in needs.judge_cgroups(Cgroups.HYBRID, mountable=True).message
    assert "of its own" not in needs.judge_cgroups(Cgroups.UNIFIED, mountable=True).message


@pytest.mark.parametrize(
    ("files", "mode"),
    [
        (["cgroup.controllers"], Cgroups.UNIFIED),
        (["unified/cgroup.controllers"], Cgroups.HYBRID),
        (["memory/tasks"], Cgroups.LEGACY),
        ([], Cgroups.LEGACY),
    ],
)
def test_cgroup_mode(tmp_path: Path, files: list[str], mode: Cgroups) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert doctor.cgroup_mode(tmp_path) is mode


@pytest.mark.parametrize(
    ("free", "ok"), [(5 * GIB, False), (6 * GIB, None), (10 * GIB - 1, None), (10 * GIB, True)]
)
def test_disk(free: int, ok: bool | None) -> None:
    assert needs.judge_disk(free, "/var/lib/labctl").ok is ok


@pytest.mark.parametrize(
    ("available", "nodes", "ok"), [(2000 * MIB, 4, True), (1999 * MIB, 4, None), (2000 * MIB, 5, None)]
)
def test_memory_grows_with_the_nodes(available: int, nodes: int, ok: bool | None) -> None:
    assert needs.judge_memory(available, nodes).ok is ok


@pytest.mark.parametrize(("hard", "ok"), [(4095, False), (4096, True), (-1, True)])
def test_open_files(hard: int, ok: bool) -> None:
    assert needs.judge_nofile(hard).ok is ok


def test_inotify_is_a_warning_with_the_command() -> None:
    finding = needs.judge_inotify("max_user_instances", 128)
    assert finding.ok is None
    assert not finding.blocks
    assert "sysctl -w fs.inotify.max_user_instances=512" in finding.mend
    assert needs.judge_inotify("max_user_instances", 512).ok is True


def test_a_failed_trial_blocks_only_where_required() -> None:
    assert needs.judge_trial("x", "x", "no such device", "mend").blocks
    assert needs.judge_trial("x", "x", "", "mend", required=False).ok is None
    assert needs.judge_trial("x", "x", None, "mend").ok is True


# ---- the package table ---------------------------------------------------------------------


def test_the_table_reads_and_names_a_package_for_debian_and_fedora() -> None:
    rows = packages.table()
    assert {row.group for row in rows} == set(packages.GROUPS)
    assert [row.name for row in rows if row.group == "up" and not all(row.packages.values())] == []
    assert all(row.purpose for row in rows)


@pytest.mark.parametrize("line", ["up podman podman podman", "odd a b c d e f", "up a b c d e"])
def test_a_malformed_row_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        packages.read_table(f"# head\n{line}\n")


def test_alternatives_and_files() -> None:
    (row,) = packages.read_table("up a|/b c,d - - - some purpose\n")
    assert row.programs == ("a", "/b")
    assert row.packages == {"apt": ("c", "d"), "dnf": (), "zypper": (), "pacman": ()}
    assert row.purpose == "some purpose"


def test_a_pattern_finds_what_is_elsewhere_in_each_distribution(tmp_path: Path) -> None:
    assert packages.find_program(f"{tmp_path}/lib*/python3.*/libvirt.py") is None
    (tmp_path / "lib64/python3.12").mkdir(parents=True)
    there = tmp_path / "lib64/python3.12/libvirt.py"
    there.touch()
    assert packages.find_program(f"{tmp_path}/lib*/python3.*/libvirt.py") == there
    assert packages.find_program(str(there)) == there
    assert packages.find_program(f"{there}c") is None


def test_debian_gets_no_libvirt_of_its_own() -> None:
    """libvirt-daemon-system would start the host's libvirtd and make virbr0."""
    rows = [row for row in packages.table() if row.group == "vm"]
    assert set(packages.packages_for(rows, "apt")) == {
        "libvirt-clients", "libvirt-daemon", "libvirt-daemon-driver-qemu", "python3-libvirt",
        "qemu-system-x86", "qemu-utils",
    }  # fmt: skip
    assert [row.name for row in rows if not all(row.packages.values())] == []


def test_missing_takes_any_alternative() -> None:
    def find(name: str) -> Path | None:
        return Path(name) if name in {"runc", "podman"} else None

    names = {need.name for need in packages.missing(["up"], find=find)}
    assert "crun|runc" not in names
    assert "podman" not in names
    assert "conmon" in names
    assert "ipmitool" not in names


@pytest.mark.parametrize(
    ("release", "tools", "expected"),
    [
        ("ID=debian\n", {"apt-get", "dnf"}, "apt"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', {"apt-get", "dnf"}, "dnf"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', {"zypper"}, "zypper"),
        ("ID=arch\n", {"pacman"}, "pacman"),
        ("ID=gentoo\n", set(), None),
        ("ID=debian\n", {"dnf"}, "dnf"),
        ("", {"zypper"}, "zypper"),
    ],
)
def test_manager(tmp_path: Path, release: str, tools: set[str], expected: str | None) -> None:
    (tmp_path / "os-release").write_text(release)
    found = packages.manager(
        os_release=tmp_path / "os-release", find=lambda name: Path(name) if name in tools else None
    )
    assert found == expected


def test_manager_without_os_release(tmp_path: Path) -> None:
    assert packages.manager(os_release=tmp_path / "none", find=lambda _: None) is None


def test_mend_is_a_command_or_says_what_to_install() -> None:
    podman = [need for need in packages.table() if need.name == "podman"]
    assert packages.mend(podman, "dnf") == "dnf -y --setopt=install_weak_deps=False install podman"
    assert "podman" in packages.mend(podman, None)


def test_ensure_with_nothing_missing_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "missing", lambda groups: ())
    said: list[str] = []
    packages.ensure(["up"], on_line=said.append)
    assert said == []


def test_ensure_respects_no_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABCTL_NO_INSTALL", "1")
    everywhere = dict.fromkeys(packages.MANAGERS, ("nonesuch-package",))
    row = packages.Need("up", ("nonesuch",), everywhere, "a test")
    monkeypatch.setattr(packages, "missing", lambda groups: (row,))
    said: list[str] = []
    with pytest.raises(HostLacks) as caught:
        packages.ensure(["up"], on_line=said.append)
    assert said == ["missing: nonesuch (a test)"]
    assert "nonesuch" in caught.value.mend


# ---- limits ----------------------------------------------------------------------------------


def test_limits_can_be_set_by_this_very_process() -> None:
    hard_now = {
        "nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "nproc": resource.getrlimit(resource.RLIMIT_NPROC)[1],
    }
    given_limits = limits.container_limits()
    assert given_limits.keys() == hard_now.keys()
    for name, (soft, hard) in given_limits.items():
        if hard_now[name] != resource.RLIM_INFINITY:
            assert 0 < soft <= hard <= hard_now[name]
    assert given_limits["nofile"][1] <= limits.NOFILE_HARD


@pytest.mark.parametrize(
    ("mask", "name", "held"),
    [
        ("000001ffffffffff", "SYS_RESOURCE", True),
        ("000001fffeffffff", "SYS_RESOURCE", False),
        ("0000000000200000", "SYS_ADMIN", True),
        ("0000000000000000", "NET_ADMIN", False),
    ],
)
def test_capability(mask: str, name: str, held: bool) -> None:
    assert limits.holds_capability(name, f"Name:\tx\nCapPrm:\t{mask}\nCapEff:\t{mask}\n") is held


# ---- doctor ------------------------------------------------------------------------------------


def test_examine_here(tmp_path: Path) -> None:
    """It ends, each id comes once, --json takes it, and the state folder is not made by looking."""
    state = tmp_path / "not" / "made"
    findings = doctor.examine(state)
    ids = [finding.id for finding in findings]
    assert len(ids) == len(set(ids))
    assert {"root", "python", "program-podman", "disk", "memory", "open-files"} <= set(ids)
    assert "program-virsh" not in ids  # doctor --fix installs nothing for virtual machines unasked
    assert json.loads(json.dumps([finding.as_dict() for finding in findings]))
    unmended = {finding.id for finding in findings if finding.ok is not True and not finding.mend}
    assert unmended <= {"host-cluster"}
    assert list(tmp_path.iterdir()) == []


def test_a_trial_tells_why_it_failed(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a trial makes namespaces: needs root (./lab test becomes root)")
    assert doctor.trial(["sh", "-c", "echo because >&2; exit 3"]) == "because"
    assert doctor.trial(["sh", "-c", "exit 3"]) == "exit code 3"


def test_fix_runs_each_command_once_and_reports_failure() -> None:
    said: list[str] = []
    broken = Finding("a", False, "a", fix=("sh", "-c", "echo mended"))
    fine = Finding("b", True, "b", fix=("false",))
    doctor.fix([broken, broken, fine, Finding("c", False, "c")], said.append)
    assert said == ["$ sh -c 'echo mended'", "mended"]
    with pytest.raises(HostLacks):
        doctor.fix([Finding("d", None, "d", fix=("false",))], said.append)
