"""Which exercise comes next, by the record and by what the lab can hold."""

from __future__ import annotations

import pytest

from labctl.cli.course_host import variable_names
from labctl.course import catalog, choose
from labctl.course.progress import Progress
from labctl.errors import UsageError
from labctl.lab.load import load_lab

COURSE = catalog.load(variables=variable_names())
CONTAINERS = load_lab("spike", environment={})
MACHINES = CONTAINERS.with_mode("vm")
DAY1, DAY3 = COURSE.of_day("day1"), COURSE.of_day("day3")
NOTHING = Progress(lab="spike")
IN_CONTAINERS = ("day3/apache", "day3/apache-second", "day3/mariadb", "day3/postgresql")


def passed(*ids: str, active: str = "") -> Progress:
    known = NOTHING.model_copy(update={"active": active})
    for each in ids:
        known = known.with_record(each, passed="2026-01-01")
    return known


def test_the_first_that_is_not_passed_comes_next() -> None:
    assert choose.of_day(DAY1, passed(DAY1[0].id, DAY1[2].id), CONTAINERS) == choose.Choice(DAY1[1])
    everything = passed(*(each.id for each in DAY1))
    assert choose.of_day(DAY1, everything, CONTAINERS) == choose.Choice(None)


def test_what_the_lab_cannot_hold_is_passed_over_and_named() -> None:
    choice = choose.of_day(DAY3, NOTHING, CONTAINERS)
    assert choice.exercise is not None
    assert choice.exercise.id == "day3/apache"
    assert [each.id for each in choice.elsewhere] == ["day3/ha-lvm", "day3/lvm-shared", "day3/nfs"]
    assert choose.of_day(DAY3, NOTHING, MACHINES) == choose.Choice(DAY3[0])


def test_a_day_of_which_only_the_rest_needs_another_lab() -> None:
    choice = choose.of_day(DAY3, passed(*IN_CONTAINERS), CONTAINERS)
    assert choice.exercise is None
    assert {each.id for each in choice.elsewhere} == {each.id for each in DAY3} - set(IN_CONTAINERS)


def test_a_day_of_which_the_lab_can_hold_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="day3/ha-lvm needs virtual machines"):
        choose.of_day(DAY3[:3], NOTHING, CONTAINERS)


def test_what_is_under_way_comes_first_until_it_is_passed() -> None:
    under_way = DAY1[3].id
    assert choose.of_day(DAY1, passed(active=under_way), CONTAINERS) == choose.Choice(DAY1[3])
    assert choose.of_day(DAY1, passed(under_way, active=under_way), CONTAINERS) == choose.Choice(DAY1[0])


def test_the_next_day_has_something_that_the_lab_can_hold() -> None:
    first, second = (tuple(each.id for each in COURSE.of_day(day)) for day in ("day1", "day2"))
    assert choose.next_day(COURSE, passed(first[-1]), CONTAINERS, "day1") == "day1"
    assert choose.next_day(COURSE, passed(*first), CONTAINERS, "day1") == "day2"
    assert choose.next_day(COURSE, passed(*IN_CONTAINERS), CONTAINERS, "day3") == "day1"
    assert choose.next_day(COURSE, passed(*first, *second, *IN_CONTAINERS), CONTAINERS, "day3") == ""
