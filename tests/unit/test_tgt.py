"""tgtd's words are understood, and its connections are found."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from labctl.storage.innode import command, reconcile, sever, tgt
from tests.fakes.tgtd import FakeTgtd

RECORDED = Path(__file__).parent / "recorded" / "tgtadm-target.txt"
BLOCKS = "iqn.2023-02.com.example:blocks"


@pytest.fixture
def tgtd(monkeypatch: pytest.MonkeyPatch) -> FakeTgtd:
    fake = FakeTgtd()
    monkeypatch.setattr(command, "run", fake)
    return fake


def test_the_recorded_state_is_understood() -> None:
    blocks, second = tgt.parse(RECORDED.read_text())
    assert (blocks.tid, blocks.iqn) == (1, BLOCKS)
    [session] = blocks.sessions
    assert session.initiator == "iqn.2023-02.com.example:node2.init"
    assert session.connections == (tgt.Connection(0, "192.168.100.110"),)
    assert [(lun.lun, lun.path, lun.online, lun.readonly) for lun in blocks.luns] == [
        (1, "/var/lib/iscsi_disks/sdb.img", True, False),
        (2, "/var/lib/iscsi_disks/sdc.img", True, False),
    ]
    assert blocks.luns[0].identifier == reconcile.identifier(blocks.luns[0].serial)
    assert (blocks.users, blocks.outgoing) == (("username",), "target")
    assert blocks.initiators == ("iqn.2023-02.com.example:node2.init",)
    assert (second.iqn, second.luns, second.addresses) == ("iqn.2023-02.com.example:second", (), ("ALL",))


def test_no_state_is_no_targets() -> None:
    assert tgt.parse("") == ()
    portals = "Portal: 0.0.0.0:3260,1\nPortal: [::1]:3260,1\n"
    assert tgt.parse_portals(portals) == ("0.0.0.0:3260", "[::1]:3260")
    assert tgt.parse_accounts("Account list:\n    back\n    username\n") == ("back", "username")


def test_a_refused_step_says_which_and_hides_the_password(tgtd: FakeTgtd) -> None:
    tgt.new_account("username", "password1234")
    with pytest.raises(tgt.TgtError, match="account --user username: tgtadm: this account") as caught:
        tgt.new_account("username", "password1234")
    assert "password1234" not in str(caught.value)


def test_addresses_of_proc_net_tcp(tmp_path: Path) -> None:
    assert sever.address_of("6464A8C0") == "192.168.100.100"
    assert sever.address_of("0000000000000000FFFF00006464A8C0") == "192.168.100.100"
    assert sever.address_of("00000000000000000000000001000000") == "::1"


def test_a_socket_of_another_process_is_found_and_shut() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
        ours.settimeout(5)
        with ours, theirs:
            found = [peer for peer in sever.peers(os.getpid()) if peer.fd == theirs.fileno()]
            assert [peer.address for peer in found] == ["127.0.0.1"]
            assert sever.shut(os.getpid(), theirs.fileno())
            assert ours.recv(1) == b""
            assert theirs.recv(1) == b""
