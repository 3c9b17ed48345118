"""What iscsiadm prints, in the original's form (usr/session_info.c, usr/iscsiadm.c, usr/iscsi_err.c)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import records, state
from .records import Record
from .voice import complain, say

ERRORS = {
    1: "unknown error",
    2: "session not found",
    4: "encountered connection failure",
    5: "encountered iSCSI login failure",
    6: "encountered iSCSI database failure",
    7: "invalid parameter",
    8: "connection timed out",
    9: "internal error",
    10: "encountered iSCSI logout failure",
    11: "iSCSI PDU timed out",
    15: "session exists",
    19: "encountered non-retryable iSCSI login failure",
    21: "no objects found",
    24: "iSCSI login failed due to authorization failure",
}


def error(text: str) -> None:
    complain(f"iscsiadm: {text}")


def reported(code: int) -> None:
    error(f"initiator reported error ({code} - {ERRORS.get(code, 'unknown error')})")


def portal_of(record: Record) -> str:
    """ADDR,PORT as messages have it."""
    return f"{record['node.conn[0].address']},{record['node.conn[0].port']}"


def node_line(record: Record) -> str:
    """ADDR:PORT,TPGT IQN. A portal group that was never told is shown as the original does, unsigned."""
    where = records.portal_text(record["node.conn[0].address"], record["node.conn[0].port"])
    return f"{where},{int(record['node.tpgt']) & 0xFFFFFFFF} {record['node.name']}"


def nodes(found: Sequence[Record], level: int, *, indent: str = "", ifaces: bool = True) -> None:
    """The node list: a line each, or with level 1 a tree."""
    last = ""
    for record in found:
        if level < 1:
            say(node_line(record))
            continue
        if record["node.name"] != last:
            last = record["node.name"]
            say(f"{indent}Target: {last}")
        where = records.portal_text(record["node.conn[0].address"], record["node.conn[0].port"])
        say(f"{indent}\tPortal: {where},{record['node.tpgt']}")
        if ifaces:
            say(f"{indent}\t\tIface Name: {record['iface.iscsi_ifacename']}")


def target_label(session: state.Document) -> str:
    """[sid: 1, target: IQN, portal: ADDR,PORT] as logout and rescan name a session."""
    address, port, _ = records.split_portal(str(session["portal"]))
    return f"[sid: {session['sid']}, target: {session['target']}, portal: {address},{port}]"


def session_list(found: Sequence[state.Document]) -> None:
    for session in found:
        say(f"tcp: [{session['sid']}] {session['portal']},{session['tpgt']} {session['target']} (non-flash)")


def session_tree(found: Sequence[state.Document], level: int, *, secrets: bool) -> None:
    """-P 1 to 3: the sessions with their parameters and disks."""
    if level >= 3:
        say("iSCSI Transport Class version 2.0-870")
        say(f"version {records.VERSION}")
    last = ""
    for session in found:
        request = state.load("request", int(session["sid"])) or {}
        record: Record = request.get("record") or dict(records.NODE)
        if session["target"] != last:
            last = str(session["target"])
            say(f"Target: {last} (non-flash)")
        for which in ("Current", "Persistent"):
            say(f"\t{which} Portal: {session['portal']},{session['tpgt']}")
        _block(_iface_lines(session, record), "Interface:", "**********")
        _block(_state_lines(session))
        if level >= 2:
            _block(_timeout_lines(record), "Timeouts:", "*********")
            _block(_chap_lines(record, secrets), "CHAP:", "*****")
            _block(_parameter_lines(record), "Negotiated iSCSI params:", "************************")
        if level >= 3:
            _block(_disk_lines(session), "Attached SCSI devices:", "************************")


def _block(lines: Sequence[str], title: str = "", stars: str = "") -> None:
    for line in (*((stars, title, stars) if title else ()), *lines):
        say(f"\t\t{line}")


def _iface_lines(session: state.Document, record: Record) -> list[str]:
    return [
        f"Iface Name: {session['iface']}",
        "Iface Transport: tcp",
        f"Iface Initiatorname: {session['initiator']}",
        f"Iface IPaddress: {record['iface.ipaddress'] or 'default'}",
        "Iface HWaddress: default",
        "Iface Netdev: default",
    ]


def _state_lines(session: state.Document) -> list[str]:
    good = session["state"] == "LOGGED_IN"
    return [
        f"SID: {session['sid']}",
        f"iSCSI Connection State: {'LOGGED IN' if good else 'TRANSPORT WAIT'}",
        f"iSCSI Session State: {session['state']}",
        f"Internal iscsid Session State: {'NO CHANGE' if good else 'REOPEN'}",
    ]


def _timeout_lines(record: Record) -> list[str]:
    times = (
        ("Recovery", "timeo.replacement"),
        ("Target Reset", "err_timeo.tgt_reset"),
        ("LUN Reset", "err_timeo.lu_reset"),
        ("Abort", "err_timeo.abort"),
    )
    return [f"{name} Timeout: {record[f'node.session.{key}_timeout']}" for name, key in times]


def _chap_lines(record: Record, secrets: bool) -> list[str]:
    lines = []
    for key in ("username", "password", "username_in", "password_in"):
        value = record[f"node.session.auth.{key}"] or records.EMPTY
        lines.append(f"{key}: {'********' if key.startswith('password') and not secrets else value}")
    return lines


def _parameter_lines(record: Record) -> list[str]:
    names = (
        "conn[0].iscsi.HeaderDigest", "conn[0].iscsi.DataDigest", "conn[0].iscsi.MaxRecvDataSegmentLength",
        "session.iscsi.FirstBurstLength", "session.iscsi.MaxBurstLength", "session.iscsi.ImmediateData",
        "session.iscsi.InitialR2T", "session.iscsi.MaxOutstandingR2T",
    )  # fmt: skip
    return [f"{name.rsplit('.', 1)[1]}: {record[f'node.{name}']}" for name in names]


def _disk_lines(session: state.Document) -> list[str]:
    lines = [f"Host Number: {session['sid']}\tState: running"]
    for disk in session["disks"]:
        lines.append(f"scsi{session['sid']} Channel 00 Id 0 Lun: {disk['lun']}")
        good = "running" if session["state"] == "LOGGED_IN" else "transport-offline"
        lines.append(f"\tAttached scsi disk {disk['name']}\t\tState: {good}")
    return lines


def stats(session: state.Document, counted: dict[str, Any]) -> None:
    """iscsiadm -s. The disks are counted; packets that QEMU does not tell of are 0."""
    commands = counted["reads"] + counted["writes"]
    values = {
        "txdata_octets": counted["written"],
        "rxdata_octets": counted["read"],
        "noptx_pdus": 0, "scsicmd_pdus": commands, "tmfcmd_pdus": 0, "login_pdus": 0, "text_pdus": 0,
        "dataout_pdus": counted["writes"], "logout_pdus": 0, "snack_pdus": 0, "noprx_pdus": 0,
        "scsirsp_pdus": commands, "tmfrsp_pdus": 0, "textrsp_pdus": 0, "datain_pdus": counted["reads"],
        "logoutrsp_pdus": 0, "r2t_pdus": 0, "async_pdus": 0, "rjt_pdus": 0, "digest_err": 0, "timeout_err": 0,
    }  # fmt: skip
    say(f"Stats for session {target_label(session)}")
    say("iSCSI SNMP:")
    for name, value in values.items():
        say(f"\t{name}: {value}")
