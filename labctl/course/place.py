"""Where an exercise takes place: the lab, a way to its nodes, and what the host can do for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from labctl.course.variables import fill
from labctl.engine.base import Engine, Node
from labctl.lab.model import Lab
from labctl.run import Result
from labctl.words.lang import Lang
from labctl.words.phrases import say


class Host(Protocol):
    """What the course asks of labctl itself; the command line ties it to the lab (labctl.cli.course_host)."""

    def engine(self) -> Engine:
        """A new connection to the lab's machines."""
        ...

    def snapshots(self) -> Mapping[str, float]:
        """Name of each snapshot of the lab, to its age in seconds."""
        ...

    def restored(self) -> tuple[str, float]:
        """The snapshot that the lab was last brought back to, and the seconds since; ("", 0.0) for none."""
        ...

    def labctl(self, words: Sequence[str]) -> Result:
        """Run labctl with these words for this lab. Never raises for a non-zero exit."""
        ...

    def go_to(self, start: str, *, fencing: bool = True) -> None:
        """Bring the lab to a state that `up` makes; the first time it is made and kept.

        pcsd may still be starting then, and without `fencing` the fence devices, too. Raises LabError.
        """
        ...

    def keep(self, name: str, note: str) -> None:
        """Keep the lab as it is as a snapshot. Raises LabError."""
        ...

    def restore(self, name: str) -> None:
        """Bring the lab back to a snapshot; pcsd may still be starting then. Raises LabError."""
        ...


@dataclass
class Place:
    """One lab while the course works on it.

    variables: see labctl.course.variables.  units: logical names to the family's unit names.
    """

    lab: Lab
    host: Host
    lang: Lang
    variables: Mapping[str, str]
    units: Mapping[str, str]
    _engine: Engine | None = field(default=None, repr=False)

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            self._engine = self.host.engine()
        return self._engine

    def moved(self) -> None:
        """The lab was started anew: connections to it are of no use any more."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def node(self, name: str) -> Node:
        return self.engine.node(name)

    def fill(self, text: str, *, shell: bool = True) -> str:
        return fill(text, self.variables, shell=shell)

    def say(self, key: str, **words: object) -> str:
        return say(self.lang, key, **words)
