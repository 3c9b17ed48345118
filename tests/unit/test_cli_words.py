"""What a learner's commands show comes out of the catalogue, in their language; JSON stays as it is."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from labctl import console
from labctl.cli import host, look, tongue
from labctl.cli.main import app, how_to_go_on, run
from labctl.course import progress
from labctl.errors import ActionFailed
from labctl.image import build
from labctl.lab import capture
from labctl.lab import snapshot as snapshots
from labctl.places import LabPlaces, lab_places
from labctl.words.help import HELP
from labctl.words.lang import HANGUL
from tests.unit.test_words_lab import name_of

CLI = Path(__file__).parents[2] / "labctl/cli"
MODULES = sorted(CLI.glob("*.py"))
SHOWN = {"line", "heading", "note", "warning", "bug", "table", "Steps"}


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No lab, and the language of a learner in Korea; English again at the end."""
    monkeypatch.setenv("LABCTL_STATE", str(tmp_path / "state"))
    for name in ("LABCTL_LANG", "LABCTL_LAB", "LC_ALL", "LC_MESSAGES", "LABCTL_INVOKED_AS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "ko_KR.UTF-8")
    yield
    monkeypatch.setenv("LANG", "C.UTF-8")
    tongue.speak()


def literals(value: ast.AST) -> Iterator[str]:
    """The strings of an argument that are shown as they are: not what a function makes of its own."""
    if isinstance(value, ast.Call) and name_of(value) != "command":
        return
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    for child in ast.iter_child_nodes(value):
        yield from literals(child)


def shown() -> list[tuple[str, str]]:
    """Each string that a learner's command shows without asking the catalogue, and where."""
    found = []
    for path in MODULES:
        for function in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(function, ast.FunctionDef):
                continue
            for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
                of_console = (
                    isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "console"
                )
                if of_console and name_of(call) in SHOWN:
                    found += [(path.name, text) for argument in call.args for text in literals(argument)]
    return found


def test_no_command_of_a_learner_shows_a_sentence_that_is_not_in_the_catalogue() -> None:
    commands = re.compile(r"(, )?labctl ")
    words = [(name, text) for name, text in shown() if re.search(r"[A-Za-z]{2}", text)]
    assert [each for each in words if not commands.match(each[1])] == []


def test_the_test_above_sees_a_sentence() -> None:
    call = ast.parse('console.line(f"It is {state}." if x else say("key"))').body[0]
    assert "It is " in list(literals(call.value.args[0]))  # type: ignore[attr-defined]


# -- help ------------------------------------------------------------------------------------------


def helps() -> set[str]:
    """The help of every command and parameter of the app."""
    found: set[str] = set()

    def walk(command: Any) -> None:
        shown = [command, *command.params]
        found.update(inspect.cleandoc(each.help) for each in shown if each.help)
        found.update(each.show_default for each in shown if isinstance(getattr(each, "show_default", 0), str))
        for each in getattr(command, "commands", {}).values():
            walk(each)

    walk(typer.main.get_command(app))
    return found


def test_every_help_has_korean_and_no_other_has() -> None:
    assert helps() | {"Show this message and exit."} == set(HELP)
    for english, korean in HELP.items():
        assert HANGUL.search(korean) or korean == english


@pytest.mark.parametrize("words", [["--help"], ["up", "-h"], ["snapshot", "--help"], ["snapshot"]])
def test_help_is_korean(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(words)
    told = "".join(capsys.readouterr())
    for word in ("사용법: labctl", "옵션", "도움말"):
        assert word in told
    assert not re.search(r"Usage|Options|Commands|default:|env var", told)
    monkeypatch.setenv("LANG", "C.UTF-8")
    run(words)
    told = "".join(capsys.readouterr())
    assert "Usage: labctl" in told
    assert not HANGUL.search(told)


# -- as a learner sees it --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["status", "--lab", "none"],
        ["snapshot", "list"],
        ["snapshot", "restore", "x"],
        ["exec", "node1", "--", "true"],
        ["up", "--mode", "cloud"],
        ["upp"],
        ["up", "--nods", "3"],
        ["ssh"],
        ["forward"],
        ["up", "--lab", "Not a name"],
        ["up", "--nodes", "x"],
        ["up", "--nodes"],
        ["up", "--until", "x"],
        ["logs", "--lines", "0"],
        ["down", "too", "many"],
    ],
)
def test_an_error_is_korean_with_its_labels(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) != 0
    told = capsys.readouterr().err
    assert told.startswith("오류: ")
    assert HANGUL.search(told.splitlines()[0].removeprefix("오류: ")), told
    assert "\n해결: " in told
    assert not re.search(r"error:|mend:", told)


def test_down_without_a_lab(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["down"]) == 0
    assert capsys.readouterr().out == "default 랩이 없어 할 일이 없습니다.\n"
    assert run(["down", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed"] == []


def known_lab() -> LabPlaces:
    places = lab_places("default")
    places.logs.mkdir(parents=True)
    return places


def test_status_of_a_lab_that_is_off(capsys: pytest.CaptureFixture[str]) -> None:
    known_lab()
    assert run(["status"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("default 랩(")
    for word in ("노드", "서버", "클러스터", "주소", "꺼짐", "오프라인"):
        assert word in told
    assert not re.search(r"\b(off|offline|machine|addresses|stopped)\b", told)
    assert run(["status", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["state"] == "stopped"
    assert {node["state"] for node in document["nodes"]} == {"off"}


def test_the_language_that_was_asked_for_in_the_lab_goes_before_the_locales(
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = known_lab()
    progress.change(places, lambda now: now.model_copy(update={"lang": "en"}))
    assert run(["status"]) == 0
    assert capsys.readouterr().out.startswith("Lab default (")


def test_labctl_lang_goes_before_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known_lab()
    monkeypatch.setenv("LABCTL_LANG", "en")
    assert run(["status"]) == 0
    assert capsys.readouterr().out.startswith("Lab default (")
    assert run(["status", "--lab", "none"]) != 0
    assert capsys.readouterr().err.startswith("error: There is no lab")


def test_snapshots_are_listed_in_korean(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    places = known_lab()
    assert run(["snapshot", "list"]) == 0
    assert "labctl snapshot create" in capsys.readouterr().out
    one = snapshots.Snapshot(
        name="fresh", lab="default", created="2020-01-01T00:00:00+00:00", family="debian", image="i",
        images=(), nodes={"node1": "", "node2": ""}, until="all", storage="none", quorate=True, names=(),
        size=2**20, bytes=1, entries=1, note=capture.BY_UP,
    )  # fmt: skip
    monkeypatch.setattr(snapshots, "names", lambda _: ["fresh"])
    monkeypatch.setattr(snapshots, "load", lambda *_: one)
    assert run(["snapshot", "list"]) == 0
    told = capsys.readouterr().out
    for word in ("스냅샷", "경과", "크기", "노드 2개, 쿼럼 있음", "labctl up이 만듦"):
        assert word in told
    assert run(["snapshot", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["snapshots"][0]["note"] == "made by labctl up"
    assert places.root.is_dir()


def test_storage_is_told_in_korean() -> None:
    tongue.speak()
    storage: dict[str, Any] = {
        "driver": "userspace",
        "reason": "the kernel's own cannot be had: the host has no iscsiadm",
        "target": {"iqn": "iqn.x", "portal": "192.0.2.1:3260", "answers": True},
        "sessions": [{"node": "node1", "logged_in": True}, {"node": "node2", "logged_in": False}],
        "disks": [{"name": "data", "size": 2**30, "wwn": "", "nodes": []}],
    }
    lines = look._storage_lines({"storage": storage})
    assert all(HANGUL.search(line) for line in lines), lines
    assert "호스트에 iscsiadm 없음" in lines[1]


def test_what_the_lab_says_is_korean_with_its_stage(capsys: pytest.CaptureFixture[str]) -> None:
    tongue.speak()
    going = tongue.progress(console.Steps("labctl up"))
    with going.during("nodes"):
        going.say("node1: creating (it does not exist)")
        going.say("STEP 1/9: FROM scratch")  # what a program says stays
    told = capsys.readouterr().err.splitlines()
    assert told[0].endswith("노드: node1: 만드는 중입니다 (아직 없음)")
    assert told[1].endswith("STEP 1/9: FROM scratch")
    assert [name for name, _ in going.times] == ["nodes"], "what JSON tells of a stage is its name"


def test_what_interrupts_is_told_in_korean() -> None:
    tongue.speak()
    assert how_to_go_on(["up"]) == "중단했습니다. `labctl up`은 계속하고, `labctl down`은 정리합니다."
    assert how_to_go_on(["status"]) == "중단했습니다."


def test_an_error_of_a_wait_is_told_in_korean(capsys: pytest.CaptureFixture[str]) -> None:
    tongue.speak()
    last = "DC not elected, no quorum, not online: node1, fence devices not started: none"
    tongue.error(ActionFailed("Waited 90 s for the cluster to form, in vain.", details=f"Last seen: {last}"))
    told = capsys.readouterr().err
    assert "90초" in told
    assert "DC 선출되지 않음, 쿼럼 없음, 온라인이 아닌 노드: node1" in told


@pytest.mark.parametrize("rebuilt", [True, False])
def test_build_speaks_korean_and_what_podman_says_stays(
    rebuilt: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def built(*_: object, on_line: Callable[[str], None], **__: object) -> build.BuiltImage:
        on_line("Pulling localhost/base.")
        on_line("STEP 1/9: FROM base")
        return build.BuiltImage(
            tag="node:debian", id="1", family="debian", inputs="", base="pulled", packages={"pcs": "0.11"},
            empty_cib="", size=10**9, seconds=61.4, rebuilt=rebuilt,
        )  # fmt: skip

    monkeypatch.setattr(build, "build", built)
    monkeypatch.setattr(host, "require_root", lambda _: None)
    assert run(["build"]) == 0
    told = capsys.readouterr()
    assert "localhost/base을(를) 받는 중입니다" in told.err
    assert "STEP 1/9: FROM base" in told.err
    state = "61초 만에 만들었습니다" if rebuilt else "최신 상태입니다"
    assert told.out == f"node:debian: {state}. 1.00 GB, 패키지 1개\n  pcs 0.11\n"
    monkeypatch.setenv("LABCTL_LANG", "en")
    assert run(["build"]) == 0
    state = "built in 61 s" if rebuilt else "up to date"
    assert capsys.readouterr().out == f"node:debian: {state}, 1.00 GB, 1 packages\n  pcs 0.11\n"
