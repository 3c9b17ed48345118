"""The files that make a machine a node of the lab, and a node a member of the cluster.

Placed before the node boots (or before its daemons start), they do in one step what
`pcs host auth` and `pcs cluster setup` do in many: afterwards pcs finds what it would have made.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from labctl.cluster.cib import first_cib
from labctl.cluster.corosync import corosync_conf
from labctl.cluster.secrets import Secrets
from labctl.engine.base import File
from labctl.lab.model import Lab, NodeSpec

# Both families' images give hacluster:haclient these ids (RHEL's own, images/*/family.sh).
HACLUSTER = 189
HACLIENT = 189
CLUSTER_UNITS = ("corosync.service", "pacemaker.service")
WANTS = "/etc/systemd/system/multi-user.target.wants"


def base_files(lab: Lab, node: NodeSpec, secrets: Secrets, paths: Mapping[str, str]) -> list[File]:
    """Names, time, the lab's ssh key, pcsd's certificate and hosts: what every node has.

    paths: the family's places; chrony_conf and chrony_dropins are used.
    """
    return [
        _text("/etc/hosts", lab.hosts_table()),
        _text("/etc/hostname", node.hostname + "\n"),
        _text(paths["chrony_conf"], chrony_conf(lab, node)),
        File("/root/.ssh", b"", mode=0o700, directory=True),
        _text("/root/.ssh/authorized_keys", secrets.ssh_public, mode=0o600),
        _text("/var/lib/pcsd/pcsd.crt", secrets.pcsd_certificate, mode=0o600),
        _text("/var/lib/pcsd/pcsd.key", secrets.pcsd_key, mode=0o600),
        _text("/etc/iscsi/initiatorname.iscsi", f"InitiatorName={node.initiator}\n", mode=0o600),
    ]


def chrony_conf(lab: Lab, node: NodeSpec) -> str:
    """The time server serves its own clock; the others follow it over the first cluster link.

    chrony.conf(5). The clock itself belongs to the kernel, so chronyd runs with -x.
    """
    network = lab.network(lab.cluster.links[0])
    if node.name == lab.time.server:
        role = f"# This node serves time to the lab.\nlocal stratum 8\nallow {network.subnet}\n"
    else:
        server = lab.node(lab.time.server)
        role = f"server {server.hostname} iburst minpoll 2 maxpoll 6\n"
    return f"{role}driftfile /var/lib/chrony/drift\nmakestep 1.0 3\n"


def pcs_files(lab: Lab, secrets: Secrets) -> list[File]:
    """What `pcs host auth` leaves on a node: every host with its token, and the token it accepts."""
    hosts = {
        node.hostname: {
            "dest_list": [{"addr": node.hostname, "port": 2224}],
            "token": secrets.pcs_token,
        }
        for node in lab.nodes
    }
    known = {"format_version": 1, "data_version": 1, "known_hosts": hosts}
    created = time.strftime("%Y-%m-%d %H:%M:%S +0000", time.gmtime())
    users = [{"creation_date": created, "token": secrets.pcs_token, "username": "hacluster"}]
    settings = {
        "format_version": 2,
        "data_version": 1,
        "clusters": [{"name": lab.cluster.name, "nodes": [node.hostname for node in lab.nodes]}],
        "permissions": {
            "local_cluster": [{"type": "group", "name": "haclient", "allow": ["grant", "read", "write"]}]
        },
    }
    return [
        _text("/var/lib/pcsd/known-hosts", json.dumps(known, indent=2), mode=0o600),
        _text("/var/lib/pcsd/pcs_users.conf", json.dumps(users, indent=2), mode=0o600),
        _text("/var/lib/pcsd/pcs_settings.conf", json.dumps(settings, indent=2), mode=0o644),
    ]


def cluster_files(
    lab: Lab, secrets: Secrets, *, empty_cib: str, corosync_log: str, first: bool, conf: str = ""
) -> list[File]:
    """What makes a node a member, started at boot.

    first: this is a new cluster, so the first CIB goes along; a node that joins one that lives
    gets the CIB from the others.  conf: a living member's corosync.conf, when there is one.
    """
    conf = conf or corosync_conf(lab, cluster_uuid=secrets.cluster_uuid, logfile=corosync_log)
    files = [
        _text("/etc/corosync/corosync.conf", conf),
        File("/etc/corosync/authkey", secrets.corosync_key, mode=0o400),
        File("/etc/pacemaker", b"", mode=0o750, uid=HACLUSTER, gid=HACLIENT, directory=True),
        File("/etc/pacemaker/authkey", secrets.pacemaker_key, mode=0o400, uid=HACLUSTER, gid=HACLIENT),
        *(File(f"{WANTS}/{unit}", b"", link_to=f"/usr/lib/systemd/system/{unit}") for unit in CLUSTER_UNITS),
        *pcs_files(lab, secrets),
    ]
    if first:
        cib = first_cib(lab, empty_cib).encode()
        files.append(File("/var/lib/pacemaker/cib/cib.xml", cib, mode=0o600, uid=HACLUSTER, gid=HACLIENT))
    return files


def _text(path: str, text: str, *, mode: int = 0o644) -> File:
    return File(path, text.encode(), mode=mode)
