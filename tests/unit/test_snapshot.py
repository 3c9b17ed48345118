"""Snapshots without a lab that runs: the copy, the swap, the list, what is refused, the guard."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labctl.bubble.guard import guard
from labctl.errors import ActionFailed, BadFile, Busy, HostLacks, LabError, UsageError
from labctl.lab import capture, copying, lock, machines, record, restore, snapshot, starts, swap
from labctl.lab.load import load_lab
from labctl.lab.model import Lab
from labctl.lab.plan import Until
from labctl.lab.record import Record
from labctl.lab.request import Request
from labctl.lab.snapshot import META, TREE, Snapshot
from labctl.lab.up import Progress
from labctl.places import LabPlaces, lab_places
from labctl.run import run
from labctl.wait import wait_until

NAME = "unit"
IMAGE = "0123abcd"
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="devices and trusted attributes need root")


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabPlaces:
    """A lab's folder as a lab that is off has it."""
    monkeypatch.setenv("LABCTL_STATE", str(tmp_path))
    found = lab_places(NAME)
    for folder in (found.storage / "diff", found.logs, found.root / "disks"):
        folder.mkdir(parents=True)
    (found.storage / "diff" / "motd").write_text("as it was")
    with (found.root / "disks" / "sdb.img").open("wb") as image:
        image.truncate(64 * 1024**2)
        image.seek(32 * 1024**2)
        image.write(b"data")
    (found.logs / "podman.log").write_text("noise")
    record.save(found.record, Record(NAME, "debian", IMAGE, "container", "all", 4))
    return found


@pytest.fixture
def lab() -> Lab:
    return load_lab(NAME).model_copy(update={"family": "debian"})


def quiet(_: str) -> None:
    pass


def take(lab: Lab, places: LabPlaces, name: str | None = "one") -> Snapshot:
    return capture.create(lab, places, name, say=quiet)


def state_of(places: LabPlaces) -> dict[str, bytes]:
    return {
        str(path.relative_to(places.root)): path.read_bytes()
        for name in swap.content(places)
        for path in [places.root / name, *(places.root / name).rglob("*")]
        if path.is_file()
    }


# -- taking ---------------------------------------------------------------------------------


def test_a_snapshot_holds_the_lab_and_not_its_noise(lab: Lab, places: LabPlaces) -> None:
    made = take(lab, places)
    assert made.names == ("disks", "lab.json", "storage")
    assert snapshot.load(places, "one") == made
    assert stat.S_IMODE(snapshot.folder(places, "one").stat().st_mode) == 0o700
    image = snapshot.folder(places, "one") / TREE / "disks" / "sdb.img"
    assert image.stat().st_size == 64 * 1024**2
    assert image.stat().st_blocks * 512 < 1024**2, "holes were filled"
    assert list(made.nodes) == [node.name for node in lab.nodes]


def test_names(lab: Lab, places: LabPlaces) -> None:
    for bad in ("", ".x", "-x", "A", "a/b", "x" * 64, "a b"):
        with pytest.raises(UsageError, match="not a snapshot's name"):
            take(lab, places, bad)
    take(lab, places, "a.b_c-1")
    with pytest.raises(UsageError, match="already"):
        take(lab, places, "a.b_c-1")
    dated = take(lab, places, None)
    assert dated.name.startswith("2")
    assert snapshot.names(places) == sorted(["a.b_c-1", dated.name])


def test_a_full_disk_is_seen_before_anything_is_copied(
    lab: Lab, places: LabPlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "can_clone", lambda _: False)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=1, f_frsize=4096))
    with pytest.raises(HostLacks, match="no room") as refused:
        take(lab, places)
    assert "MiB" in refused.value.details
    assert "snapshot delete" in refused.value.mend
    assert list(places.snapshots.iterdir()) == []


def test_a_disk_that_fills_up_meanwhile(lab: Lab, places: LabPlaces, monkeypatch: pytest.MonkeyPatch) -> None:
    before = state_of(places)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(copying, "copy_exactly", full)
    with pytest.raises(HostLacks, match="no room left for snapshot one"):
        take(lab, places)
    assert list(places.snapshots.iterdir()) == []
    assert state_of(places) == before


def test_half_made_ones_are_not_listed_and_go(lab: Lab, places: LabPlaces) -> None:
    (places.snapshots / ".two.partial" / TREE).mkdir(parents=True)
    (places.snapshots / ".three.deleted").mkdir()
    assert snapshot.names(places) == []
    take(lab, places)
    assert [path.name for path in places.snapshots.iterdir()] == ["one"]


def test_two_at_once(lab: Lab, places: LabPlaces) -> None:
    with lock.held(NAME, "labctl up"), pytest.raises(Busy, match="labctl up"):
        take(lab, places)


def test_an_end_state_is_labelled_once_and_never_fails_up(
    lab: Lab, places: LabPlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = capture.label_end_state(lab, places, Until.ALL, say=quiet)
    assert made is not None
    assert (made.name, made.quorate) == ("fresh", True)
    assert capture.label_end_state(lab, places, Until.ALL, say=quiet) is None
    said: list[str] = []
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=1, f_frsize=4096))
    monkeypatch.setattr(copying, "can_clone", lambda _: False)
    assert capture.label_end_state(lab, places, Until.NODES, say=said.append) is None
    assert "no room" in said[0]


def test_delete(lab: Lab, places: LabPlaces) -> None:
    take(lab, places, "one")
    take(lab, places, "two")
    with pytest.raises(UsageError, match="did you mean two"):
        snapshot.delete(places, ["one", "twoo"], say=quiet)
    assert snapshot.names(places) == ["one", "two"], "all or none"
    snapshot.delete(places, ["one", "one"], say=quiet)
    assert [path.name for path in places.snapshots.iterdir()] == ["two"]


# -- going back ------------------------------------------------------------------------------


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The ids in the image store."""
    there = {IMAGE}

    class Store:
        graph_root = Path("/images")

        def __init__(self, _: Path) -> None:
            pass

        def podman(self, *words: str, timeout: float, check: bool) -> SimpleNamespace:
            return SimpleNamespace(ok=words[-1] in there)

    monkeypatch.setattr(restore, "ImageStore", Store)
    return there


def edit(places: LabPlaces, **changes: object) -> Snapshot:
    path = snapshot.folder(places, "one") / META
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return snapshot.load(places, "one")


@pytest.mark.usefixtures("stored")
def test_a_sound_snapshot_is_accepted(lab: Lab, places: LabPlaces) -> None:
    made = take(lab, places)
    assert restore.verify(places, made).image == IMAGE
    hashes = {node.name: node.spec_hash(lab) for node in lab.nodes}
    restore.verify(places, edit(places, nodes=hashes))


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"nodes": {"node1": "", "node2": ""}}, UsageError, "other nodes"),
        ({"nodes": {f"node{n}": "00" for n in range(1, 5)}}, UsageError, "has changed since"),
        ({"format": 99, "version": "9.9"}, BadFile, "made by labctl 9.9"),
        ({"family": "centos"}, BadFile, "damaged"),
        ({"lab": "another"}, UsageError, "is of lab another"),
        ({"images": ["feed"]}, HostLacks, "not in the store"),
        ({"bytes": 1}, BadFile, "not whole"),
        ({"surprise": 1}, BadFile, "damaged"),
    ],
    ids=["nodes", "description", "format", "family", "lab", "image", "tree", "key"],
)
def test_what_is_refused(
    lab: Lab, places: LabPlaces, changes: dict[str, Any], error: type[LabError], words: str
) -> None:
    take(lab, places)
    before = state_of(places)
    with pytest.raises(error, match=words) as refused:
        restore.verify(places, edit(places, **changes))
    assert refused.value.mend
    assert state_of(places) == before


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("part", ["storage/diff/motd", "lab.json", "disks"])
def test_a_tree_with_a_part_missing_is_refused(lab: Lab, places: LabPlaces, part: str) -> None:
    made = take(lab, places)
    lost = snapshot.folder(places, "one") / TREE / part
    copying.remove_tree(lost) if lost.is_dir() else lost.unlink()
    with pytest.raises(BadFile, match="not whole"):
        restore.verify(places, made)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', "\0"])
def test_a_damaged_meta_file(lab: Lab, places: LabPlaces, text: str) -> None:
    take(lab, places)
    (snapshot.folder(places, "one") / META).write_text(text)
    with pytest.raises(BadFile, match="damaged"):
        snapshot.load(places, "one")


def test_an_unknown_name(lab: Lab, places: LabPlaces) -> None:
    take(lab, places, "before-day2")
    with pytest.raises(UsageError, match="did you mean before-day2"):
        snapshot.load(places, "before-day")


class Killed(BaseException):
    """What kill -9 does to the code that follows."""


CHANGES = ((Path, "rename"), (Path, "unlink"), (Path, "replace"), (swap, "remove_tree"))
CHANGES_AND_COPIES = (*CHANGES, (copying, "remove"), (copying, "copy_exactly"))


def killed_at(step: int, changes: Sequence[tuple[Any, str]], what: Callable[[], object]) -> bool:
    """Do it, but be killed before the step-th of these changes of the folder; whether there were so many."""
    steps = 0

    def counting(change: Any) -> Any:
        def counted(*words: Any, **more: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == step:
                raise Killed
            return change(*words, **more)

        return counted

    with pytest.MonkeyPatch.context() as patched:
        for owner, name in changes:
            patched.setattr(owner, name, counting(getattr(owner, name)))
        try:
            what()
        except Killed:
            return True
    return False


@pytest.mark.parametrize("step", range(1, 13))
def test_a_swap_that_is_killed_anywhere_is_finished(lab: Lab, places: LabPlaces, step: int) -> None:
    """The kill comes before the step-th change of the folder; the next call goes on from there."""
    take(lab, places)
    wanted = state_of(places)
    (places.storage / "diff" / "motd").write_text("broken")
    copying.remove_tree(places.root / "disks")
    (places.root / "new-folder").mkdir()
    (places.root / "new-folder" / "file").write_text("made since")
    tree = swap.prepare(places)
    copying.copy_exactly(snapshot.folder(places, "one") / TREE, ["disks", "lab.json", "storage"], tree)
    killed = killed_at(step, CHANGES, lambda: swap.commit(places, ["disks", "lab.json", "storage"]))
    marked = (places.root / ".restore" / "marker").exists()
    assert killed == (step <= 10), "the steps of a swap are no longer what this test counts"
    assert swap.finish_interrupted(places) == marked
    expected = state_of(places) if step <= 2 else wanted  # the marker is made in two steps
    assert state_of(places) == expected
    assert marked or step in (1, 2, *range(10, 13))
    assert not (places.root / ".restore").exists()
    assert (places.logs / "podman.log").exists()


@pytest.fixture
def spoilt(lab: Lab, places: LabPlaces, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What snapshot "one" holds; the lab holds something else by now, and there is no room for both."""
    take(lab, places)
    wanted = state_of(places)
    (places.storage / "diff" / "filler").write_bytes(b"x" * 1024**2)
    copying.remove_tree(places.disks)
    (places.secrets).mkdir()
    monkeypatch.setattr(copying, "can_clone", lambda _: False)
    monkeypatch.setattr(restore, "bring_up_held", lambda *_, **__: None)
    return wanted


def room(monkeypatch: pytest.MonkeyPatch, amount: int) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=amount, f_frsize=1))


@pytest.mark.usefixtures("stored")
def test_without_room_for_both_a_restore_is_refused(
    places: LabPlaces, spoilt: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    room(monkeypatch, copying.MARGIN)
    before = state_of(places)
    assert before != spoilt
    with pytest.raises(HostLacks, match="no room") as refused:
        restore.restore(places, "one", Progress(say=quiet))
    assert "snapshot delete" in refused.value.mend
    assert "nodes' disks" in refused.value.mend
    assert state_of(places) == before


@pytest.mark.usefixtures("stored")
def test_without_room_for_both_the_old_content_gives_way(
    places: LabPlaces, spoilt: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    room(monkeypatch, copying.MARGIN)
    said: list[str] = []
    restore.restore(places, "one", Progress(say=said.append), give_way=True)
    assert state_of(places) == spoilt
    assert any("goes first" in line for line in said)
    assert (places.logs / "podman.log").exists()
    assert swap.last(places)[0] == "one"


@pytest.mark.usefixtures("stored")
def test_what_the_lab_holds_is_not_lost_for_nothing(
    places: LabPlaces, spoilt: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another's file fills the disk: even without the old content there would be no room."""
    room(monkeypatch, 0)
    with pytest.raises(HostLacks, match="no room"):
        restore.restore(places, "one", Progress(say=quiet), give_way=True)
    assert state_of(places) != spoilt
    assert (places.storage / "diff" / "filler").exists()


@pytest.mark.parametrize("step", range(1, 17))
def test_a_swap_without_room_that_is_killed_anywhere_is_finished(
    places: LabPlaces, spoilt: dict[str, bytes], step: int
) -> None:
    """The kill comes before the step-th change of the folder. Until the marker is written nothing is lost."""
    names = ["disks", "lab.json", "storage"]
    before = state_of(places)
    killed_at(step, CHANGES_AND_COPIES, lambda: swap.commit_without_room(places, names, "one"))
    marked = (places.root / ".restore" / "marker").exists()
    if step <= 3:
        assert not marked
        assert state_of(places) == before
        return
    if swap.source(places):
        assert record.load(places.record, NAME) is not None, "every command still knows the lab"
    assert swap.finish_interrupted(places) is marked
    assert state_of(places) == spoilt
    assert not (places.root / ".restore").exists()


def test_a_disk_that_is_too_full_for_the_marker(
    places: LabPlaces, spoilt: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = swap._mark
    full = iter([True, False, False])

    def marked(*words: Any, **more: Any) -> None:
        if next(full):
            raise OSError(errno.ENOSPC, "No space left on device")
        assert not places.storage.exists()
        mark(*words, **more)

    monkeypatch.setattr(swap, "_mark", marked)
    swap.commit_without_room(places, ["disks", "lab.json", "storage"], "one")
    assert state_of(places) == spoilt


def test_a_copy_that_finds_no_room_is_finished_later(
    places: LabPlaces, spoilt: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(copying, "copy_exactly", full)
        with pytest.raises(HostLacks, match="no room left to bring lab unit back") as told:
            swap.commit_without_room(places, ["disks", "lab.json", "storage"], "one")
    assert "labctl up" in told.value.mend
    assert swap.source(places) == "one"
    with pytest.raises(UsageError, match="not finished"):
        snapshot.delete(places, ["one"], say=quiet)
    assert swap.finish_interrupted(places)
    assert state_of(places) == spoilt
    assert swap.source(places) == ""


def test_a_snapshot_that_was_taken_away_meanwhile(
    places: LabPlaces, spoilt: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(swap, "finish_interrupted", lambda _: None)
        swap.commit_without_room(places, ["disks", "lab.json", "storage"], "one")
    copying.remove_tree(snapshot.folder(places, "one"))
    with pytest.raises(ActionFailed, match="not there any more") as told:
        swap.finish_interrupted(places)
    assert "labctl down" in told.value.mend
    assert (places.storage / "diff" / "filler").exists(), "nothing is lost for nothing"
    assert state_of(places) != spoilt


# -- made anew, because no snapshot of the start can be used ------------------------------------


@pytest.fixture
def made_anew(monkeypatch: pytest.MonkeyPatch, places: LabPlaces) -> list[Request]:
    """What `up` is asked for, once the lab's folder is empty."""
    asked: list[Request] = []

    def up(request: Request, _: Progress) -> None:
        assert [path.name for path in places.root.iterdir() if path.name in swap.content(places)] == [
            "secrets"
        ]
        assert (places.secrets / "key").read_text() == "a secret"
        asked.append(request)

    monkeypatch.setattr(starts, "bring_up_held", up)
    places.secrets.mkdir()
    (places.secrets / "key").write_text("a secret")
    return asked


def test_a_start_without_a_snapshot_is_made_of_nothing(places: LabPlaces, made_anew: list[Request]) -> None:
    assert starts.go_to(places, "nodes", Progress(say=quiet))
    assert [(request.until, request.nodes) for request in made_anew] == [(Until.NODES, 4)]
    assert swap.last(places)[0] == ""
    assert (places.logs / "podman.log").exists()


@root_only
@pytest.mark.parametrize("fill", ["data", "entries"])
def test_a_start_is_made_of_nothing_on_a_full_disk(
    places: LabPlaces, made_anew: list[Request], fill: str
) -> None:
    """The lab lies on a small file system that a learner has filled; its snapshot is damaged."""
    moved = places.root.with_name("moved")
    places.root.rename(moved)
    places.root.mkdir()
    options = "mode=700,size=512k" if fill == "data" else "mode=700,nr_inodes=64"
    run(["mount", "-t", "tmpfs", "-o", options, "small", places.root], timeout=10)
    try:
        copying.remove_tree(moved / "disks")
        shutil.copytree(moved, places.root, dirs_exist_ok=True)
        snapshot.folder(places, "fresh-nodes").mkdir(parents=True)
        (snapshot.folder(places, "fresh-nodes") / META).write_text("{")
        with contextlib.suppress(OSError), (places.storage / "filler").open("wb", buffering=0) as filler:
            while fill == "data":
                filler.write(b"x" * 1024)
        with contextlib.suppress(OSError):
            for number in range(64 if fill == "entries" else 0):
                (places.storage / f"entry{number}").touch()
        with pytest.raises(OSError, match="No space left"):
            (places.root / "more").write_text("x" * 4096)
        (places.root / "more").unlink(missing_ok=True)
        assert starts.go_to(places, "nodes", Progress(say=quiet))
        assert len(made_anew) == 1
    finally:
        run(["umount", places.root], timeout=10)


def test_machines_of_a_cloud_image_are_made_of_it_again(
    places: LabPlaces, made_anew: list[Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "image.qcow2"
    monkeypatch.setattr(machines, "load", lambda _: SimpleNamespace(source=str(file)))
    before = state_of(places)
    with pytest.raises(UsageError, match="There is no file"):
        starts.go_to(places, "nodes", Progress(say=quiet))
    assert state_of(places) == before, "nothing is lost for nothing"
    monkeypatch.setattr("labctl.image.cloud_file.look", lambda _: None)
    starts.go_to(places, "nodes", Progress(say=quiet))
    assert [request.vm_image for request in made_anew] == [file]


@pytest.mark.parametrize("step", range(1, 13))
@pytest.mark.usefixtures("made_anew")
def test_a_lab_that_is_killed_while_it_is_cleared_is_cleared_by_the_next_call(
    places: LabPlaces, step: int
) -> None:
    killed_at(step, CHANGES_AND_COPIES, lambda: swap.clear(places, ["secrets"]))
    marked = (places.root / ".restore" / "marker").exists()
    assert swap.finish_interrupted(places) == marked
    if step > 2:
        assert swap.content(places) == ["secrets"]
    assert (places.secrets / "key").read_text() == "a secret"


@pytest.mark.usefixtures("made_anew")
def test_no_room_even_for_a_new_lab_is_told(places: LabPlaces, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(starts, "bring_up_held", full)
    with pytest.raises(HostLacks, match="no room left to make lab unit anew") as told:
        starts.go_to(places, "nodes", Progress(say=quiet))
    assert "snapshot delete" in told.value.mend


def test_the_last_restore_is_remembered_and_in_no_snapshot(lab: Lab, places: LabPlaces) -> None:
    assert swap.last(places) == ("", 0.0)
    take(lab, places)
    for name in ("one", ""):  # "": made anew
        tree = swap.prepare(places)
        copying.copy_exactly(snapshot.folder(places, "one") / TREE, ["lab.json"], tree)
        swap.commit(places, ["lab.json"], name)
        found, since = swap.last(places)
        assert found == name
        assert 0 <= since < 60
    assert "restored.json" not in swap.content(places)
    (places.root / "restored.json").write_text("{")
    assert swap.last(places) == ("", 0.0)


# -- the copy ----------------------------------------------------------------------------------


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    top, copy = tmp_path / "top", tmp_path / "copy"
    (top / "a" / "deep").mkdir(parents=True)
    (top / "a" / "file").write_text("one")
    (top / "a" / "other").hardlink_to(top / "a" / "file")
    (top / "a" / "deep" / "link").symlink_to("nowhere")
    (top / "b").mkdir()
    (top / "b" / "gone").write_text("soon")
    copy.mkdir()
    return top, copy


def test_a_copy_has_nothing_to_change(trees: tuple[Path, Path]) -> None:
    top, copy = trees
    copying.copy_exactly(top, ["a", "b"], copy)
    assert not copying.changes(top, ["a", "b"], copy, since=None)
    assert (copy / "a" / "file").samefile(copy / "a" / "other")


def test_a_change_that_leaves_no_look_is_told_by_its_time(trees: tuple[Path, Path]) -> None:
    top, copy = trees
    copying.copy_exactly(top, ["a"], copy)
    about = (top / "a" / "file").stat()
    (top / "a" / "file").write_text("two")
    os.utime(top / "a" / "file", ns=(about.st_atime_ns, about.st_mtime_ns))
    assert not copying.changes(top, ["a"], copy, since=None).files
    found = copying.changes(top, ["a"], copy, since=about.st_ctime)
    assert {"a/file", "a/other"} <= set(found.files)


def changed(top: Path) -> None:
    (top / "a" / "file").write_text("longer than before")
    (top / "b" / "gone").unlink()
    (top / "b").rmdir()
    (top / "b").write_text("a file now")
    (top / "a" / "deep" / "link").unlink()
    (top / "a" / "deep" / "link").mkdir()
    (top / "a" / "new" / "er").mkdir(parents=True)
    (top / "a" / "new" / "er" / "-f").write_text("dash")
    (top / "a" / "new").chmod(0o711)
    os.utime(top / "a", ns=(1, 1))


def test_bringing_the_changes_makes_the_copy_equal(trees: tuple[Path, Path]) -> None:
    top, copy = trees
    copying.copy_exactly(top, ["a", "b"], copy)
    changed(top)
    found = copying.changes(top, ["a", "b"], copy, since=None)
    assert found
    copying.bring(top, ["a", "b"], copy, found, moving=False)
    assert not copying.changes(top, ["a", "b"], copy, since=None)
    assert (copy / "a" / "other").read_text() == "longer than before"
    assert (copy / "a" / "file").samefile(copy / "a" / "other")
    assert (copy / "a").stat().st_mtime_ns == 1
    assert stat.S_IMODE((copy / "a" / "new").stat().st_mode) == 0o711


@root_only
def test_what_an_overlay_is_made_of_survives(trees: tuple[Path, Path]) -> None:
    """Whiteouts, opaque folders and their attributes, in both passes (overlayfs.rst of the kernel)."""
    top, copy = trees
    os.mknod(top / "a" / "whiteout", stat.S_IFCHR, os.makedev(0, 0))
    os.setxattr(top / "a" / "deep", "trusted.overlay.opaque", b"y")
    os.setxattr(top / "a" / "file", "trusted.overlay.origin", b"\0\1handle")
    os.mknod(top / "a" / "socket", stat.S_IFSOCK | 0o600)
    copying.copy_exactly(top, ["a", "b"], copy)
    (top / "b" / "gone").unlink()
    (top / "b").rmdir()
    os.mknod(top / "b", stat.S_IFCHR, os.makedev(0, 0))
    (top / "a" / "late").mkdir()
    os.setxattr(top / "a" / "late", "trusted.overlay.opaque", b"y")
    os.removexattr(top / "a" / "deep", "trusted.overlay.opaque")
    os.chown(top / "a" / "file", 1, 2)
    found = copying.changes(top, ["a", "b"], copy, since=0.0)
    copying.bring(top, ["a", "b"], copy, found, moving=False)
    assert not copying.changes(top, ["a", "b"], copy, since=None)
    for name in ("a/whiteout", "b"):
        about = (copy / name).lstat()
        assert stat.S_ISCHR(about.st_mode)
        assert about.st_rdev == 0
    assert stat.S_ISSOCK((copy / "a" / "socket").lstat().st_mode)
    assert os.getxattr(copy / "a" / "late", "trusted.overlay.opaque") == b"y"
    assert os.getxattr(copy / "a" / "file", "trusted.overlay.origin") == b"\0\1handle"
    assert "trusted.overlay.opaque" not in os.listxattr(copy / "a" / "deep")


def test_a_name_of_many_stays_with_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hard links over the border of a portion."""
    monkeypatch.setattr(copying, "BATCH", 2)
    top, copy = tmp_path / "top", tmp_path / "copy"
    top.mkdir()
    copy.mkdir()
    (top / "0").write_text("x")
    for number in range(1, 5):
        (top / str(number)).hardlink_to(top / "0")
        (top / f"single{number}").write_text(str(number))
    names = [path.name for path in top.iterdir()]
    copying.bring(top, names, copy, copying.changes(top, names, copy, since=None), moving=False)
    assert (copy / "0").stat().st_nlink == 5
    assert not copying.changes(top, names, copy, since=None)


def test_a_copy_whose_labctl_is_dead_already_does_not_begin(
    trees: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the fork and the word to the kernel that ends cp with it."""
    top, copy = trees
    with monkeypatch.context() as patched:
        patched.setattr(os, "getpid", lambda: 1)
        copying.copy_moving(top, ["a"], copy)
    assert list(copy.iterdir()) == []
    copying.copy_moving(top, ["a"], copy)
    assert (copy / "a").is_dir()


def test_removing_waits_for_who_still_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tree").mkdir()
    calls = 0
    real = shutil.rmtree

    def refused_once(path: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError(errno.ENOTEMPTY, "Directory not empty")
        real(path)

    monkeypatch.setattr(shutil, "rmtree", refused_once)
    copying.remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
    copying.remove_tree(tmp_path / "tree")


# -- the guard ---------------------------------------------------------------------------------


class Guarded:
    """The guard in a thread, on a folder that plays the cgroup."""

    def __init__(self, cgroup: Path, longest: float) -> None:
        self.file = cgroup / "cgroup.freeze"
        self.file.write_text("1")
        commands, self.commands = os.pipe()
        self.answers, answers = os.pipe()
        self.thread = threading.Thread(target=guard, args=(str(cgroup), longest, commands, answers))
        self.thread.start()

    def announce(self) -> None:
        os.write(self.commands, b"f")
        assert os.read(self.answers, 1) == b"f"


@pytest.fixture
def guarded(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Guarded]:
    found = Guarded(tmp_path, getattr(request, "param", 60.0))
    yield found
    if found.commands >= 0:
        os.close(found.commands)
    found.thread.join(10)
    assert not found.thread.is_alive()


def test_the_guard_thaws_when_labctl_dies(guarded: Guarded) -> None:
    guarded.announce()
    assert guarded.file.read_text() == "1"
    os.close(guarded.commands)
    guarded.commands = -1
    guarded.thread.join(10)
    assert guarded.file.read_text() == "0"


@pytest.mark.parametrize("guarded", [0.05], indirect=True)
def test_the_guard_thaws_when_it_takes_too_long(guarded: Guarded) -> None:
    guarded.announce()
    wait_until("the guard", lambda: guarded.file.read_text() == "0", timeout=10)


@pytest.mark.parametrize("guarded", [0.0], indirect=True)
def test_before_a_freeze_no_time_runs(guarded: Guarded) -> None:
    guarded.thread.join(0.3)
    assert guarded.thread.is_alive()
    assert guarded.file.read_text() == "1"
