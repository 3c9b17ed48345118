"""`labctl exec` in a virtual machine, by ssh or by its guest agent; the target's logs and console."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from labctl.cli import inside, logs
from labctl.cli.main import run
from labctl.errors import FAILED, OK, USAGE
from labctl.lab import bubble as lab_bubble
from labctl.lab.load import load_lab
from labctl.places import LabPlaces
from labctl.run import Result
from tests.fakes.engine import FakeEngine


class Programs:
    """Plays labctl.run. ssh: whether the machine lets anybody in; shared: a connection is there already."""

    def __init__(self, *, ssh: bool, shared: bool = False) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.attached: list[tuple[str, ...]] = []
        self._ssh, self._shared = ssh, shared
        self.says, self.ends = "", 7

    def run(self, argv: Sequence[str], **_: object) -> Result:
        self.asked.append(tuple(argv))
        good = self._shared if "check" in argv else self._ssh
        return Result(tuple(argv), 0 if good else 255, self.says, "")

    def attach(self, argv: Sequence[str], **_: object) -> int:
        self.attached.append(tuple(argv))
        return self.ends


class Input(io.StringIO):
    """stdin or stdout. terminal: whether it is one."""

    def __init__(self, text: str = "", *, terminal: bool = False) -> None:
        super().__init__(text)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


class Bubble:
    def enter(self, *_: str) -> list[str]:
        return ["enter"]


@pytest.fixture
def engine() -> FakeEngine:
    fake = FakeEngine(on=["node1", "target"])
    fake.script(["cat"], lambda argv, given: Result(argv, 3, f"out {given}", "err"))
    return fake


@pytest.fixture(params=["vm"])
def lab(
    request: pytest.FixtureRequest, engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = LabPlaces("default", tmp_path)
    found = load_lab("default", nodes=2, environment={}).with_mode(request.param)
    monkeypatch.setattr(logs, "require_lab", lambda _: places)
    for module in (inside, logs):
        monkeypatch.setattr(module, "require_root", lambda _: None)
        monkeypatch.setattr(module, "require_running", lambda _: (places, Bubble()))
        monkeypatch.setattr(module, "known_lab", lambda _: found)
    monkeypatch.setattr(lab_bubble, "engine", lambda *_: engine)


def programs(monkeypatch: pytest.MonkeyPatch, **words: bool) -> Programs:
    played = Programs(**words)
    monkeypatch.setattr(inside, "run", played)
    return played


def terminal(monkeypatch: pytest.MonkeyPatch, *, stdin: Any) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr(sys.stdout, "isatty", stdin.isatty)


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("shared", [True, False])
def test_a_machine_is_entered_by_ssh(
    monkeypatch: pytest.MonkeyPatch, engine: FakeEngine, shared: bool
) -> None:
    played = programs(monkeypatch, ssh=True, shared=shared)
    assert run(["exec", "node1", "--", "cat", "a b"]) == 7
    assert len(played.asked) == (1 if shared else 2)
    [words] = played.attached
    assert words[-1] == "cat 'a b'"
    assert engine.called("run") == []


@pytest.mark.usefixtures("lab")
def test_without_ssh_the_guest_agent_does_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    programs(monkeypatch, ssh=False)
    terminal(monkeypatch, stdin=Input("given"))
    assert run(["exec", "node1", "--", "cat"]) == 3
    told = capsys.readouterr()
    assert told.out == "out given"
    assert told.err.endswith("err")
    assert "guest agent" in told.err


@pytest.mark.usefixtures("lab")
def test_without_ssh_a_terminal_gets_one_command_but_no_shell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    programs(monkeypatch, ssh=False)
    terminal(monkeypatch, stdin=Input(terminal=True))
    assert run(["exec", "node1", "--", "cat"]) == 3
    assert capsys.readouterr().out == "out None"
    assert run(["exec", "node1"]) == FAILED
    assert "labctl console node1" in capsys.readouterr().err


@pytest.mark.usefixtures("lab")
def test_where_ssh_does_not_get_in_exec_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    played = programs(monkeypatch, ssh=True)
    monkeypatch.setattr("labctl.cluster.secrets.ssh_key_file", lambda _: tmp_path / "key")
    assert run(["ssh", "node1"]) == 7
    assert "exec" not in capsys.readouterr().err
    played.ends = 255
    assert run(["ssh", "node1"]) == 255
    assert "labctl exec node1" in capsys.readouterr().err


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("lab", ["container"], indirect=True)
@pytest.mark.parametrize(("running", "told"), [("false", True), ("true", False)])
def test_a_container_that_is_off_is_told_how_to_be_switched_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], running: str, told: bool
) -> None:
    played = programs(monkeypatch, ssh=True)
    played.says, played.ends = running, 125
    assert run(["exec", "node1", "--", "true"]) == 125
    assert ("labctl up" in capsys.readouterr().err) is told


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("lab", ["container"], indirect=True)
def test_files_of_a_container_are_copied_by_podman(monkeypatch: pytest.MonkeyPatch) -> None:
    played = programs(monkeypatch, ssh=False)
    assert run(["cp", "node1:/etc/hosts", "x"]) == 7
    assert played.attached[0][-3:] == ("cp", "node1:/etc/hosts", "x")


@pytest.mark.usefixtures("lab")
def test_files_of_a_machine_are_copied_by_scp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    played = programs(monkeypatch, ssh=True)
    monkeypatch.setattr("labctl.cluster.secrets.ssh_key_file", lambda _: tmp_path / "key")
    assert run(["cp", "node1:/etc/hosts", "node2:/tmp/x"]) == 7
    assert played.attached[0][-2:] == ("root@192.168.90.110:/etc/hosts", "root@192.168.90.120:/tmp/x")


@pytest.mark.usefixtures("lab")
def test_the_target_has_a_console_and_logs(
    monkeypatch: pytest.MonkeyPatch, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    played = programs(monkeypatch, ssh=False)
    assert run(["console", "target"]) == 7
    assert played.attached[0][-1] == "target"
    engine.script(["journalctl"], Result((), 0, "its journal", ""), node="target")
    assert run(["logs", "target"]) == OK
    assert "its journal" in capsys.readouterr().out
    assert run(["logs", "target", "--follow"]) == USAGE


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("lab", ["container"], indirect=True)
def test_a_targets_container_has_no_console(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    programs(monkeypatch, ssh=False)
    assert run(["console", "target"]) == USAGE
    assert "labctl logs target" in capsys.readouterr().err
    assert run(["logs", "target"]) == OK
    assert run(["console", "targett"]) == USAGE
