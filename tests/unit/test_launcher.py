"""./lab, run for real in a small clone, with a PATH that holds stand-ins for what it calls.

The stand-in Python makes environments and "installs" at once; ./lab test itself is the trial with a
real one.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from labctl.run import Result, run

ROOT = Path(__file__).parents[2]
# What the launcher itself needs; everything else on PATH is a stand-in.
TOOLS = (
    "sh", "env", "sed", "readlink", "dirname", "cksum", "cat", "tail", "mkdir", "rm", "find", "ls", "tr",
    "sort", "flock", "cp", "chmod",
)  # fmt: skip
HOST_PROGRAMS = (
    "podman", "crun", "conmon", "netavark", "aardvark-dns", "slirp4netns", "iptables", "nft", "ip", "unshare",
    "nsenter", "mount", "tar", "ssh",
)  # fmt: skip

# python -c …: fits or not; -m venv -- DIR: copies itself; -m pip install: makes bin/labctl.
PYTHON = r"""#!/bin/sh
log() { printf '%s\n' "$*" >>"$STANDIN_LOG"; }
case "$*" in
    *"-m pip --version") exit 0 ;;
    -V) echo "Python 3.12.0" ;;
    "-m venv"*) log venv; mkdir -p "$4/bin"; : >"$4/pyvenv.cfg"; cp "$0" "$4/bin/python" ;;
    "-m pip install"*)
        log "pip $*"
        [ -z "$STANDIN_PIP_FAILS" ] || { echo "no matching distribution" >&2; exit 1; }
        printf '#!/bin/sh\nprintf "labctl[%%s]" "$@"\nexit "${STANDIN_LABCTL_RC:-0}"\n' >"${0%/*}/labctl"
        chmod +x "${0%/*}/labctl"
        for tool in ruff mypy; do
            printf '#!/bin/sh\necho "%s $*" >>"$STANDIN_LOG"\n' "$tool" >"${0%/*}/$tool"
            chmod +x "${0%/*}/$tool"
        done ;;
    "-m pytest"*) log "$*"; exit "${STANDIN_PYTEST_RC:-0}" ;;
esac
"""


@dataclass
class Clone:
    """A clone of what the launcher reads, in a folder with a space in its name."""

    base: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.base / "a clone"

    @property
    def bin(self) -> Path:
        return self.base / "bin"

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    def put(self, name: str, script: str = "exit 0") -> None:
        text = script if script.startswith("#!") else f"#!/bin/sh\n{script}\n"
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def lab(self, *words: str, path: Path | None = None, cwd: Path | None = None, **env: str) -> Result:
        clean = {name: "" for name in os.environ if name.startswith(("LABCTL_", "PIP_"))}
        settings = {"PATH": str(self.bin), "STANDIN_LOG": str(self.base / "log"), "STANDIN_PIP_FAILS": ""}
        return run(
            [path or self.root / "lab", *words],
            timeout=60,
            check=False,
            cwd=cwd,
            env={**clean, **settings, **self.env, **env},
        )

    def log(self) -> list[str]:
        path = self.base / "log"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    made = Clone(tmp_path)
    (made.root / "labctl/host").mkdir(parents=True)
    made.bin.mkdir()
    for name in ("lab", "pyproject.toml", "labctl/host/packages.txt"):
        shutil.copy2(ROOT / name, made.root / name)
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (made.bin / tool).symlink_to(found)
    made.put("id", "echo 0")
    made.put("python3", PYTHON)
    for program in HOST_PROGRAMS:
        made.put(program)
    return made


def test_makes_the_environment_once(clone: Clone) -> None:
    first = clone.lab("ls", "--json")
    assert first.stdout == "labctl[ls]labctl[--json]"
    assert "making" in first.stderr
    second = clone.lab("ls")
    assert (second.stdout, second.stderr, second.rc) == ("labctl[ls]", "", 0)
    assert [line.split()[0] for line in clone.log()] == ["venv", "pip"]


def test_alone_shows_the_help(clone: Clone) -> None:
    assert clone.lab().stdout == "labctl[--help]"


def test_the_exit_code_is_labctls(clone: Clone) -> None:
    assert clone.lab("validate", STANDIN_LABCTL_RC="65").rc == 65


def test_words_arrive_as_they_were(clone: Clone) -> None:
    words = ("exec", "node1", "--", "sh", "-c", "echo 'a  b' \"$HOME\" *", "")
    assert clone.lab(*words).stdout == "".join(f"labctl[{word}]" for word in words)


def test_by_a_link_from_elsewhere(clone: Clone) -> None:
    link = clone.base / "elsewhere" / "my lab"
    link.parent.mkdir()
    link.symlink_to(clone.root / "lab")
    assert clone.lab("ls", path=link, cwd=link.parent).stdout == "labctl[ls]"
    assert clone.venv.is_dir()


def test_a_changed_pyproject_installs_again(clone: Clone) -> None:
    clone.lab("ls")
    with (clone.root / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    clone.lab("ls")
    assert [line.split()[0] for line in clone.log()] == ["venv", "pip", "pip"]


def test_a_half_made_environment_is_made_anew(clone: Clone) -> None:
    assert clone.lab("ls", STANDIN_PIP_FAILS="1").rc == 69
    (clone.venv / "left-over").touch()
    assert clone.lab("ls").rc == 0
    assert not (clone.venv / "left-over").exists()
    assert [line.split()[0] for line in clone.log()] == ["venv", "pip", "venv", "pip"]


def test_a_lost_python_is_made_anew(clone: Clone) -> None:
    clone.lab("ls")
    (clone.venv / "bin/python").unlink()
    assert clone.lab("ls").stdout == "labctl[ls]"
    assert clone.log().count("venv") == 2


def test_a_moved_clone_is_installed_again(clone: Clone) -> None:
    clone.lab("ls")
    moved = clone.base / "moved"
    clone.root.rename(moved)
    assert clone.lab("ls", path=moved / "lab").rc == 0
    assert sum(line.startswith("pip") for line in clone.log()) == 2


def test_failing_pip_names_what_mends(clone: Clone) -> None:
    result = clone.lab("up", STANDIN_PIP_FAILS="1")
    assert result.rc == 69
    assert "no matching distribution" in result.stderr
    assert "PIP_INDEX_URL" in result.stderr
    assert f"Mend: {clone.root}/lab up" in result.stderr


def test_another_folder_for_the_environment(clone: Clone) -> None:
    assert clone.lab("ls", LABCTL_VENV="some where", cwd=clone.base).rc == 0
    assert (clone.base / "some where/bin/labctl").exists()
    assert not clone.venv.exists()


def test_a_folder_of_the_users_is_not_emptied(clone: Clone) -> None:
    precious = clone.base / "home" / "precious"
    precious.parent.mkdir()
    precious.touch()
    result = clone.lab("ls", LABCTL_VENV=str(precious.parent))
    assert result.rc == 2
    assert precious.exists()


def test_no_python_without_leave_to_install(clone: Clone) -> None:
    clone.put("python3", "exit 1")
    result = clone.lab("ls", LABCTL_NO_INSTALL="1", LABCTL_PYTHON="/nonexistent")
    assert result.rc == 69
    assert "Python 3.11" in result.stderr


def test_the_python_named_is_taken(clone: Clone) -> None:
    clone.put("my-python", PYTHON)
    clone.put("python3", "exit 1")
    assert clone.lab("ls", LABCTL_PYTHON=str(clone.bin / "my-python")).stdout == "labctl[ls]"


# ---- becoming root -------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["sudo", "doas", "pkexec"])
def test_becomes_root_with_settings_and_words(clone: Clone, by: str) -> None:
    clone.put("id", "echo 1000")
    # As the real ones do: the settings are gone, unless they stand on the command line.
    clone.put(
        by, f'echo 0 >"{clone.base}/uid"; unset LABCTL_STATE PIP_INDEX_URL LANG LC_ALL; cd /; exec "$@"'
    )
    clone.put("id", f'cat "{clone.base}/uid" 2>/dev/null || echo 1000')
    tell = 'printf "%s\\n" "$PWD" "$LABCTL_STATE" "$PIP_INDEX_URL" "$LANG" "$@"'
    clone.lab("--version")
    (clone.venv / "bin/labctl").write_text(f"#!/bin/sh\n{tell}\n")
    result = clone.lab(
        "up",
        "a b",
        cwd=clone.base,
        LABCTL_STATE="/var/x y$",
        PIP_INDEX_URL="https://index.example/it's",
        LANG="ko_KR.UTF-8",
    )
    assert result.stdout.splitlines() == [
        str(clone.base), "/var/x y$", "https://index.example/it's", "ko_KR.UTF-8", "up", "a b",
    ]  # fmt: skip
    assert f"going on by {by}" in result.stderr


def test_no_way_to_root_is_77(clone: Clone) -> None:
    clone.put("id", "echo 1000")
    result = clone.lab("up")
    assert result.rc == 77
    assert "sudo, doas or pkexec" in result.stderr
    assert clone.log() == []


@pytest.mark.parametrize("words", [(), ("--version",), ("up", "--help"), ("completion", "bash")])
def test_being_told_something_needs_no_root(clone: Clone, words: tuple[str, ...]) -> None:
    clone.put("id", "echo 1000")
    assert clone.lab(*words).rc == 0


def test_an_environment_of_roots_is_mended_by_root(clone: Clone) -> None:
    if os.geteuid() == 0:  # root may write anywhere: a path under a file is one that it cannot
        (clone.base / "file").touch()
        venv = clone.base / "file" / "venv"
    else:
        clone.venv.mkdir(mode=0o500)
        venv = clone.venv
    clone.put("id", "echo 1000")
    result = clone.lab("--version", LABCTL_VENV=str(venv))
    assert result.rc == 77
    assert "needs root" in result.stderr


def test_a_nodes_option_is_not_ours(clone: Clone) -> None:
    clone.put("id", "echo 1000")
    assert clone.lab("exec", "node1", "--", "ls", "--help").rc == 77


# ---- host packages ---------------------------------------------------------------------------


def lacking(clone: Clone, program: str, **stand_in: str) -> None:
    """Take a program away (the real one too: sbin folders are searched) and note what apt-get is told."""
    table = clone.root / "labctl/host/packages.txt"
    table.write_text(table.read_text().replace(f"up      {program} ", f"up      {program}-stand-in ", 1))
    (clone.bin / program).unlink()
    for name, script in stand_in.items():
        clone.put(name.replace("_", "-"), script)


def apt_get(clone: Clone, *, installs: str = "", knows: bool = True) -> str:
    lists = clone.base / "lists"
    if knows:
        lists.touch()
    return f"""
case "$*" in
    *update*) echo "apt update" >>"$STANDIN_LOG"; : >"{lists}" ;;
    *--dry-run*) [ -e "{lists}" ] ;;
    *install*) echo "apt $DEBIAN_FRONTEND $*" >>"$STANDIN_LOG"
        [ -z "{installs}" ] || cp "{clone.bin}/ip" "{clone.bin}/{installs}" ;;
esac"""


@pytest.fixture
def only_apt(clone: Clone) -> Clone:
    for other in ("dnf", "zypper", "pacman"):
        if shutil.which(other):
            pytest.skip(f"this host has {other}: the launcher would take that one")
    return clone


def test_installs_what_is_missing_and_says_so(only_apt: Clone) -> None:
    lacking(only_apt, "podman", apt_get=apt_get(only_apt, installs="podman-stand-in"))
    result = only_apt.lab("up")
    assert result.stdout == "labctl[up]"
    assert "podman-stand-in (runs the containers)" in result.stderr
    (call,) = [line for line in only_apt.log() if line.startswith("apt")]
    assert call.startswith("apt noninteractive -y --no-install-recommends")
    assert call.endswith("install podman")
    assert call.removeprefix("apt noninteractive ") in result.stderr


def test_fetches_the_lists_only_when_they_do_not_know(only_apt: Clone) -> None:
    lacking(only_apt, "podman", apt_get=apt_get(only_apt, installs="podman-stand-in", knows=False))
    only_apt.lab("up")
    calls = [line.split()[1] for line in only_apt.log() if line.startswith("apt")]
    assert calls == ["update", "noninteractive"]


def test_still_missing_is_69_with_the_command(only_apt: Clone) -> None:
    lacking(only_apt, "podman", apt_get=apt_get(only_apt))
    result = only_apt.lab("up")
    assert result.rc == 69
    assert result.stdout == ""
    assert "Mend: apt-get -y" in result.stderr


@pytest.mark.parametrize("words", [("up", "--dry-run"), ("up", "--help"), ("down",), ("ls",), ("doctor",)])
def test_only_what_makes_a_lab_installs(only_apt: Clone, words: tuple[str, ...]) -> None:
    lacking(only_apt, "podman", apt_get=apt_get(only_apt))
    assert only_apt.lab(*words).rc == 0
    assert [line for line in only_apt.log() if line.startswith("apt")] == []


def test_no_install_only_says(only_apt: Clone) -> None:
    lacking(only_apt, "podman", apt_get=apt_get(only_apt))
    result = only_apt.lab("up", LABCTL_NO_INSTALL="1")
    assert result.rc == 69
    assert [line for line in only_apt.log() if line.startswith("apt")] == []


def lacking_machines(clone: Clone) -> None:
    """One row of the group vm, met by a file that lies elsewhere in each distribution, and not here."""
    table = clone.root / "labctl/host/packages.txt"
    rows = [line for line in table.read_text().splitlines() if not line.startswith("vm ")]
    pattern = f"/nonexistent/*|{clone.base}/site*/machines.?y"
    table.write_text("\n".join([*rows, f"vm {pattern} vm-package - - - runs machines", ""]))
    (clone.base / "site-12").mkdir()
    clone.put(
        "apt-get",
        f"""case "$*" in
        *--dry-run*) ;;
        *install*) echo "apt $*" >>"$STANDIN_LOG"; : >"{clone.base}/site-12/machines.py" ;;
    esac""",
    )


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        (("up", "--mode", "vm"), ""),
        (("--mode", "vm", "up"), ""),
        (("up", "--mode=vm"), ""),
        (("build", "--lab", "x", "--mode=vm"), ""),
        (("up", "--mode", "container", "--mode", "vm"), "container"),
        (("up",), "vm"),
    ],
)
def test_machines_programs_are_installed_when_asked_for(
    only_apt: Clone, words: tuple[str, ...], mode: str
) -> None:
    lacking_machines(only_apt)
    result = only_apt.lab(*words, LABCTL_MODE=mode)
    assert result.rc == 0
    assert [line.split()[-1] for line in only_apt.log() if line.startswith("apt")] == ["vm-package"]
    only_apt.lab(*words, LABCTL_MODE=mode)  # and the file that is there now counts
    assert sum(line.startswith("apt") for line in only_apt.log()) == 1


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        (("up",), ""),
        (("up", "--mode", "container"), "vm"),
        (("up", "--dry-run", "--mode", "vm"), ""),
        (("up", "--lab", "vm"), ""),
        (("exec", "node1", "--", "up", "--mode", "vm"), ""),
        (("down", "--mode", "vm"), "vm"),
    ],
)
def test_nobody_else_gets_them(only_apt: Clone, words: tuple[str, ...], mode: str) -> None:
    lacking_machines(only_apt)
    assert only_apt.lab(*words, LABCTL_MODE=mode).rc == 0
    assert [line for line in only_apt.log() if line.startswith("apt")] == []


def test_no_machines_without_their_programs(only_apt: Clone) -> None:
    lacking_machines(only_apt)
    result = only_apt.lab("up", "--mode", "vm", LABCTL_NO_INSTALL="1")
    assert result.rc == 69
    assert "runs machines" in result.stderr
    assert "install vm-package" in result.stderr


# ---- ./lab test --------------------------------------------------------------------------------


def test_lab_test_gets_what_its_tests_need(only_apt: Clone) -> None:
    lacking_machines(only_apt)
    only_apt.lab("test")
    (call,) = [line for line in only_apt.log() if line.startswith("apt")]
    assert "vm-package" in call.split()


@pytest.mark.parametrize("code", ["0", "1", "5"])
def test_lab_test_runs_all_and_returns_pytests_code(only_apt: Clone, code: str) -> None:
    only_apt.put("apt-get", "exit 0")
    result = only_apt.lab("test", "-k", "a b", STANDIN_PYTEST_RC=code)
    assert result.rc == int(code)
    log = only_apt.log()
    assert log[1].startswith("pip")
    assert log[1].endswith(".[dev]")
    assert [line for line in log if line.split()[0] in {"ruff", "mypy", "-m"}] == [
        "ruff check .", "mypy --strict", "-m pytest -k a b",
    ]  # fmt: skip


def test_a_lint_error_fails_lab_test_but_pytest_runs(only_apt: Clone) -> None:
    only_apt.put("apt-get", "exit 0")
    only_apt.lab("test")
    (only_apt.venv / "bin/mypy").write_text("#!/bin/sh\nexit 1\n")
    result = only_apt.lab("test")
    assert result.rc == 1
    assert sum("-m pytest" in line for line in only_apt.log()) == 2


def test_tests_stay_possible_after_another_command(only_apt: Clone) -> None:
    only_apt.put("apt-get", "exit 0")
    only_apt.lab("test")
    only_apt.lab("ls")
    only_apt.lab("test")
    assert sum(line.startswith("pip") for line in only_apt.log()) == 1
