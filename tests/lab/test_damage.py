"""A lab's folder damaged by hand, two labctl at once, labctl interrupted."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labctl.errors import BAD_FILE, BUSY, FAILED, INTERRUPTED, OK
from tests.lab.conftest import MakeLab
from tests.lab.driver import PATIENCE, Driver, labctl, refused

TWO = ("--nodes", "2", "--until", "nodes")


# -- a lab's folder, damaged by hand -------------------------------------------------------------


def garbage(path: Path) -> None:
    path.write_bytes(b'{"lab": \x00\xff')


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def older(path: Path) -> None:
    path.write_text('{"format": 0, "version": "0.0.1", "lab": "t-worn"}')


@pytest.fixture(scope="module")
def worn(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """A lab of bare nodes, to be damaged."""
    lab = Driver("t-worn")
    lab.log = tmp_path_factory.mktemp("worn")
    yield lab
    lab.down()


DAMAGES = [
    *((what, damage) for what in ("lab.json", "secrets/secrets.json") for damage in (garbage, older)),
    *((what, emptied) for what in ("lab.json", "secrets/secrets.json", "conf/bubble.json", "ready.json")),
    *(
        (what, remove)
        for what in ("lab.json", "secrets", "conf/bubble.json", "ready.json", "networks", "conf")
    ),
]


@pytest.mark.parametrize(
    ("what", "damage"), DAMAGES, ids=[f"{what}-{damage.__name__}" for what, damage in DAMAGES]
)
def test_a_damaged_folder(worn: Driver, what: str, damage: Callable[[Path], None]) -> None:
    """`up` either mends it or says how; `down`, which needs no file to be whole, always works."""
    path = worn.places.root / what
    if not worn.runs():
        worn.up(*TWO)
    damage(path)
    seen = worn("up", *TWO, check=False)
    for verb in ("status", "validate", "ls"):
        told = labctl(verb, *([] if verb == "ls" else ["--lab", worn.name]), check=False)
        assert "Traceback" not in told.stderr, told.stderr
        assert told.rc in {OK, FAILED, BAD_FILE}
    if seen.rc == OK:
        assert worn("up", *TWO).rc == OK
        return
    refused(seen, BAD_FILE, mend=f"labctl down --lab {worn.name} && labctl up --lab {worn.name}")
    if what == "lab.json" and damage is older:
        assert "0.0.1" in seen.stderr
    worn.down()
    assert not worn.runs()
    assert not worn.places.root.exists()


# -- two at once, and interruptions ------------------------------------------------------------


def test_two_at_once(make_lab: MakeLab) -> None:
    lab = make_lab("t-two")
    begun = lab.begin("up", *TWO)
    begun.await_words("starting the lab's namespaces")
    begun.signal(signal.SIGSTOP)
    try:
        refused(lab("up", *TWO, check=False), BUSY, "labctl up --lab t-two", str(begun.pid), mend="--wait")
        refused(lab("down", check=False), BUSY, str(begun.pid))
        second = lab.log / "second"
        second.mkdir()
        patient = Driver("t-two")
        patient.log = second
        waiting = patient.begin("up", *TWO, "--wait", str(int(PATIENCE)))
        waiting.await_words("waiting for `labctl up --lab t-two`")
    finally:
        begun.signal(signal.SIGCONT)
    assert begun.end() == OK, begun.said
    assert waiting.end() == OK, waiting.said


def test_a_lock_of_a_dead_labctl_holds_nobody(make_lab: MakeLab) -> None:
    lab = make_lab("t-two")
    begun = lab.begin("up", *TWO)
    begun.await_words("starting the lab's namespaces")
    begun.kill()
    lab.up(*TWO)


def test_ctrl_c_in_the_middle(make_lab: MakeLab) -> None:
    lab = make_lab("t-int")
    begun = lab.begin("up", *TWO)
    begun.await_words("creating")
    begun.signal(signal.SIGINT)
    assert begun.end() == INTERRUPTED
    assert "Traceback" not in begun.said
    assert lab.json("down")["removed"] == ["t-int"]
    assert not lab.places.root.exists()
