"""open-iscsi's records: what the original wrote and printed is what ours write and print."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labctl.storage.innode import records

BLOCKS = "iqn.2023-02.com.example:blocks"
# /etc/iscsi/nodes/…/default as iscsiadm 2.1.8 of Debian 12 wrote it after `-o new`, with its iscsid.conf.
ORIGINAL = f"""\
# BEGIN RECORD 2.1.8
node.name = {BLOCKS}
node.tpgt = 1
node.startup = manual
node.leading_login = No
iface.iscsi_ifacename = default
iface.prefix_len = 0
iface.transport_name = tcp
iface.vlan_id = 0
iface.vlan_priority = 0
iface.iface_num = 0
iface.mtu = 0
iface.port = 0
iface.tos = 0
iface.ttl = 0
iface.tcp_wsf = 0
iface.tcp_timer_scale = 0
iface.def_task_mgmt_timeout = 0
iface.erl = 0
iface.max_receive_data_len = 0
iface.first_burst_len = 0
iface.max_outstanding_r2t = 0
iface.max_burst_len = 0
node.discovery_port = 0
node.discovery_type = static
node.session.initial_cmdsn = 0
node.session.initial_login_retry_max = 8
node.session.xmit_thread_priority = -20
node.session.cmds_max = 128
node.session.queue_depth = 32
node.session.nr_sessions = 1
node.session.auth.authmethod = None
node.session.auth.username = u
node.session.auth.password = secret
node.session.auth.chap_algs = MD5
node.session.timeo.replacement_timeout = 120
node.session.err_timeo.abort_timeout = 15
node.session.err_timeo.lu_reset_timeout = 30
node.session.err_timeo.tgt_reset_timeout = 30
node.session.err_timeo.host_reset_timeout = 60
node.session.iscsi.FastAbort = Yes
node.session.iscsi.InitialR2T = No
node.session.iscsi.ImmediateData = Yes
node.session.iscsi.FirstBurstLength = 262144
node.session.iscsi.MaxBurstLength = 16776192
node.session.iscsi.DefaultTime2Retain = 0
node.session.iscsi.DefaultTime2Wait = 2
node.session.iscsi.MaxConnections = 1
node.session.iscsi.MaxOutstandingR2T = 1
node.session.iscsi.ERL = 0
node.session.scan = auto
node.session.reopen_max = 0
node.conn[0].address = 192.168.100.140
node.conn[0].port = 3260
node.conn[0].startup = manual
node.conn[0].tcp.window_size = 524288
node.conn[0].tcp.type_of_service = 0
node.conn[0].timeo.logout_timeout = 15
node.conn[0].timeo.login_timeout = 15
node.conn[0].timeo.auth_timeout = 45
node.conn[0].timeo.noop_out_interval = 5
node.conn[0].timeo.noop_out_timeout = 5
node.conn[0].iscsi.MaxXmitDataSegmentLength = 0
node.conn[0].iscsi.MaxRecvDataSegmentLength = 262144
node.conn[0].iscsi.HeaderDigest = None
node.conn[0].iscsi.DataDigest = None
node.conn[0].iscsi.IFMarker = No
node.conn[0].iscsi.OFMarker = No
# END RECORD
"""


def test_a_record_is_the_original_s_to_the_letter() -> None:
    read = records.complete(records.NODE, records.parse(ORIGINAL))
    assert records.render(read) == ORIGINAL


def test_record_text_is_a_record() -> None:
    text = records.record_text(BLOCKS, "192.168.100.140:3260", startup="manual")
    without_chap = [line for line in ORIGINAL.splitlines() if "auth.username" not in line]
    assert text.splitlines() == [line for line in without_chap if "auth.password" not in line]


def test_record_text_with_chap_and_automatic() -> None:
    found = records.parse(records.record_text(BLOCKS, "10.0.0.1:3261", 2, chap=("me", "secret secret")))
    assert found["node.startup"] == found["node.conn[0].startup"] == "automatic"
    assert found["node.session.auth.authmethod"] == "CHAP"
    assert (found["node.session.auth.username"], found["node.session.auth.password"]) == (
        "me",
        "secret secret",
    )
    assert (found["node.conn[0].address"], found["node.conn[0].port"], found["node.tpgt"]) == (
        "10.0.0.1",
        "3261",
        "2",
    )


def test_record_path() -> None:
    assert records.record_path(BLOCKS, "192.168.100.100") == (
        f"/etc/iscsi/nodes/{BLOCKS}/192.168.100.100,3260,1/default"
    )
    assert records.record_path(BLOCKS, "192.168.100.100:3261", 3, root=records.ROOTS["centos"]) == (
        f"/var/lib/iscsi/nodes/{BLOCKS}/192.168.100.100,3261,3/default"
    )


def test_show_hides_passwords_unless_asked() -> None:
    record = records.complete(records.NODE, records.parse(ORIGINAL))
    assert "node.session.auth.password = ********" in records.show(record, secrets=False)
    assert "node.session.auth.password = secret" in records.show(record, secrets=True)
    assert "node.session.auth.password_in = <empty>" in records.show(record, secrets=False)


words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


@given(st.dictionaries(st.sampled_from(sorted(records.NODE)), words))
def test_what_is_written_is_read(changes: dict[str, str]) -> None:
    changes = {name: value for name, value in changes.items() if value != records.EMPTY}
    record = records.complete(records.NODE, changes)
    assert records.complete(records.NODE, records.parse(records.render(record))) == record


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("node.startup", "banana"),
        ("node.session.auth.authmethod", "MD5"),
        ("node.leading_login", "maybe"),
        ("node.session.queue_depth", "many"),
        ("node.session.queue_depth", ""),
    ],
)
def test_a_value_that_does_not_fit(name: str, value: str) -> None:
    assert records.fault(records.NODE, name, value) == (
        f"unknown value format '{value}' for parameter name '{name}'\nUnknown parameter {name}."
    )


def test_values_that_fit_and_names_that_do_not_exist() -> None:
    assert records.fault(records.NODE, "node.startup", "automatic") == ""
    assert records.fault(records.NODE, "node.session.xmit_thread_priority", "-5") == ""
    assert records.fault(records.NODE, "node.foo", "1") == "Cannot modify node.foo. Invalid param name."


@pytest.mark.parametrize(
    ("text", "portal"),
    [
        ("10.0.0.1", ("10.0.0.1", 3260, -1)),
        ("10.0.0.1:3261", ("10.0.0.1", 3261, -1)),
        ("10.0.0.1:3261,4", ("10.0.0.1", 3261, 4)),
        ("[fe80::1]:3261,4", ("fe80::1", 3261, 4)),
        ("[fe80::1]", ("fe80::1", 3260, -1)),
        ("storage,1", ("storage", 3260, 1)),
    ],
)
def test_split_portal(text: str, portal: tuple[str, int, int]) -> None:
    assert records.split_portal(text) == portal


@pytest.mark.parametrize("text", ["", ":3260", "host:port", "host,tag"])
def test_what_is_no_portal(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no portal|invalid literal"):
        records.split_portal(text)
