"""`down`, after anything, leaves the host exactly as it was found."""

from __future__ import annotations

import contextlib
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labctl.run import run
from labctl.wait import wait_until
from tests.lab.conftest import MakeLab
from tests.lab.driver import PATIENCE, Driver
from tests.lab.host_snapshot import (
    MARK,
    alive,
    assert_as_before,
    clock,
    down_leaves_nothing,
    marked,
    namespaces_below,
    namespaces_in,
    snapshot,
)

NAME = "t-left"
FRESH = ("--nodes", "2")


@pytest.fixture
def mark() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def lab(make_lab: MakeLab, _main: Driver) -> Iterator[Driver]:
    """A lab beside another one, compared before and after everything that a test does with it.

    The other lab is there first: the folder of labs, and labctl's cgroup, are not new.
    """
    found = make_lab(NAME)
    before = snapshot(NAME)
    yield found
    found.down()
    assert_as_before(before, NAME)


def test_after_up_and_down(lab: Driver, mark: str) -> None:
    lab.up(*FRESH, env={MARK: mark})
    assert marked(mark), "the mark does not reach the lab's processes"
    inside = namespaces_below(lab.bubble().init)
    assert len(inside) > 8, "the nodes' namespaces were not seen"
    down_leaves_nothing(lab, mark, inside)


@pytest.mark.parametrize(
    "words",
    ["starting the lab's namespaces", "creating", "waiting for the cluster"],
    ids=["bubble", "nodes", "cluster"],
)
def test_after_a_killed_up_and_down(lab: Driver, mark: str, words: str) -> None:
    begun = lab.begin("up", *FRESH, env={MARK: mark})
    begun.await_words(words)
    begun.kill()
    down_leaves_nothing(lab, mark, namespaces_in(lab))


def kill_init(lab: Driver) -> None:
    run(["kill", "-KILL", str(lab.bubble().init)], timeout=10)


def kill_outer(lab: Driver) -> None:
    run(["kill", "-KILL", str(lab.bubble().outer)], timeout=10)


@pytest.mark.parametrize("kill", [kill_init, kill_outer], ids=["init", "unshare"])
def test_after_a_killed_bubble(lab: Driver, mark: str, kill: Callable[[Driver], None]) -> None:
    """Every process goes with it, before `down` is called; `down` takes the files."""
    lab.up(*FRESH, "--until", "nodes", env={MARK: mark})
    inside = namespaces_below(lab.bubble().init)
    killed = clock()
    kill(lab)
    wait_until(
        "the processes to end",
        lambda: not marked(mark),
        timeout=PATIENCE,
        last_seen=lambda: str(marked(mark)),
    )
    assert not lab.runs()
    assert alive(inside, older_than=killed) == {}
    down_leaves_nothing(lab, mark, inside)


def test_after_a_killed_down(lab: Driver, mark: str) -> None:
    lab.up(*FRESH, "--until", "nodes", env={MARK: mark})
    inside = namespaces_below(lab.bubble().init)
    begun = lab.begin("down", env={MARK: mark})
    wait_until("the lab to end", lambda: not lab.runs(), timeout=PATIENCE, every=0.002)
    begun.signal(signal.SIGKILL)
    begun.end()
    down_leaves_nothing(lab, mark, inside)


def test_a_terminal_that_closes_leaves_the_lab_running(lab: Driver) -> None:
    """A closing terminal sends SIGHUP to the session that `up` was called from: the lab is not in it."""
    begun = lab.begin("up", *FRESH, "--until", "nodes")
    assert begun.end() == 0, begun.said
    assert lab.runs()
    assert begun.pid not in sessions().values()
    assert lab.bubble().init in sessions()


def sessions() -> dict[int, int]:
    """The session of every process (proc_pid_stat(5), field 6)."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            found[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[3])
    return found
