"""The background of each day, as text that goes with labctl: labctl/course/pages/DAY.LANG.md."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from labctl.course.text import Lang
from labctl.errors import UsageError
from labctl.lab.model import nearest

PAGES: Final = Path(__file__).resolve().parent / "pages"


def days() -> list[str]:
    """The days that have a page."""
    return sorted({path.name.partition(".")[0] for path in PAGES.glob("*.md")})


def text(day: str, lang: Lang) -> str:
    """A day's page in a language. Raises UsageError, naming the nearest."""
    known = days()
    if day not in known:
        raise UsageError(
            f"There is no guide for {day!r}{nearest(day, known)}.",
            mend=f"labctl guide {known[0] if known else 'day1'}",
        )
    return (PAGES / f"{day}.{lang}.md").read_text(encoding="utf-8").rstrip()
