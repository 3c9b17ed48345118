"""Text in the course's two languages."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import AfterValidator

from labctl.lab.sections import Frozen

Lang = Literal["en", "ko"]
LANGS: Final[tuple[Lang, ...]] = ("en", "ko")
HANGUL: Final = re.compile(r"[\uac00-\ud7a3]")


def _filled(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value.strip()


def _korean(value: str) -> str:
    if not HANGUL.search(value):
        raise ValueError("must be Korean: there is no Hangul in it")
    return value


Words = Annotated[str, AfterValidator(_filled)]


class Text(Frozen):
    """The same words in English and in Korean."""

    en: Words
    ko: Annotated[Words, AfterValidator(_korean)]

    def of(self, lang: Lang) -> str:
        return self.ko if lang == "ko" else self.en


def from_locale(environment: Mapping[str, str] | None = None) -> Lang:
    """The language that the locale asks for: LC_ALL before LC_MESSAGES before LANG (locale(7))."""
    given = os.environ if environment is None else environment
    chosen = next((given[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if given.get(name)), "")
    return "ko" if chosen.partition("_")[0].partition(".")[0] == "ko" else "en"
