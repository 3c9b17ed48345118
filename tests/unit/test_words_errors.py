"""What errors of the course and silent nodes say has Korean, and the tables say nothing else."""

import ast
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from labctl.course.knock import SLOW
from labctl.errors import ActionFailed, Busy, HostLacks, UsageError
from labctl.image.failure import Watch
from labctl.lab.load import load_lab
from labctl.probe.facts import ProbeFailure
from labctl.probe.gather import NOT_ON, gather
from labctl.run import Result
from labctl.words.errors import ERRORS, REASONS, reword, reworded
from labctl.words.lab import HOLDERS, in_words
from labctl.words.lang import HANGUL
from tests.fakes.engine import FakeEngine
from tests.unit.test_words_lab import text_of

LABCTL = Path(__file__).parents[2] / "labctl"
# Whose errors a learner meets, and the functions that do the same for every command.
RAISERS = [
    path
    for folder in ("course", "cli", "lab")
    for path in sorted((LABCTL / folder).glob("*.py"))
    if not path.name.endswith(("_words.py", "_errors.py"))
] + [
    LABCTL / f"{name}.py"
    for name in ("host/packages", "image/base", "image/build", "image/failure", "image/store")
]
SHARED = {"wait.py": {"wait_until"}, "bubble/forward.py": {"listen"}, "run.py": {"_no_program"}}
RAISED = frozenset(
    {"UsageError", "ActionFailed", "BadFile", "NotPermitted", "Busy", "HostLacks", "TimedOut", "BuildFailed",
     "LabError"}
)  # fmt: skip
# What is put together of values, as it may come out.
PUT_TOGETHER = {
    "The course has {}: {}": ["The course has a mistake: x", "The course has 2 mistakes: x"],
    "There is no room left on the disk{}.": [
        "There is no room left on the disk.",
        "There is no room left on the disk (/x).",
    ],
    "The file system is read-only{}.": ["The file system is read-only (/x)."],
    "{}{}.": ["Permission denied.", "Operation not permitted (/x)."],
    "There is no {} {}{}.": ["There is no node 'x'.", "There is no network 'x' (did you mean y?)."],
    "There is no room for {}.": [
        "There is no room for snapshot x.",
        "There is no room for restoring snapshot x beside what the lab holds now.",
    ],
    "{} of 127.0.0.1 is taken ({}).": [
        "Port 1 of 127.0.0.1 is taken (x).",
        "Every port from 1 to 2 of 127.0.0.1 is taken (x).",
    ],
    "{}labctl logs {}{}": ["labctl logs x", "labctl exec x   or: labctl logs x"],
    "The {} image's build failed{}{}.": [
        f"The x image's build failed{where}{which}."
        for where in ("", " in package group x")
        for which in ("", ": x cannot be installed")
    ],
    "Last seen: {}": ["Last seen: no node answers"],
}
# A command alone needs no translation; "command   (or words)" and sentences do.
COMMAND = re.compile(r"(sudo )?(labctl|LABCTL_\w+=|--lang|ss|mv) ?[^,]*", re.DOTALL)
PROSE = re.compile(r"   \(| or |, then|; ")


def trees() -> list[ast.AST]:
    """The source of what raises errors that a learner meets."""
    found: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8")) for path in RAISERS]
    for name, functions in SHARED.items():
        tree = ast.parse((LABCTL / name).read_text(encoding="utf-8"))
        found += [
            node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in functions
        ]
    return found


ERRORS_MADE = [
    call
    for tree in trees()
    for call in ast.walk(tree)
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in RAISED
]


def texts(made: Iterable[ast.expr]) -> list[str]:
    """The strings among these expressions, both of a conditional one; as they may come out."""
    found: set[str] = set()
    for value in made:
        for one in (value.body, value.orelse) if isinstance(value, ast.IfExp) else (value,):
            if text := text_of(one):
                found.update(PUT_TOGETHER.get(text, [text]))
    return sorted(found)


MESSAGES = texts(call.args[0] for call in ERRORS_MADE if call.args)
BESIDE = texts(
    word.value for call in ERRORS_MADE for word in call.keywords if word.arg in ("details", "mend")
)
# What is only a value, or a file and what is wrong in it.
BESIDE_PROSE = [
    text for text in BESIDE if re.search(r"[a-z]{3} [a-z]", text) and text not in ("{}: {}", "{}\n{}")
]


def test_the_source_was_read() -> None:
    assert "No exercise is under way in lab {}." in MESSAGES
    assert "Lab {} is held by {}." in MESSAGES
    assert "Waited {} s for {}, in vain." in MESSAGES
    assert "free some room on the host, then: labctl up --lab {}" in BESIDE_PROSE
    assert len(MESSAGES) > 80


@pytest.mark.parametrize("message", MESSAGES)
def test_every_error_that_a_learner_meets_has_korean(message: str) -> None:
    korean = reworded("ko", message.replace("{}", "x"))
    assert HANGUL.search(korean), message
    assert reworded("en", message) == message


@pytest.mark.parametrize("text", BESIDE_PROSE)
def test_what_stands_beside_an_error_has_korean(text: str) -> None:
    if COMMAND.fullmatch(text) and not PROSE.search(text):
        return
    assert HANGUL.search(reworded("ko", text.replace("{}", "x"))), text


@pytest.mark.parametrize("reason", [*NOT_ON.values(), SLOW])
def test_every_reason_has_korean(reason: str) -> None:
    assert HANGUL.search(reworded("ko", reason))


@pytest.mark.parametrize(
    "answer",
    [Result((), 1, "", "broken"), Result((), 124, "", ""), Result((), 0, "no json", ""), ActionFailed("x")],
    ids=["failed", "slow", "nonsense", "no-way-in"],
)
def test_whatever_a_probe_ends_with_has_korean(answer: Result | ActionFailed) -> None:
    engine = FakeEngine(on=["node1"])

    def probe(*_: object) -> Result:
        if isinstance(answer, ActionFailed):
            raise answer
        return answer

    engine.script(["python3", "-I"], probe)
    failure = gather(engine, load_lab("spike", environment={}), ["node1"], timeout=8)["node1"]
    assert isinstance(failure, ProbeFailure)
    assert HANGUL.search(reworded("ko", failure.reason)), failure.reason


# Typer's and Python's own words, and what a command gives a function that raises.
OTHERS_WORDS = (
    "No such ", "Missing ", "Got unexpected", "Option {name}", "Invalid value", "Permission denied",
    "Operation not permitted", "There is no node", "There is no network", "Port {port}", "Every port",
)  # fmt: skip


def test_nothing_in_the_table_of_errors_is_said_no_more() -> None:
    files = [*RAISERS, *(LABCTL / name for name in SHARED)]
    source = "\n".join([*(path.read_text(encoding="utf-8") for path in files), *MESSAGES, *BESIDE])
    # "The course has …" is put together: a mistake, or several.
    for english in (words for words in ERRORS if not words.startswith(("The course has", *OTHERS_WORDS))):
        for piece in re.split(r"{\w+}|, |\n", english):
            assert piece.strip(" .:()?") in source, english


@pytest.mark.parametrize("table", [ERRORS, REASONS, HOLDERS], ids=["errors", "reasons", "holders"])
def test_korean_names_the_same_values(table: dict[str, str]) -> None:
    for english, korean in table.items():
        assert set(re.findall(r"{(\w+)}", english)) == set(re.findall(r"{(\w+)}", korean)), english
        assert HANGUL.search(korean), english


def test_the_near_word_is_told_in_korean() -> None:
    assert reworded("ko", "There is no exercise 'nmaes' (did you mean names?).") == (
        "'nmaes' 실습이 없습니다. 혹시 names인가요?"
    )
    assert reworded("ko", "There is no exercise 'x'.") == "'x' 실습이 없습니다."


def test_what_a_program_says_stays_as_it_is() -> None:
    assert reworded("ko", "The lab's podman service does not answer.") == (
        "The lab's podman service does not answer."
    )


def test_an_error_is_told_whole_and_its_command_stays() -> None:
    error = UsageError("There is no lab 'x'.", mend="labctl up --lab x   (labctl ls shows the labs)")
    reword(error, "ko")
    assert error.message == "'x' 랩이 없습니다."
    assert error.mend.startswith("labctl up --lab x   (labctl ls")
    assert HANGUL.search(error.mend)


def test_whoever_holds_the_lab_is_told_in_korean() -> None:
    held = "`labctl up --lab x` (process 7, for 0:03 min)"
    assert in_words("ko", f"waiting for {held} to finish with lab x").startswith(
        "x 랩에서 `labctl up --lab x`("
    )
    error = Busy("Lab x is held by another labctl.")
    reword(error, "ko")
    assert error.message == "x 랩은 다른 labctl이(가) 사용하고 있습니다."


@pytest.mark.parametrize(
    "details",
    [
        "pull: no such host",
        "pull: no such host\nfrom packages: mmdebstrap is not installed (LABCTL_NO_INSTALL is set.)",
        "pull: no such host\nfrom packages: mmdebstrap could not make the base of Debian 12.\nE: no mirror",
        "pull: no such host\nfrom packages: mmdebstrap did not end within 900 s.\nlast line",
    ],
)
def test_why_there_is_no_base_image_is_told_in_korean(details: str) -> None:
    error = HostLacks("The base image x cannot be had.", details=details)
    reword(error, "ko")
    assert error.message == "기본 이미지 x을(를) 구할 수 없습니다."
    assert error.details.startswith("이미지 받기: no such host")
    assert not re.search(r"is set|could not|installed", error.details)


def test_a_build_that_failed_is_told_with_the_place() -> None:
    watch = Watch()
    for line in ("labctl: group cluster: 3 packages", "E: Unable to locate package pcs"):
        watch.line(line)
    error = watch.error("debian")
    reword(error, "ko")
    assert error.message == (
        "debian 이미지를 만들지 못했습니다(패키지 그룹 cluster). 설치할 수 없는 패키지: pcs."
    )
    assert error.mend.startswith("images/debian/packages/cluster.txt 또는 미러를 고친 뒤 labctl build")
    assert error.details.endswith("E: Unable to locate package pcs"), "what apt says stays"
