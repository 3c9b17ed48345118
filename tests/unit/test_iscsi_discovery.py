"""What a target is asked, and what iscsiadm makes of the answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from labctl.storage.innode import records, wire
from labctl.storage.innode.ask import disks, targets
from tests.fakes.iscsi_target import FakeTarget
from tests.fakes.iscsiadm import BLOCKS, LABEL, NODE1, PORTAL, Cli, make_cli


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(tmp_path, monkeypatch, capsys)


def test_discovery(cli: Cli) -> None:
    with FakeTarget(
        targets={BLOCKS: ["10.0.0.1:3260,1", "10.0.0.2:3260,2"], "iqn.other": ["10.0.0.1:3260,1"]}
    ) as peer:
        told = cli(f"-m discovery -t sendtargets -p 127.0.0.1:{peer.port}")
        assert peer.initiators == [NODE1]
        assert told.splitlines() == [
            f"10.0.0.1:3260,1 {BLOCKS}",
            f"10.0.0.2:3260,2 {BLOCKS}",
            "10.0.0.1:3260,1 iqn.other",
        ]
        assert cli("-m discovery") == f"127.0.0.1:{peer.port} via sendtargets"
        assert sorted(cli("-m node").splitlines()) == sorted(told.splitlines())
        link = (
            cli.root / "etc" / "send_targets" / f"127.0.0.1,{peer.port}" / f"{BLOCKS},10.0.0.2,3260,2,default"
        )
        assert (link.resolve() / "default").is_file()
        # What the portal has no more goes; what is there gets iscsid.conf's settings again.
        cli("-m node -o update -n node.startup -v automatic")
        del peer.targets["iqn.other"]
        cli(f"-m discovery -t st -p 127.0.0.1:{peer.port}")
        assert "iqn.other" not in cli("-m node")
        assert records.parse(cli("-m node -p 10.0.0.1 -o show"))["node.startup"] == "manual"
        cli(f"-m discovery -p 127.0.0.1:{peer.port} -o delete")
    cli("-m node", 21, err=("No records found",))


def test_discovery_of_nothing_and_of_nobody(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labctl.storage.innode.discovery_mode.RETRY", 0.0)
    with FakeTarget() as peer:
        port = peer.port
        cli(f"-m discovery -t st -p 127.0.0.1:{port}", 21, err=("No portals found",))
    refused = "cannot make connection to 127.0.0.1: Connection refused"
    cli(f"-m discovery -t st -p 127.0.0.1:{port}", 11, err=(
        *[refused] * 6, "connection login retries (reopen_max) 5 exceeded",
        "Could not perform SendTargets discovery: iSCSI PDU timed out",
    ))  # fmt: skip


def test_discovery_with_login(cli: Cli) -> None:
    with FakeTarget(targets={BLOCKS: [f"{PORTAL}:3260,1"]}) as peer:
        told = cli(f"-m discovery -t st -p 127.0.0.1:{peer.port} --login").splitlines()
    assert told == [f"{PORTAL}:3260,1 {BLOCKS}", f"Logging in to {LABEL}", f"Login to {LABEL} successful."]


def test_discovery_that_is_not_let_in(cli: Cli) -> None:
    with FakeTarget(refuse=(2, 2)) as peer:
        cli(f"-m discovery -t st -p 127.0.0.1:{peer.port}", 24, err=(
            "discovery login to 127.0.0.1 rejected: initiator failed authorization",
            "Could not perform SendTargets discovery: iSCSI login failed due to authorization failure",
        ))  # fmt: skip


def test_chap_and_disks() -> None:
    with FakeTarget(chap={"user": "right"}, sizes={1: 2**21, 200: 2**22}) as peer:
        with wire.Connection(
            "127.0.0.1", peer.port, initiator=NODE1, target=BLOCKS, chap=("user", "right"), timeout=5
        ) as connection:
            assert connection.tpgt == 7
            assert [(lun.number, lun.size, lun.serial) for lun in disks(connection)] == [
                (1, 2**21, "S001"),
                (200, 2**22, "S200"),
            ]
        for chap in (("user", "wrong"), ("other", "right"), None):
            with pytest.raises(wire.Refused) as refused:
                wire.Connection("127.0.0.1", peer.port, initiator=NODE1, target=BLOCKS, chap=chap, timeout=5)
            assert (refused.value.code, refused.value.final) == (24, True)


@pytest.mark.parametrize(
    ("status", "code", "final"),
    [((2, 1), 24, True), ((2, 2), 24, True), ((2, 3), 19, True), ((2, 9), 19, True), ((3, 1), 5, False)],
)
def test_a_target_s_refusal(status: tuple[int, int], code: int, final: bool) -> None:
    with FakeTarget(refuse=status) as peer, pytest.raises(wire.Refused) as refused:
        wire.Connection("127.0.0.1", peer.port, initiator=NODE1, target=BLOCKS, timeout=5)
    assert (refused.value.code, refused.value.final) == (code, final)


def test_targets_come_in_pieces() -> None:
    portals = {f"iqn.{number}": ["[fe80::1]:3260,1"] for number in range(50)}
    with (
        FakeTarget(targets=portals) as peer,
        wire.Connection("127.0.0.1", peer.port, initiator=NODE1, timeout=5) as connection,
    ):
        found = targets(connection)
    assert [name for name, _ in found] == list(portals)
    assert {where for _, each in found for where in each} == {("fe80::1", 3260, 1)}
