"""open-iscsi's records: the text form that its own iscsiadm writes and reads, and where they lie.

Pure functions; labctl's host side uses record_text() and record_path() to place records before a
node's first boot. The keys, their order and the built-in values are those that iscsiadm 2.1.8 writes
with the iscsid.conf of its package (usr/idbm_fields.h, usr/idbm.c of open-iscsi).
"""

from __future__ import annotations

from collections.abc import Mapping

VERSION = "2.1.8"  # of the form; the original writes its own version here
ROOTS = {"debian": "/etc/iscsi", "centos": "/var/lib/iscsi"}
EMPTY = "<empty>"
SECRETS = frozenset({
    "node.session.auth.password", "node.session.auth.password_in",
    "discovery.sendtargets.auth.password", "discovery.sendtargets.auth.password_in",
})  # fmt: skip

Record = dict[str, str]

_IFACE = """
iface.iscsi_ifacename=default iface.net_ifacename= iface.ipaddress= iface.prefix_len=0 iface.hwaddress=
iface.transport_name=tcp iface.initiatorname= iface.state= iface.vlan_id=0 iface.vlan_priority=0
iface.vlan_state= iface.iface_num=0 iface.mtu=0 iface.port=0 iface.bootproto= iface.subnet_mask=
iface.gateway= iface.dhcp_alt_client_id_state= iface.dhcp_alt_client_id= iface.dhcp_dns=
iface.dhcp_learn_iqn= iface.dhcp_req_vendor_id_state= iface.dhcp_vendor_id_state= iface.dhcp_vendor_id=
iface.dhcp_slp_da= iface.fragmentation= iface.gratuitous_arp= iface.incoming_forwarding= iface.tos_state=
iface.tos=0 iface.ttl=0 iface.delayed_ack= iface.tcp_nagle= iface.tcp_wsf_state= iface.tcp_wsf=0
iface.tcp_timer_scale=0 iface.tcp_timestamp= iface.redirect= iface.def_task_mgmt_timeout=0
iface.header_digest= iface.data_digest= iface.immediate_data= iface.initial_r2t= iface.data_seq_inorder=
iface.data_pdu_inorder= iface.erl=0 iface.max_receive_data_len=0 iface.first_burst_len=0
iface.max_outstanding_r2t=0 iface.max_burst_len=0 iface.chap_auth= iface.bidi_chap=
iface.strict_login_compliance= iface.discovery_auth= iface.discovery_logout=
"""
_NODE_HEAD = "node.name= node.tpgt=1 node.startup=manual node.leading_login=No"
_NODE_TAIL = """
node.discovery_address= node.discovery_port=0 node.discovery_type=static node.session.initial_cmdsn=0
node.session.initial_login_retry_max=8 node.session.xmit_thread_priority=-20 node.session.cmds_max=128
node.session.queue_depth=32 node.session.nr_sessions=1 node.session.auth.authmethod=None
node.session.auth.username= node.session.auth.password= node.session.auth.username_in=
node.session.auth.password_in= node.session.auth.chap_algs=MD5 node.session.timeo.replacement_timeout=120
node.session.err_timeo.abort_timeout=15 node.session.err_timeo.lu_reset_timeout=30
node.session.err_timeo.tgt_reset_timeout=30 node.session.err_timeo.host_reset_timeout=60
node.session.iscsi.FastAbort=Yes node.session.iscsi.InitialR2T=No node.session.iscsi.ImmediateData=Yes
node.session.iscsi.FirstBurstLength=262144 node.session.iscsi.MaxBurstLength=16776192
node.session.iscsi.DefaultTime2Retain=0 node.session.iscsi.DefaultTime2Wait=2
node.session.iscsi.MaxConnections=1 node.session.iscsi.MaxOutstandingR2T=1 node.session.iscsi.ERL=0
node.session.scan=auto node.session.reopen_max=0 node.conn[0].address= node.conn[0].port=3260
node.conn[0].startup=manual node.conn[0].tcp.window_size=524288 node.conn[0].tcp.type_of_service=0
node.conn[0].timeo.logout_timeout=15 node.conn[0].timeo.login_timeout=15
node.conn[0].timeo.auth_timeout=45 node.conn[0].timeo.noop_out_interval=5
node.conn[0].timeo.noop_out_timeout=5 node.conn[0].iscsi.MaxXmitDataSegmentLength=0
node.conn[0].iscsi.MaxRecvDataSegmentLength=262144 node.conn[0].iscsi.HeaderDigest=None
node.conn[0].iscsi.DataDigest=None node.conn[0].iscsi.IFMarker=No node.conn[0].iscsi.OFMarker=No
"""
_DISCOVERY = """
discovery.startup=manual discovery.type=sendtargets discovery.sendtargets.address=
discovery.sendtargets.port=3260 discovery.sendtargets.auth.authmethod=None
discovery.sendtargets.auth.username= discovery.sendtargets.auth.password=
discovery.sendtargets.auth.username_in= discovery.sendtargets.auth.password_in=
node.session.auth.chap_algs=MD5 discovery.sendtargets.timeo.login_timeout=15
discovery.sendtargets.use_discoveryd=No discovery.sendtargets.discoveryd_poll_inval=30
discovery.sendtargets.reopen_max=5 discovery.sendtargets.timeo.auth_timeout=45
discovery.sendtargets.timeo.active_timeout=30 discovery.sendtargets.iscsi.MaxRecvDataSegmentLength=32768
"""
# What a key may be set to, where that is a choice. Anything else that starts as a number stays one.
_CHOICES = {
    "node.startup": ("manual", "automatic", "onboot"),
    "node.conn[0].startup": ("manual", "automatic", "onboot"),
    "node.session.auth.authmethod": ("None", "CHAP"),
    "discovery.sendtargets.auth.authmethod": ("None", "CHAP"),
    "node.session.scan": ("auto", "manual"),
    "iface.transport_name": ("tcp",),
}


def _table(text: str) -> Record:
    return dict(word.split("=", 1) for word in text.split())


IFACE = _table(_IFACE)
NODE = {**_table(_NODE_HEAD), **IFACE, **_table(_NODE_TAIL)}
DISCOVERY = _table(_DISCOVERY)


def parse(text: str) -> Record:
    """`name = value` lines of a record or of iscsid.conf; comments and anything else is left out."""
    found: Record = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith("#"):
            value = value.strip()
            found[name.strip()] = "" if value == EMPTY else value
    return found


def render(record: Mapping[str, str]) -> str:
    """A record as it lies on disk: empty values are left out."""
    lines = [f"{name} = {value}" for name, value in record.items() if value]
    return "\n".join([f"# BEGIN RECORD {VERSION}", *lines, "# END RECORD", ""])


def show(record: Mapping[str, str], *, secrets: bool) -> str:
    """A record as iscsiadm prints it: every key, passwords as stars unless secrets (-S)."""
    lines = []
    for name, value in record.items():
        shown = "********" if value and name in SECRETS and not secrets else value or EMPTY
        lines.append(f"{name} = {shown}")
    return "\n".join([f"# BEGIN RECORD {VERSION}", *lines, "# END RECORD", ""])


def complete(kind: Mapping[str, str], *layers: Mapping[str, str]) -> Record:
    """kind (NODE, IFACE, DISCOVERY) with the known keys of the layers on top, in kind's order."""
    record = dict(kind)
    for layer in layers:
        record.update({name: value for name, value in layer.items() if name in kind})
    return record


def fault(kind: Mapping[str, str], name: str, value: str) -> str:
    """Why a key cannot take a value, in the original's words, a line each; empty when it can."""
    if name not in kind:
        return f"Cannot modify {name}. Invalid param name."
    default = kind[name]
    choices = _CHOICES.get(name) or (("Yes", "No") if default in ("Yes", "No") else ())
    number = default.lstrip("-").isdigit()
    if (choices and value not in choices) or (number and not value.lstrip("-").isdigit()):
        return f"unknown value format '{value}' for parameter name '{name}'\nUnknown parameter {name}."
    return ""


def split_portal(text: str, default_port: int = 3260) -> tuple[str, int, int]:
    """ADDR[:PORT][,TPGT] or [ADDR6][:PORT][,TPGT]: address, port and tpgt (-1: not told).

    Raises ValueError.
    """
    where, _, tag = text.partition(",")
    tpgt = int(tag) if tag else -1
    if where.startswith("["):
        address, _, rest = where[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else ""
    else:
        address, _, port = where.partition(":")
    if not address or (port and not port.isdigit()):
        raise ValueError(f"{text!r} is no portal")
    return address, int(port) if port else default_port, tpgt


def portal_text(address: str, port: str | int) -> str:
    """ADDR:PORT; an IPv6 address stands in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def record_text(
    target: str,
    portal: str,
    tpgt: int = 1,
    *,
    startup: str = "automatic",
    chap: tuple[str, str] | None = None,
) -> str:
    """The node record of a target as open-iscsi keeps it on disk.

    portal: ADDR[:PORT]. startup: automatic, manual or onboot. chap: user name and password.
    """
    address, port, _ = split_portal(portal)
    own = {
        "node.name": target,
        "node.tpgt": str(tpgt),
        "node.startup": startup,
        "node.conn[0].startup": startup,
        "node.conn[0].address": address,
        "node.conn[0].port": str(port),
    }
    if chap:
        own["node.session.auth.authmethod"] = "CHAP"
        own["node.session.auth.username"], own["node.session.auth.password"] = chap
    return render(complete(NODE, own))


def record_path(
    target: str, portal: str, tpgt: int = 1, *, iface: str = "default", root: str = ROOTS["debian"]
) -> str:
    """Where the record of record_text() belongs; root: one of ROOTS, by family. Mode 0600."""
    address, port, _ = split_portal(portal)
    return f"{root}/nodes/{target}/{address},{port},{tpgt}/{iface}"
