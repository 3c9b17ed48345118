"""targetcli's shell: lines, sizes, saving and restoring."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from labctl.storage.innode import document, targetcli, tree, tree_stores
from tests.fakes import targetcli as fakes
from tests.fakes.targetcli import BLOCKS, TPG, Cli
from tests.fakes.tgtd import FakeTgtd

cli, tgtd = fakes.cli, fakes.tgtd  # fixtures

# -- saving and restoring ----------------------------------------------------------------------------


def test_saved_cleared_restored(cli: Cli, tgtd: FakeTgtd) -> None:
    cli.course()
    cli("saveconfig")
    before = json.loads(Path(document.RUNNING).read_text())
    assert cli("clearconfig confirm=True") == "All configuration cleared"
    assert tgtd.targets == {}
    assert (cli.disks / "sdb.img").exists()
    assert cli("restoreconfig") == f"Configuration restored from {document.SAVED}"
    assert list(tgtd.target(BLOCKS).luns) == [1, 2]
    assert json.loads(Path(document.RUNNING).read_text()) == before
    assert "storageobject 'fileio:sdb' exist not restoring" in cli("restoreconfig", rc=1)
    cli(f"restoreconfig {document.SAVED} clear_existing=true")


def test_the_last_ten_saved_ones_are_kept(cli: Cli) -> None:
    folder = Path(document.SAVED).parent / "backup"
    cli("saveconfig")
    first = Path(document.SAVED).read_bytes()
    folder.mkdir()
    for number in range(12):
        (folder / f"saveconfig-20200101-00:00:{number:02}-json.gz").write_bytes(gzip.compress(b""))
    cli.disk("sdb")
    assert cli("saveconfig").splitlines()[0] == f"Last 10 configs saved in {folder}/."
    kept = sorted(folder.iterdir())
    assert len(kept) == 10
    assert gzip.decompress(kept[-1].read_bytes()) == first


def test_a_document_of_the_original_can_be_restored(cli: Cli, tgtd: FakeTgtd, tmp_path: Path) -> None:
    """One that LIO saved has LUN 0, which tgtd cannot have: said, not done by halves."""
    cli.course()
    cli("saveconfig")
    cli("clearconfig confirm=True")
    saved = json.loads(Path(document.SAVED).read_text())
    saved["targets"][0]["tpgs"][0]["luns"][0]["index"] = 0
    foreign = tmp_path / "lio.json"
    foreign.write_text(json.dumps(saved))
    assert "LUN 0 is tgtd's controller" in cli(f"restoreconfig {foreign}", rc=1)
    assert tgtd.targets == {}


# -- the shell -----------------------------------------------------------------------------------------


def shell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *lines: str
) -> tuple[str, str]:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    assert targetcli.main([]) == 0
    out, err = capsys.readouterr()
    return out, err


def test_the_shell_reads_lines_and_saves_at_its_end(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.course()
    out, err = shell(
        monkeypatch, capsys, "cd iscsi", f"cd {BLOCKS}/tpg1", "pwd", "bogus", "cd ../..", "luns", "", "exit"
    )
    assert f"/iscsi> /iscsi/iqn.20...e:blocks/tpg1> /iscsi/{BLOCKS}/tpg1\n" in out
    assert err == "Command not found bogus\nCommand not found luns\n"
    assert out.endswith(f"Global pref auto_save_on_exit=true\nConfiguration saved to {document.SAVED}\n")


def test_the_shell_steps_back_from_what_was_deleted(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.course()
    out, err = shell(monkeypatch, capsys, f"cd {TPG}/luns", f"/iscsi delete {BLOCKS}", "pwd")
    assert err == ""
    assert out.count("/iscsi\n") == 1
    assert "exit\n" in out, "the end of input is an exit"


def test_tgtd_is_started_when_it_is_needed(cli: Cli, tgtd: FakeTgtd) -> None:
    tgtd.running = False
    cli("ls")
    assert not tgtd.running
    cli.disk("sdb")
    assert tgtd.running


@pytest.mark.parametrize(("text", "size"), [
    ("2G", 2 * 1024**3), ("2GB", 2 * 1024**3), ("2GiB", 2 * 1024**3), ("2048M", 2 * 1024**3),
    ("2147483648", 2 * 1024**3), ("4096B", 4096), ("1t", 1024**4), ("512k", 512 * 1024),
])  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert tree_stores.size_of(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "1.5G", "2GG", "two"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(tree.CliError, match="Cannot interpret size"):
        tree_stores.size_of(text)


@pytest.mark.parametrize(("line", "parsed"), [
    ("ls", ("", "ls", [], {})),
    ("/iscsi create wwn=x", ("/iscsi", "create", [], {"wwn": "x"})),
    ("cd ..", ("", "cd", [".."], {})),
    (".. ls / 2", ("..", "ls", ["/", "2"], {})),
    ("set auth password='a b'", ("", "set", ["auth"], {"password": "a b"})),
])  # fmt: skip
def test_lines_are_taken_apart(line: str, parsed: tuple[Any, ...]) -> None:
    assert targetcli.parse(line) == parsed


def test_an_open_quote_is_an_error() -> None:
    with pytest.raises(tree.CliError, match="Syntax error"):
        targetcli.parse("cd 'x")
