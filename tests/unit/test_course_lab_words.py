"""What the lab says is in the table of labctl.course.lab_words, and the table says nothing else."""

import ast
import re
from pathlib import Path

import pytest

from labctl.course.lab_words import LINES, REASONS, in_words
from labctl.course.text import HANGUL

LAB = Path(__file__).parents[2] / "labctl/lab"
# What the course's starts run through; machines.py speaks when a lab is made, which is no exercise's part.
SPEAKERS = ("apply", "capture", "lock", "memory", "restore", "snapshot", "starts", "up", "waits")


def text_of(node: ast.expr) -> str | None:
    """A string as it would be said, {} for each value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return None


def calls(module: str) -> list[ast.Call]:
    tree = ast.parse((LAB / f"{module}.py").read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


SAID = sorted(
    {
        text
        for module in SPEAKERS
        for call in calls(module)
        if name_of(call) in ("say", "on_wait") and call.args and (text := text_of(call.args[0]))
    }
)
BECAUSE = sorted(
    {
        text
        for call in calls("plan")
        if name_of(call) == "Action"
        for value in [*call.args[2:3], *(word.value for word in call.keywords if word.arg == "reason")]
        if (text := text_of(value))
    }
)


def bare(template: str) -> str:
    return re.sub(r"[{]\w*[}]", "{}", template)


def test_the_source_was_read() -> None:
    assert "waiting for the nodes to boot" in SAID
    assert "it is frozen" in BECAUSE


@pytest.mark.parametrize("said", SAID)
def test_every_line_of_the_lab_has_korean(said: str) -> None:
    korean = in_words("ko", said.replace("{}", "x"))
    assert HANGUL.search(korean)
    assert korean.count("x") >= said.count("{}") - 1, "what changes in a line is still in it"
    assert in_words("en", said) == said


def test_every_reason_has_korean() -> None:
    assert set(BECAUSE) == {bare(reason) for reason in REASONS}
    assert in_words("ko", "node1: creating (it does not exist)") == "node1: 만드는 중입니다 (아직 없음)"
    assert in_words("ko", "node1: creating") == "node1: 만드는 중입니다"


def test_nothing_in_the_table_is_said_no_more() -> None:
    said = {re.sub(r"[{}\s()]", "", bare(line)) for line in LINES}
    assert said == {re.sub(r"[{}\s()]", "", line) for line in SAID}


@pytest.mark.parametrize("table", [LINES, REASONS], ids=["lines", "reasons"])
def test_korean_names_the_same_values(table: dict[str, str]) -> None:
    for english, korean in table.items():
        assert set(re.findall(r"{(\w+)}", english)) == set(re.findall(r"{(\w+)}", korean)), english
        assert HANGUL.search(korean), english


def test_a_line_that_is_not_known_is_told_as_it_is() -> None:
    assert in_words("ko", "something new") == "something new"
