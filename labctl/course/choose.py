"""Which exercise comes next, by the record and by what the lab can hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from labctl.course.catalog import Course
from labctl.course.form import Exercise
from labctl.course.progress import Progress
from labctl.course.session import require, unmet
from labctl.lab.model import Lab
from labctl.words.lang import Lang


@dataclass(frozen=True)
class Choice:
    """exercise: the one to do, None when the lab can hold no more of the day.

    elsewhere: those that stand before it and need what the lab has not got.
    """

    exercise: Exercise | None
    elsewhere: tuple[Exercise, ...] = ()


def of_day(day: Iterable[Exercise], known: Progress, lab: Lab, lang: Lang = "en") -> Choice:
    """The day's exercise that is under way, else its first that is not passed and that the lab can hold.

    Raises UsageError when the lab can hold nothing of the day, and something is not passed.
    """
    exercises = list(day)
    left = [each for each in exercises if not known.of(each.id).passed]
    for each in left:
        if each.id == known.active:
            return Choice(each)
    if left and not any(_fits(each, lab) for each in exercises):
        require(left[0], lab, lang)
    elsewhere: list[Exercise] = []
    for each in left:
        if _fits(each, lab):
            return Choice(each, tuple(elsewhere))
        elsewhere.append(each)
    return Choice(None, tuple(elsewhere))


def next_day(course: Course, known: Progress, lab: Lab, day: str) -> str:
    """The first day with something left that the lab can hold: this one, a later or an earlier one; or ""."""
    days = course.days
    here = days.index(day)
    for each in (*days[here:], *days[:here]):
        if any(not known.of(one.id).passed and _fits(one, lab) for one in course.of_day(each)):
            return each
    return ""


def _fits(exercise: Exercise, lab: Lab) -> bool:
    return not unmet(exercise, lab)[0]
