"""All exercises: labctl's own and those of a teacher's folder; the days that they belong to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from labctl.course.form import Exercise
from labctl.course.read import bad_file, read_exercise
from labctl.course.text import Text
from labctl.errors import UsageError
from labctl.lab.file.yaml_tree import Mistake, Where
from labctl.lab.model import nearest

OWN: Final = Path(__file__).resolve().parent / "exercises"
TITLES: Final = {
    "day1": Text(en="Nodes and a first cluster", ko="노드 준비와 첫 클러스터"),
    "day2": Text(en="Disks, fencing, daily work", ko="디스크, 펜싱, 일상 운영"),
    "day3": Text(en="Services that survive", ko="장애에도 이어지는 서비스"),
    "day4": Text(en="Two nodes, and faults", ko="두 노드 클러스터와 장애"),
}


@dataclass(frozen=True)
class Course:
    """Every exercise, in the order in which they are done.

    broken: mistakes in a teacher's files; their exercises are left out.
    """

    exercises: tuple[Exercise, ...]
    broken: tuple[Mistake, ...] = ()

    @property
    def days(self) -> tuple[str, ...]:
        """The days of the course, then those that only a teacher's folder has."""
        return tuple(dict.fromkeys([*TITLES, *(each.day for each in self.exercises)]))

    def of_day(self, day: str) -> tuple[Exercise, ...]:
        return tuple(each for each in self.exercises if each.day == day)

    def find(self, word: str) -> Exercise:
        """An exercise by its id, or by its name alone where that is unique. Raises UsageError."""
        named = [each for each in self.exercises if word in (each.id, each.name)]
        if len(named) == 1:
            return named[0]
        known = [each.id for each in self.exercises]
        short = [each.name for each in self.exercises]
        raise UsageError(
            f"There is no exercise {word!r}{nearest(word, [*known, *short, *self.days])}.",
            details=f"There are: {', '.join(known)}",
            mend="labctl exercise list",
        )

    def is_day(self, word: str) -> bool:
        return word in self.days


def load(folders: Sequence[Path] = (), *, variables: Collection[str] | None = None) -> Course:
    """The course with these folders of a teacher added; their exercises come after labctl's own of the day.

    An exercise of the same id takes the place of labctl's. Raises UsageError for a folder that is not
    there, BadFile when labctl's own exercises are broken; a teacher's broken files are only told.
    """
    own, wrong = _read(files(OWN), variables)
    if wrong:
        raise bad_file(wrong)
    found = {each.id: (0, each) for each in own}
    broken: list[Mistake] = []
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"There is no folder {folder}.", mend="labctl exercise --course DIR")
        added, wrong = _read(files(folder), variables)
        broken += wrong
        found |= {each.id: (found.get(each.id, (1, each))[0], each) for each in added}
    ranked = sorted(found.values(), key=lambda item: (item[1].day, item[0], item[1].place, item[1].name))
    return Course(tuple(each for _, each in ranked), tuple(broken))


def own(name: str) -> Exercise | None:
    """One of labctl's own exercises by its id, without reading the others. Raises BadFile."""
    path = OWN / f"{name}.yaml"
    if not path.is_file():
        return None
    good, wrong = _read([path], None)
    if wrong:
        raise bad_file(wrong)
    return good[0] if good[0].id == name else None


def files(folder: Path) -> list[Path]:
    """Every exercise's file in a folder, sorted."""
    return sorted(path for path in folder.rglob("*.yaml") if not path.name.startswith((".", "_")))


def lint(
    paths: Sequence[Path], *, variables: Collection[str] | None = None
) -> tuple[list[Exercise], list[Mistake]]:
    """The good exercises of files and folders, and every mistake. Raises UsageError for a missing path."""
    found: list[Path] = []
    wrong: list[Mistake] = []
    for path in paths:
        if not path.exists():
            raise UsageError(f"There is no file or folder {path}.")
        listed = files(path) if path.is_dir() else [path]
        if not listed:
            wrong.append(Mistake(Where(str(path), 1), (), "empty", "there is no exercise in this folder"))
        found += listed
    good, mistakes = _read(found, variables)
    return good, wrong + mistakes


def _read(paths: Sequence[Path], variables: Collection[str] | None) -> tuple[list[Exercise], list[Mistake]]:
    """The good exercises of these files, and every mistake; an id that comes again is one."""
    good, wrong = [], []
    seen: dict[str, Path] = {}
    for path in {path.resolve(): path for path in paths}.values():
        exercise, mistakes = read_exercise(path, variables=variables)
        wrong += mistakes
        if exercise is None or mistakes:
            continue
        if exercise.id in seen:
            text = f"{exercise.id} stands in {seen[exercise.id]}, too"
            wrong.append(Mistake(Where(str(path), 1), ("id",), "duplicate", text))
            continue
        seen[exercise.id] = path
        good.append(exercise)
    return good, wrong
