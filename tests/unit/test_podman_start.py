"""The one call to podman that is made a second time, and when it is not."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from labctl.engine.base import File
from labctl.engine.podman import PodmanEngine
from labctl.errors import ActionFailed


@dataclass
class Answer:
    status_code: int
    message: str = ""

    @property
    def text(self) -> str:
        return json.dumps(self.json())

    def json(self) -> Any:
        return {"message": self.message, "State": {"Status": "created"}}


@dataclass
class Wire:
    """podman's answers to POST, one after the other."""

    answers: list[Answer]
    asked: list[str] = field(default_factory=list)

    def call(self, method: str, path: str, *, accept: tuple[int, ...] = ()) -> Answer:
        if method == "GET":
            return Answer(200)
        self.asked.append(path)
        answer = self.answers.pop(0)
        if answer.status_code >= 400 and answer.status_code not in accept:
            raise ActionFailed("refused", details=answer.message)
        return answer


def engine(*answers: Answer) -> tuple[PodmanEngine, Wire]:
    made, wire = PodmanEngine("x", Path("/nowhere")), Wire(list(answers))
    made._api = wire  # type: ignore[assignment]
    return made, wire


RACE = Answer(
    500, "mounting storage for container c0ffee: lstat /s/overlay/1/merged: no such file or directory"
)


def test_a_mount_that_podman_still_lets_go_of_is_waited_out() -> None:
    made, wire = engine(RACE, Answer(204))
    made.start("node1")
    assert len(wire.asked) == 2


def test_it_is_tried_once_more_and_not_again() -> None:
    made, wire = engine(RACE, RACE, Answer(204))
    with pytest.raises(ActionFailed):
        made.start("node1")
    assert len(wire.asked) == 2


def test_any_other_refusal_is_told_at_once() -> None:
    made, wire = engine(Answer(500, "crun: something is wrong"))
    with pytest.raises(ActionFailed) as caught:
        made.start("node1")
    assert "crun: something is wrong" in caught.value.details
    assert len(wire.asked) == 1


@dataclass
class Recording:
    """A podman that does all it is told."""

    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def call(self, method: str, path: str, **words: Any) -> Answer:
        name = (words.get("document") or words.get("params") or {}).get("name", "")
        self.asked.append((method, path, name))
        return Answer(200)


def test_a_machine_bears_its_name_only_when_it_has_its_files() -> None:
    """Whoever is killed meanwhile leaves none that `up` would start without them."""
    made, wire = PodmanEngine("x", Path("/nowhere")), Recording()
    made._api = wire  # type: ignore[assignment]
    made._create({"name": "node1"}, [File("/etc/hosts", b"")])
    assert wire.asked == [
        ("DELETE", "/containers/node1_making", ""),
        ("POST", "/containers/create", "node1_making"),
        ("PUT", "/containers/node1_making/archive", ""),
        ("POST", "/containers/node1_making/rename", "node1"),
    ]
