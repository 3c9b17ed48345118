"""Names of disks, from the target's bytes to /dev; and what a target answered, to the last bit."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from labctl.storage.innode import ask, devices, loops, records, state, wire

BLOCKS = "iqn.2023-02.com.example:blocks"
# VPD page 0x83 of LUN 1 as tgt 1.0.85 answers it: T10 name, a local NAA, NAA 6.
TGT = bytes.fromhex(
    "0083004802010024494554202020202030303031303030310000000000000000000000000000000000000000"
    "010300083000000100000001010300106000000000000000" + "0e00000000010001"
)
LIO = bytes.fromhex("008300440103001060014051f2a1b3c4d5e6f70819203142" + "0201002c4c494f2d4f5247" + "20" * 37)


def test_scsi_id_prefers_the_longest_naa_name() -> None:
    assert ask.wwid(TGT) == "360000000000000000e00000000010001"
    assert ask.wwid(LIO) == "360014051f2a1b3c4d5e6f70819203142"


def test_scsi_id_of_less() -> None:
    assert ask.wwid(bytes.fromhex("0083000c010300083000000100000001")) == "33000000100000001"
    assert ask.wwid(b"\0\x83\0\x10\x02\x01\0\x0cIET     0001") == "1IET_0001"
    assert ask.wwid(b"") == ""


def test_links_are_those_of_udev() -> None:
    lun = ask.Lun(1, 2**31, "beaf11", TGT)
    assert devices.link_names(lun, BLOCKS, "192.168.100.100:3260") == [
        f"by-path/ip-192.168.100.100:3260-iscsi-{BLOCKS}-lun-1",
        "by-id/scsi-360000000000000000e00000000010001",
        "by-id/wwn-0x60000000000000000e00000000010001",
    ]


def test_links_of_a_disk_without_identity() -> None:
    assert devices.link_names(ask.Lun(3, 512, "", b""), BLOCKS, "10.0.0.1:3260") == [
        f"by-path/ip-10.0.0.1:3260-iscsi-{BLOCKS}-lun-3"
    ]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(state, "RUN", tmp_path / "run")
    monkeypatch.setattr(state, "KEPT", tmp_path / "kept")
    return tmp_path


def test_names_are_given_in_order_and_kept(kept: Path) -> None:
    assert [state.name_for(f"t {number}") for number in (5, 1, 3)] == ["sdb", "sdc", "sdd"]
    assert [state.name_for(f"t {number}") for number in (1, 3, 5, 7)] == ["sdc", "sdd", "sdb", "sde"]


def test_a_second_path_to_a_disk_has_a_name_of_its_own(kept: Path) -> None:
    assert state.name_for("t 1") == "sdb"
    state.save("sessions", 1, {"disks": [{"name": "sdb"}]})
    assert state.name_for("t 1") == "sdc"
    state.forget(1, "sessions")
    assert state.name_for("t 1") == "sdb"


def test_after_sdz_comes_sdaa(kept: Path) -> None:
    names = [state.name_for(str(number)) for number in range(30)]
    assert names[24:27] == ["sdz", "sdaa", "sdab"]
    assert len(set(names)) == 30


def test_damaged_names_start_anew(kept: Path) -> None:
    (kept / "kept").mkdir()
    (kept / "kept" / "names.json").write_text('{"t 1": ')
    assert state.name_for("t 1") == "sdb"


def test_session_numbers_are_not_used_twice(kept: Path) -> None:
    assert [state.reserve({"of": number}) for number in range(3)] == [1, 2, 3]
    state.forget(3, "request")
    assert state.reserve({}) == 4
    assert [request["sid"] for request in state.listed("request")] == [1, 2, 4]
    assert (kept / "run" / "request" / "4.json").stat().st_mode & 0o777 == 0o600


def test_loop_config_is_the_kernel_s_structure() -> None:
    """struct loop_config of linux/loop.h has 304 bytes; flags are at 8 + 52, the name behind them."""
    raw = loops._config(7, "/run/x/lun1")
    assert len(raw) == 304
    assert int.from_bytes(raw[:4], "little") == 7
    assert int.from_bytes(raw[60:64], "little") == 4 | 8 | 16
    assert raw[64:76] == b"/run/x/lun1\0"


@pytest.mark.parametrize(
    ("number", "words"),
    [(28, "no free loop device"), (1, "may not make loop devices"), (2, "has no loop devices")],
)
def test_no_loop_device_is_told_in_a_sentence(number: int, words: str) -> None:
    assert words in loops._reason(OSError(number, os.strerror(number)))


def test_chap_answer() -> None:
    """MD5 over identifier, password and challenge (RFC 1994, 4.1)."""
    right = hashlib.md5(b"\x27secret\x00\x11", usedforsecurity=False).hexdigest()
    assert wire.chap_answer("0x27", "0x0011", "secret") == f"0x{right}"
    assert wire.chap_answer("39", "0bABE=", "secret") == wire.chap_answer("0x27", "0x0011", "secret")


def test_text_keys() -> None:
    assert wire.pairs(b"TargetName=a\0TargetAddress=1:2,3\0TargetAddress=4=5,6\0\0") == [
        ("TargetName", "a"),
        ("TargetAddress", "1:2,3"),
        ("TargetAddress", "4=5,6"),
    ]


def test_portal_text() -> None:
    assert records.portal_text("10.0.0.1", 3260) == "10.0.0.1:3260"
    assert records.portal_text("fe80::1", "3260") == "[fe80::1]:3260"
