"""Finding out whether a bubble's podman takes calls."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labctl.bubble import start


@pytest.fixture
def places() -> Iterator[Any]:
    """A lab's places with a short path: a socket's may have 107 bytes (unix(7))."""
    with tempfile.TemporaryDirectory() as folder:
        yield SimpleNamespace(socket=Path(folder) / "podman.sock")


def test_a_podman_that_still_starts_is_waited_for(places: Any) -> None:
    """It binds its socket a moment before it listens."""
    service = socket.socket(socket.AF_UNIX)
    service.bind(str(places.socket))
    listening = threading.Event()

    def listen() -> None:
        listening.set()
        service.listen()

    timer = threading.Timer(0.2, listen)
    timer.start()
    start.await_podman(places, timeout=30.0)
    assert listening.is_set()
    timer.join()
    service.close()


def test_one_that_never_comes_is_left_to_the_first_call(places: Any) -> None:
    start.await_podman(places, timeout=0.05)


def test_one_that_runs_costs_no_wait(places: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service = socket.socket(socket.AF_UNIX)
    service.bind(str(places.socket))
    service.listen()
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it slept"))
    start.await_podman(places)
    service.close()
