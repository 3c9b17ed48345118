"""Every line of ./lab has Korean, its table says nothing else, and it speaks the language asked for."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from labctl.run import run
from labctl.words.lang import HANGUL, from_locale
from labctl.words.packages import PURPOSES
from tests.unit import test_launcher
from tests.unit.test_launcher import ROOT, Clone, apt_get, lacking

clone, only_apt = test_launcher.clone, test_launcher.only_apt

TABLE = ROOT / "labctl/words/launcher.sh"
# What is put together, as it may come out.
PUT_TOGETHER = {
    '$("$python" -V)': "Python 3.12.0",
    "${extra:+ with what its tests need}": " with what its tests need",
}
# Commands that are run, or that mend: the same in both languages.
COMMANDS = {"$words $*", "$words $package", "apt-get update", "ruff check .", "mypy --strict", "pytest $*",
            "$(install_words) ${packages% }", "Mend: $mend", "Mend: $self $verb", "$line"}  # fmt: skip


def lines() -> set[str]:
    """What the launcher says, as it may come out; commands as they are written."""
    text = (ROOT / "lab").read_text(encoding="utf-8").replace("\\\n", " ")
    for written, comes_out in PUT_TOGETHER.items():
        text = text.replace(written, comes_out)
    said = re.findall(r"\b(?:say|die \d+|mend=)((?: *\"[^\"]*\")+)", text)
    found = {line for words in said for line in re.findall(r'"([^"]*)"', words)}
    return {line if line in COMMANDS else re.sub(r"\$(\w+|{[^}]*})", "<x>", line) for line in found}


SAID = sorted(lines() - COMMANDS)


def in_korean(function: str, *words: str) -> str:
    script = '. "$1" && shift && "$@"'
    told = run(["sh", "-c", script, "sh", TABLE, function, *words], timeout=20, env={"root": str(ROOT)})
    return told.stdout.rstrip("\n")


def test_the_launcher_was_read() -> None:
    assert "a lab needs root: going on by <x>." in SAID
    assert "Mend: install util-linux." in SAID
    assert "this host lacks:<x>" in SAID
    assert "install these programs with this distribution's package manager" in SAID
    assert len(SAID) > 30
    assert lines() >= COMMANDS


@pytest.mark.parametrize("said", SAID)
def test_every_line_of_the_launcher_has_korean(said: str) -> None:
    korean = in_korean("in_words", said)
    own = korean.removeprefix("해결: ")
    assert HANGUL.search(own), korean
    assert own.count("<x>") == said.count("<x>"), "what changes in a line is still in it"


@pytest.mark.parametrize("command", ["apt-get -y install podman", "a 'b' \\n \"c\"", "Mend: /x/lab up"])
def test_a_command_stays(command: str) -> None:
    assert in_korean("in_words", command).removeprefix("해결: ") == command.removeprefix("Mend: ")


def test_the_table_says_nothing_else() -> None:
    table = TABLE.read_text(encoding="utf-8")
    pieces = [
        piece
        for pattern in re.findall(r"^        ((?:\*?\"[^\"]*\"\*?)+)\)", table, re.MULTILINE)
        for piece in re.findall(r'"([^"]*)"', pattern)
    ]
    assert len(pieces) > 30
    said = "\n".join(SAID)
    assert [piece for piece in pieces if piece not in said] == []


@pytest.mark.parametrize("purpose", PURPOSES)
def test_what_programs_are_for_is_told_by_the_same_table(purpose: str) -> None:
    assert in_korean("purpose", purpose) == PURPOSES[purpose]


def test_a_purpose_that_is_not_known_is_told_as_it_is() -> None:
    assert in_korean("purpose", "something new") == "something new"


# ---- as it runs ----------------------------------------------------------------------------


@pytest.fixture
def whole(clone: Clone) -> Clone:
    """The clone with the words that the launcher reads."""
    for name in ("launcher.sh", "packages.py"):
        target = clone.root / "labctl/words" / name
        target.parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / "labctl/words" / name, target)
    return clone


LOCALES = [
    {"LC_ALL": "ko_KR.UTF-8"},
    {"LC_ALL": "", "LC_MESSAGES": "ko", "LANG": "C"},
    {"LC_ALL": "", "LC_MESSAGES": "", "LANG": "ko.UTF-8"},
    {"LC_ALL": "C", "LANG": "ko_KR.UTF-8"},
    {"LC_ALL": "", "LC_MESSAGES": "de_DE", "LANG": "ko_KR"},
    {"LC_ALL": "kok_IN"},
    {"LC_ALL": "", "LC_MESSAGES": "", "LANG": ""},
]


@pytest.mark.parametrize("locale", LOCALES)
def test_the_locale_chooses_as_it_does_for_labctl(whole: Clone, locale: dict[str, str]) -> None:
    whole.env.update(locale)
    said = whole.lab("ls").stderr
    assert bool(HANGUL.search(said)) == (from_locale(locale) == "ko")
    assert ("making" in said) == (from_locale(locale) == "en")


@pytest.mark.parametrize(
    ("words", "asked", "locale", "korean"),
    [
        (("ls",), "ko", "C", True),
        (("ls",), "en", "ko_KR.UTF-8", False),
        (("ls",), "xx", "ko_KR.UTF-8", True),
        (("guide", "--lang", "ko"), "en", "C", True),
        (("guide", "--lang=en"), "ko", "ko_KR", False),
        (("exec", "node1", "--", "--lang", "ko"), "", "C", False),
    ],
)
def test_what_is_asked_for_comes_before_the_locale(
    whole: Clone, words: tuple[str, ...], asked: str, locale: str, korean: bool
) -> None:
    result = whole.lab(*words, LABCTL_LANG=asked, LC_ALL=locale)
    assert bool(HANGUL.search(result.stderr)) == korean
    assert result.stdout == "".join(f"labctl[{word}]" for word in words)


def test_what_is_missing_is_told_in_korean_with_the_command(whole: Clone, only_apt: Clone) -> None:
    lacking(only_apt, "podman", apt_get=apt_get(only_apt))
    result = only_apt.lab("up", LABCTL_LANG="ko")
    assert result.rc == 69
    assert f"lab:   podman-stand-in ({PURPOSES['runs the containers']})" in result.stderr
    assert "해결: apt-get -y" in result.stderr
    for line in result.stderr.splitlines():
        assert HANGUL.search(line) or line.startswith("lab: apt-get "), line


def test_a_clone_without_the_words_speaks_english(clone: Clone) -> None:
    assert not Path(clone.root / "labctl/words").exists()
    result = clone.lab("ls", LABCTL_LANG="ko")
    assert result.stdout == "labctl[ls]"
    assert "making" in result.stderr
