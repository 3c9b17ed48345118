"""What the handles into a container and into a virtual machine have alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from labctl.engine.base import TIMEOUT_CODES, File
from labctl.errors import CommandFailed, TimedOut
from labctl.run import Result


class Files(Protocol):
    """What a handle asks of its engine."""

    def put(self, name: str, files: Sequence[File]) -> None: ...
    def get(self, name: str, path: str) -> bytes: ...


EngineT = TypeVar("EngineT", bound=Files)


class Handle(Generic[EngineT]):
    """Name and files of one machine; how a command goes in is the engine's own."""

    def __init__(self, engine: EngineT, name: str) -> None:
        self._engine = engine
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def put(self, files: Sequence[File]) -> None:
        self._engine.put(self._name, files)

    def get(self, path: str) -> bytes:
        return self._engine.get(self._name, path)

    def limited(self, argv: Sequence[str], limit: float) -> list[str]:
        """The words that make the machine itself end the command after limit seconds."""
        return ["timeout", "-k", "2", f"{limit:.1f}", *argv]

    def judged(
        self, argv: Sequence[str], rc: int, out: str, err: str, *, limit: float, check: bool
    ) -> Result:
        """What a command left. With check: raises TimedOut at the limit, CommandFailed for a failure."""
        result = Result((f"[{self._name}]", *argv), rc, out, err)
        if check and rc in TIMEOUT_CODES:
            raise TimedOut(
                f"{argv[0]} on {self._name} did not end within {limit:.0f} s.", details=result.describe()
            )
        if check and rc != 0:
            raise CommandFailed(f"{argv[0]} failed on {self._name}.", details=result.describe())
        return result
