"""One lock per lab, and the record of what a lab was made from."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path

import pytest

from labctl.errors import BadFile, Busy
from labctl.lab import lock, record
from labctl.lab.record import Record
from labctl.places import lock_file


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABCTL_STATE", str(tmp_path))
    return tmp_path


def test_a_second_call_is_told_who_holds_the_lab() -> None:
    with (
        lock.held("x", "labctl up --lab x"),
        pytest.raises(Busy, match="labctl up --lab x"),
        lock.held("x", "y"),
    ):
        pass


def test_labs_have_locks_of_their_own() -> None:
    with lock.held("x", "a"), lock.held("y", "b"):
        assert lock_file("x").exists()
        assert lock_file("y").exists()


def test_nothing_is_left_behind() -> None:
    with lock.held("x", "a"):
        pass
    assert not lock_file("x").exists()


def test_a_full_disk_costs_the_holders_name_and_not_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with lock.held("x", "a"), pytest.raises(Busy, match="another labctl"), lock.held("x", "b"):
        pass


def test_a_patient_call_gets_the_lab_when_it_is_free() -> None:
    free, waiting = threading.Event(), threading.Event()
    order: list[str] = []

    def holder() -> None:
        with lock.held("x", "first"):
            waiting.set()
            free.wait(10)
            order.append("first")

    thread = threading.Thread(target=holder)
    thread.start()
    waiting.wait(10)
    said: list[str] = []

    def heard(text: str) -> None:
        said.append(text)
        free.set()

    with lock.held("x", "second", patience=10, on_wait=heard):
        order.append("second")
    thread.join(10)
    assert order == ["first", "second"]
    assert "first" in said[0]


RECORD = Record(
    lab="x", family="debian", image="i", mode="container", until="all", nodes=4, overrides=("/a",)
)


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    assert record.load(tmp_path / "lab.json", "x") is None
    record.save(tmp_path / "lab.json", RECORD)
    assert record.load(tmp_path / "lab.json", "x") == RECORD


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "\x00", '{"format": 1}', '{"format": 1, "lab": "x", "z": 2}']
)
def test_a_damaged_record_names_the_mend(tmp_path: Path, text: str) -> None:
    (tmp_path / "lab.json").write_text(text)
    with pytest.raises(BadFile) as caught:
        record.load(tmp_path / "lab.json", "x")
    assert caught.value.mend == "labctl down --lab x && labctl up --lab x"


def test_a_lab_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lab.json").write_text(json.dumps({"format": 99, "version": "9.9"}))
    with pytest.raises(BadFile, match=r"made by labctl 9\.9"):
        record.load(tmp_path / "lab.json", "x")
