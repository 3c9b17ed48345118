"""Packing a folder into a file system in a file; what needs an image store is proved by ci/lio/vm.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from labctl.errors import CommandFailed
from labctl.image.disk import pack_folder
from labctl.run import run


def ask(image: Path, request: str) -> str:
    return run(["debugfs", "-R", request, image], timeout=30).stdout


def test_a_folder_is_packed_with_links_modes_and_room(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "etc").mkdir(parents=True)
    (source / "etc/one").write_text("text\n")
    (source / "etc/one").chmod(0o640)
    os.link(source / "etc/one", source / "etc/two")
    (source / "link").symlink_to("etc/one")
    image = tmp_path / "out/disk.img"
    pack_folder(source, image, spare_mib=32, label="state")
    assert ask(image, "cat /etc/two") == "text\n"
    assert "Links: 2" in ask(image, "stat /etc/one")
    assert "0640" in ask(image, "stat /etc/one")
    assert 'Fast link dest: "etc/one"' in ask(image, "stat /link")
    assert "state" in ask(image, "stats").splitlines()[0]
    assert image.stat().st_size >= 32 * 1024**2
    assert image.stat().st_blocks * 512 < 8 * 1024**2


def test_packing_again_replaces_the_old_content(tmp_path: Path) -> None:
    source, image = tmp_path / "source", tmp_path / "disk.img"
    source.mkdir()
    (source / "old").write_text("old")
    pack_folder(source, image, spare_mib=16, label="x")
    (source / "old").rename(source / "new")
    pack_folder(source, image, spare_mib=16, label="x")
    listing = ask(image, "ls -p /")
    assert "/new/" in listing
    assert "/old/" not in listing


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed):
        pack_folder(tmp_path / "nowhere", tmp_path / "disk.img", spare_mib=16, label="x")
