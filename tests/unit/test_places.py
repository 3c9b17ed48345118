"""A file is written whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from labctl.places import write_whole


def test_a_file_is_written_whole_with_its_rights(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    (tmp_path / ".secret.new").write_text("of a labctl that was killed")
    (tmp_path / ".secret.new").chmod(0o666)
    write_whole(path, "한글\n", mode=0o600)
    assert path.read_text(encoding="utf-8") == "한글\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record"
    write_whole(path, "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
