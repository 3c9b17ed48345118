"""The language that a command speaks: found once, before it runs; all that it says on a terminal is in it.

What a command says itself stands in labctl.words.phrases, under a key. What the lab says while it works,
what checks and the doctor find, and what errors say, is English and turned here, by the tables of
labctl.words.lab, checks, doctor and errors.
JSON, logs and what programs in nodes print stay as they are.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from labctl import console
from labctl.errors import LabError
from labctl.places import lab_places
from labctl.words.errors import reword
from labctl.words.errors import reworded as words_of_error
from labctl.words.lab import in_words, note_in_words, reason_in_words
from labctl.words.lang import Lang, from_locale, known, last_asked
from labctl.words.phrases import say as say_in

if TYPE_CHECKING:
    from labctl.checks.result import CheckResult
    from labctl.lab.up import Progress

ENVIRONMENT = "LABCTL_LANG"

_spoken: Lang = "en"


def spoken() -> Lang:
    return _spoken


def speak(lab: str | None = None, chosen: str | None = None) -> None:
    """From here on speak the language chosen, else the one last asked for in the lab, else the locale's.

    chosen: what --lang says; without that option LABCTL_LANG does.
    """
    global _spoken  # noqa: PLW0603 (a process speaks one language, as it has one standard error)
    remembered = None
    if lab:
        with suppress(LabError):
            remembered = last_asked(lab_places(lab))
    _spoken = known(chosen or os.environ.get(ENVIRONMENT)) or remembered or from_locale()
    console.label({name: say(f"label-{name}") for name in console.LABELS})


def for_a_learner(command: Callable[..., int]) -> Callable[..., int]:
    """The command, in the learner's language."""

    @functools.wraps(command)
    def wrapped(**given: Any) -> int:
        speak(given.get("lab"), given.get("lang"))
        return command(**given)

    return wrapped


def say(key: str, **words: object) -> str:
    """A phrase with its words filled in, the commands of labctl in it as the user calls them."""
    return console.command(say_in(_spoken, key, **words))


def headings(*names: str) -> list[str]:
    """The columns of a table."""
    return [say(f"column-{name}") for name in names]


def state(of: Literal["lab", "machine", "cluster"], word: str) -> str:
    """A state's name as JSON has it, as a table shows it."""
    return say(f"{of}-{word}")


def because(reason: str) -> str:
    """The lab's reason for a step."""
    return reason_in_words(_spoken, reason)


def note(words: str) -> str:
    """What was noted of a snapshot."""
    return note_in_words(_spoken, words)


def told(say_line: Callable[[str], None]) -> Callable[[str], None]:
    """What the lab says is passed on in the language."""
    return lambda line: say_line(in_words(_spoken, line))


def progress(steps: console.Steps) -> Progress:
    """Where the lab's stages and words go."""
    from labctl.lab.up import Progress

    return Progress(say=told(steps.say), stage=lambda name: steps.stage(say(f"stage-{name}")))


def checked(results: Iterable[CheckResult]) -> list[CheckResult]:
    """What checks found, as a terminal shows it."""
    from labctl.words.checks import check_in_words

    return [
        replace(result, message=check_in_words(_spoken, result.message, result.problems))
        for result in results
    ]


def found(message: str) -> str:
    """What the doctor found of the host."""
    from labctl.words.doctor import finding_in_words

    return finding_in_words(_spoken, message)


def mend(words: str) -> str:
    """What mends it."""
    from labctl.words.doctor import mend_in_words

    return mend_in_words(_spoken, words)


def reworded(words: str) -> str:
    """An error's words that are told without the rest of it."""
    return words_of_error(_spoken, words)


def error(problem: LabError) -> None:
    """Show an error."""
    reword(problem, _spoken)
    console.error(problem)
