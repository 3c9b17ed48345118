"""Text in the course's two languages."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from labctl.lab.sections import Frozen
from labctl.words.lang import HANGUL, Lang


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
