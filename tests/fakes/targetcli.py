"""targetcli called as a user calls it, in front of a FakeTgtd; fixtures for the modules that test it."""

from __future__ import annotations

from pathlib import Path

import pytest

from labctl.storage.innode import command, document, targetcli
from tests.fakes.tgtd import FakeTgtd

BLOCKS = "iqn.2023-02.com.example:blocks"
TPG = f"iscsi/{BLOCKS}/tpg1"
NODE1 = "iqn.2023-02.com.example:node1.init"


class Cli:
    """targetcli as a user calls it."""

    def __init__(self, capsys: pytest.CaptureFixture[str], disks: Path) -> None:
        self._capsys = capsys
        self.disks = disks

    def __call__(self, line: str, rc: int = 0) -> str:
        """Run a command line of words; what it said on stdout, or on stderr when it is to fail."""
        code = targetcli.main(line.split())
        out, err = self._capsys.readouterr()
        assert code == rc, f"{line}: exit code {code}\n{out}{err}"
        assert bool(err) is bool(rc), err
        return (err if rc else out).rstrip("\n")

    def disk(self, name: str, size: str = "2M") -> str:
        return self(f"backstores/fileio create {name} {self.disks}/{name}.img {size}")

    def course(self) -> None:
        """The target of the course, with two disks and one initiator."""
        for name in ("sdb", "sdc"):
            self.disk(name)
        self(f"iscsi/ create {BLOCKS}")
        for name in ("sdb", "sdc"):
            self(f"{TPG}/luns/ create /backstores/fileio/{name}/")
        self(f"{TPG}/acls/ create {NODE1}")


@pytest.fixture
def tgtd(monkeypatch: pytest.MonkeyPatch) -> FakeTgtd:
    fake = FakeTgtd()
    monkeypatch.setattr(command, "run", fake)
    return fake


@pytest.fixture
def cli(
    tgtd: FakeTgtd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    state = tmp_path / "run"
    monkeypatch.setattr(document, "STATE", str(state))
    monkeypatch.setattr(document, "RUNNING", str(state / "running.json"))
    monkeypatch.setattr(document, "RAMDISKS", str(state / "ramdisk"))
    monkeypatch.setattr(document, "SAVED", str(tmp_path / "etc" / "saveconfig.json"))
    monkeypatch.setattr(targetcli, "SAID", str(tmp_path / "said"))
    (tmp_path / "said").touch()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    disks = tmp_path / "disks"
    disks.mkdir()
    return Cli(capsys, disks)
