"""What a learner reads: each day's background (labctl/course/pages/DAY.LANG.md), and the slides' errata."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from labctl.errors import UsageError
from labctl.lab.model import nearest
from labctl.packaged import data_file
from labctl.words.lang import Lang

PAGES: Final = Path(__file__).resolve().parent / "pages"
ERRATA: Final = "errata"


def days() -> list[str]:
    """The days that have a page."""
    return sorted({path.name.partition(".")[0] for path in PAGES.glob("*.md")})


def text(day: str, lang: Lang) -> str:
    """A day's page, or the errata, in a language. Raises UsageError, naming the nearest."""
    known = [*days(), ERRATA]
    if day not in known:
        raise UsageError(
            f"There is no guide for {day!r}{nearest(day, known)}.",
            mend=f"labctl guide {known[0]}",
        )
    if day == ERRATA:
        # One file for both languages, each below a heading of its own.
        english, korean = data_file("docs/errata.md").read_text(encoding="utf-8").split("\n# ")
        return (f"# {korean}" if lang == "ko" else english).rstrip()
    return (PAGES / f"{day}.{lang}.md").read_text(encoding="utf-8").rstrip()
