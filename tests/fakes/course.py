"""The host's part of a course: labctl.course.place.Host as a list of calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from labctl.engine.base import Engine
from labctl.run import Result
from tests.fakes.engine import FakeEngine


class FakeHost:
    """labctl.course.place.Host around a fake engine."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self.ages: dict[str, float] = {}
        self.back: tuple[str, float] = ("", 0.0)  # what restored() tells
        self.calls: list[tuple[str, ...]] = []
        self.fails: Exception | None = None  # what restore() raises

    def engine(self) -> Engine:
        return self._engine

    def snapshots(self) -> Mapping[str, float]:
        return self.ages

    def restored(self) -> tuple[str, float]:
        return self.back

    def labctl(self, words: Sequence[str]) -> Result:
        self.calls.append(tuple(words))
        return Result(tuple(words), 0, "", "")

    def go_to(self, start: str, *, fencing: bool = True) -> None:
        self.calls.append(("go_to", start) if fencing else ("go_to", start, "fencing later"))

    def keep(self, name: str, note: str) -> None:
        self.calls.append(("keep", name))
        self.ages[name] = 0.0

    def restore(self, name: str) -> None:
        self.calls.append(("restore", name))
        if self.fails:
            raise self.fails
        self.back = (name, 0.0)
