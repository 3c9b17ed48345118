"""What errors of the course and silent nodes say has Korean, and the tables say nothing else."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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
from labctl.words.lab import HOLDERS, LACKS, in_words
from labctl.words.lang import HANGUL
from labctl.words.machines import EMULATED, FORMS, TRIALS, UNFIT
from tests.fakes.engine import FakeEngine
from tests.unit.test_words_lab import text_of

LABCTL = Path(__file__).parents[2] / "labctl"
# Not read: programs in nodes, which speak as those that they stand for; BMCs, which answer ipmitool.
RAISERS = [
    path
    for path in sorted(LABCTL.rglob("*.py"))
    if not {"innode", "words"} & set(path.relative_to(LABCTL).parts)
    and not path.name.endswith(("_words.py", "_errors.py"))
]
RAISED = frozenset(
    {"UsageError", "ActionFailed", "BadFile", "NotPermitted", "Busy", "HostLacks", "TimedOut", "BuildFailed",
     "LabError", "CommandFailed"}
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
        "There is no room for what the machines of x hold in memory.",
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
    "correct images/{}/packages/{}.txt or the mirror, then {}": [
        "correct images/x/packages/x.txt or the mirror, then labctl build (goes on at the group that failed)"
    ],
    "The BMC of {} cannot listen on {}: {}.": ["The BMC of x cannot listen on UDP port 1 of x: x."],
    "{} is no disk image: it is {}.": [f"x is no disk image: it is {form}." for form in FORMS],
    "{} {}, so it is not taken.": [
        f"x {why}, so it is not taken."
        for why in ("lies upon another image", "keeps its data in another file", "is encrypted",
                    "is marked as damaged")
    ],
    "KVM: {}\nemulation: {}": [
        f"KVM: {why}\nemulation: {trial}".replace("{trial}", trial) for why in EMULATED for trial in TRIALS
    ],
    "The image cannot be a node: {}.": [f"The image cannot be a node: {why}." for why in UNFIT],
    "The storage driver {} cannot run here: {}.": [
        f"The storage driver x cannot run here: {lack}." for lack in LACKS
    ],
    "The machines of lab {} cannot be ended: {}": [
        "The machines of lab x cannot be ended: No libvirt answers at x."
    ],
}  # fmt: skip
# A command alone needs no translation; "command   (or words)" and sentences do.
COMMAND = re.compile(r"(sudo )?(labctl|LABCTL_\w+=|--lang|ss|mv) ?[^,]*", re.DOTALL)
PROSE = re.compile(r"   \(| or |, then|; ")


@dataclass(frozen=True)
class Source:
    """A module that raises: its strings and calls, and what its names are given (mend = "…")."""

    texts: list[str]
    calls: list[ast.Call]
    given: dict[str, list[ast.expr]]

    def expressions(self, value: ast.expr) -> Iterator[ast.expr]:
        """What this may come out as: both of a conditional one, each value of a name or a table."""
        if isinstance(value, ast.IfExp):
            yield from (*self.expressions(value.body), *self.expressions(value.orelse))
        elif isinstance(value, ast.BoolOp):
            yield from (one for each in value.values for one in self.expressions(each))
        elif isinstance(value, ast.Dict):
            yield from value.values
        elif isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
            yield from self.expressions(value.func.value)
        elif isinstance(value, ast.Name):
            for one in self.given.get(value.id, []):
                yield from self.expressions(one)
        else:
            yield value


def source(path: Path) -> Source:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    given: dict[str, list[ast.expr]] = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            given.setdefault(node.targets[0].id, []).append(node.value)
    texts = [text for node in nodes if isinstance(node, ast.expr) and (text := text_of(node))]
    return Source(texts, [node for node in nodes if isinstance(node, ast.Call)], given)


SOURCES = [source(path) for path in RAISERS]
ERRORS_MADE = [
    (each, call) for each in SOURCES for call in each.calls if getattr(call.func, "id", "") in RAISED
]
# What labctl.engine.libvirt says before libvirt's own words: `with self._errors("…")`.
LIBVIRTS = [
    f"{text}."
    for each in SOURCES
    for call in each.calls
    if getattr(call.func, "attr", "") in ("_errors", "_failed") and (text := text_of(call.args[0]))
]


def texts(made: Iterable[tuple[Source, ast.expr]]) -> list[str]:
    """The strings among these expressions, as they may come out."""
    found: set[str] = set()
    for where, value in made:
        for one in where.expressions(value):
            if text := text_of(one):
                found.update(PUT_TOGETHER.get(text, [text]))
    return sorted(found)


# A sentence that is a name alone ("{}.") is one of LIBVIRTS.
MESSAGES = sorted(
    {*texts((each, call.args[0]) for each, call in ERRORS_MADE if call.args), *LIBVIRTS} - {"{}."}
)
BESIDE = texts(
    (each, word.value)
    for each, call in ERRORS_MADE
    for word in call.keywords
    if word.arg in ("details", "mend")
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
    assert "libvirt refused to start {}." in MESSAGES
    assert "{} did not end within {} s." in MESSAGES
    assert "use another image, or another --family" in BESIDE_PROSE
    assert len(MESSAGES) > 200


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
    written = (path.read_text(encoding="utf-8") for path in RAISERS)
    put = (text for each in SOURCES for text in each.texts)  # as one, where the source has it in pieces
    said = "\n".join([*written, *put, *MESSAGES, *BESIDE])
    # "The course has …" is put together: a mistake, or several.
    for english in (words for words in ERRORS if not words.startswith(("The course has", *OTHERS_WORDS))):
        for piece in re.split(r"{\w+}|, |\n", english):
            assert piece.strip(" .:()?") in said, english


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


def test_errors_among_details_are_told_and_what_programs_say_is_not() -> None:
    silent = ActionFailed("node1 does not answer.", details="$ pcs status\npcs failed.", mend="try again")
    error = ActionFailed("2 nodes failed.", details=f"{silent}\nPermission denied.")
    reword(error, "ko")
    assert error.message == "노드 2개에서 실패했습니다."
    assert error.details.splitlines() == [
        "node1이(가) 응답하지 않습니다.", "$ pcs status", "pcs failed.", "해결: 다시 실행하세요",
        "Permission denied.",
    ]  # fmt: skip


def test_what_a_host_lacks_is_told_line_by_line() -> None:
    error = HostLacks(
        "The storage driver lio cannot run here.",
        details="labctl is not root\nthe kernel has no target_core_mod",
        mend="run ./lab or use sudo",
    )
    reword(error, "ko")
    assert error.details.splitlines() == [LACKS["labctl is not root"], "커널에 target_core_mod 없음"]


def test_a_program_is_one_word() -> None:
    assert reworded("ko", "podman failed.") == "podman 실행에 실패했습니다."
    said = "$ podman start node1\nexit code 1\nError: the start failed."
    assert reworded("ko", said) == said


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
