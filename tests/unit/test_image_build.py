"""The image's build, as far as it is logic: hashes, staging, reading output, labels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from labctl.errors import FAILED, HOST_LACKS, HostLacks
from labctl.host import packages
from labctl.host.cgroups import is_pure_v2
from labctl.image import base
from labctl.image.base import Base, get_base, host_mirrors, pull_reason
from labctl.image.build import image_from_inspect, node_tag
from labctl.image.failure import Watch
from labctl.image.family import load_family, sources
from labctl.image.inputs import input_files, inputs_hash, stage
from labctl.image.store import ImageStore


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    copy = tmp_path / "tree"
    copy.mkdir()
    shutil.copy(sources() / "Containerfile.node", copy)
    shutil.copytree(sources() / "images", copy / "images")
    return copy


def test_hash_follows_the_inputs_and_nothing_else(tree: Path) -> None:
    debian, centos = load_family("debian"), load_family("centos")
    before = inputs_hash(tree, debian)
    assert before == inputs_hash(tree, debian) != inputs_hash(tree, centos)
    for unread in ("debian/family.yaml", "debian/SOURCES.md", "centos/finish.sh"):
        path = tree / "images" / unread
        path.write_text(path.read_text() + "\n# changed\n")
        assert inputs_hash(tree, debian) == before, unread
    seen = {before}
    for read in ("common/install", "debian/packages/base.txt", "node/usr/lib/labctl/hostkeys"):
        path = tree / "images" / read
        path.write_text(path.read_text() + "\n# changed\n")
        seen.add(inputs_hash(tree, debian))
    (tree / "images/node/etc/new").write_text("")
    seen.add(inputs_hash(tree, debian))
    (tree / "images/node/etc/new").rename(tree / "images/node/etc/newer")
    seen.add(inputs_hash(tree, debian))
    assert len(seen) == 6


def test_staging_fixes_modes_and_keeps_the_hash(tree: Path, tmp_path: Path) -> None:
    debian = load_family("debian")
    for path in tree.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    staged = tmp_path / "staged"
    staged.mkdir(mode=0o700)
    stage(tree, debian, staged)
    assert inputs_hash(staged, debian) == inputs_hash(tree, debian)
    assert [name for name, _ in input_files(staged, debian)] == [
        name for name, _ in input_files(tree, debian)
    ]
    assert (staged / "images/common/install").stat().st_mode & 0o777 == 0o755
    assert (staged / "images/debian/packages/base.txt").stat().st_mode & 0o777 == 0o644
    assert {path.stat().st_mode & 0o777 for path in staged.rglob("*") if path.is_dir()} == {0o755}
    assert {path.stat().st_mtime for path in staged.rglob("*")} == {0.0}


@pytest.mark.parametrize(
    ("line", "package"),
    [
        ("E: Unable to locate package pacemakr", "pacemakr"),
        ("E: Package 'tomcat9' has no installation candidate", "tomcat9"),
        ("No match for argument: \x1b[1mtgt\x1b[0m", "tgt"),
        ("Error: Unable to find a match: drbd tgt", "drbd, tgt"),
        ("dpkg: error processing package booth (--configure):", "booth"),
    ],
)
def test_a_failed_build_names_group_and_package(line: str, package: str) -> None:
    watch = Watch()
    for text in ("labctl: group base: systemd", "labctl: group storage: lvm2 dlm", line, "exit status 100"):
        watch.line(text)
    error = watch.error("debian")
    assert (error.group, ", ".join(error.packages), error.exit_code) == ("storage", package, FAILED)
    assert "storage" in error.message
    assert package in error.message
    assert "images/debian/packages/storage.txt" in error.mend
    assert "exit status 100" in error.details


def test_a_missing_optional_package_is_not_blamed() -> None:
    watch = Watch()
    for text in (
        "labctl: group storage: lvm2",
        "Error: Unable to find a match: drbd-utils",
        "labctl: optional package drbd-utils: not available, left out",
        "exit status 1",
    ):
        watch.line(text)
    assert watch.error("centos").packages == ()


def test_full_disk_is_noticed() -> None:
    watch = Watch()
    watch.line("cannot copy extracted data: failed to write (No space left on device)")
    assert watch.no_room


def test_too_little_room_names_folder_and_size(tmp_path: Path) -> None:
    with pytest.raises(HostLacks, match=f"1048576 GiB free below {tmp_path / 'images'}") as caught:
        ImageStore(tmp_path / "images").require_room(1048576 * 1024**3)
    assert caught.value.exit_code == HOST_LACKS
    assert "LABCTL_STATE" in caught.value.mend


def test_the_lock_of_a_store_holds_off_a_second_build(tmp_path: Path) -> None:
    import threading

    store = ImageStore(tmp_path / "images")
    said: list[str] = []
    inside = threading.Event()
    waiting = threading.Event()

    def note(line: str) -> None:
        said.append(line)
        waiting.set()

    def second() -> None:
        with store.locked(note):
            inside.set()

    with store.locked(said.append):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(30)
        assert not inside.is_set()
    thread.join(30)
    assert inside.is_set()
    assert said == [f"Another labctl builds in {store.root}; waiting for it."]


@pytest.mark.parametrize(
    ("mounts", "pure"),
    [
        ("31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", True),
        ("31 23 0:28 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs rw\n", False),
        (
            (
                "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
                "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
                "33 31 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
            ),
            False,
        ),
        (
            (
                "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
                "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
                "40 23 0:40 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
            ),
            True,
        ),
        ("", False),
    ],
)
def test_pure_v2_is_told_from_the_rest(mounts: str, pure: bool) -> None:
    assert is_pure_v2(mounts) is pure


def test_pull_reason_is_the_last_cause() -> None:
    output = (
        "Trying to pull quay.io/x:y...\n"
        'Error: initializing source docker://quay.io/x:y: pinging container registry quay.io: Get "https://quay.io/'
        'v2/": dial tcp: lookup quay.io: no such host'
    )
    assert pull_reason(output) == "no such host"
    assert pull_reason("") == "podman gave no reason"


@pytest.fixture
def packages_only(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No base in the store, no registry, no mmdebstrap; what is asked to be installed meanwhile."""
    asked: list[str] = []
    monkeypatch.setattr(base, "local_base", lambda *_: None)
    monkeypatch.setattr(base, "pull", lambda *_: (None, "no such host"))
    monkeypatch.setattr(base, "have_mmdebstrap", lambda: bool(asked))
    monkeypatch.setattr(packages, "ensure", lambda groups, **_: asked.extend(groups))
    monkeypatch.setattr(base, "from_packages", lambda *_: Base("made", "packages"))
    return asked


def test_the_launcher_has_mmdebstrap_installed_once_it_is_needed(
    packages_only: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABCTL_INVOKED_AS", "./lab")
    for _ in range(2):
        made = get_base(ImageStore(Path("/nowhere")), load_family("debian"), lambda _: None)
        assert made == Base("made", "packages")
    assert packages_only == ["debian"]


def test_a_labctl_called_by_itself_installs_nothing_and_says_what_would(
    packages_only: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LABCTL_INVOKED_AS", raising=False)
    with pytest.raises(HostLacks) as caught:
        get_base(ImageStore(Path("/nowhere")), load_family("debian"), lambda _: None)
    assert packages_only == []
    assert "no such host" in caught.value.details
    assert "mmdebstrap is not installed" in caught.value.details
    assert caught.value.mend == "labctl doctor --fix (installs mmdebstrap)"


def test_mirrors_are_the_hosts_only_for_the_same_release() -> None:
    assert host_mirrors("no-such-suite") == []


def test_labels_become_an_image_and_damage_becomes_none() -> None:
    labels = {
        "labctl.packages": json.dumps({"pcs": "0.11.5"}),
        "labctl.inputs": "abc",
        "labctl.base": "pulled x",
        "labctl.empty_cib": "3.16.1",
    }
    image = image_from_inspect({"Id": "f00", "Size": 7, "Labels": labels}, "debian")
    assert image is not None
    assert (image.tag, image.packages, image.empty_cib) == (
        node_tag("debian"),
        {"pcs": "0.11.5"},
        "3.16.1",
    )
    assert image_from_inspect({"Id": "f00", "Labels": None}, "debian") is None
    assert image_from_inspect({"Id": "f00", "Labels": {**labels, "labctl.packages": "{"}}, "debian") is None
