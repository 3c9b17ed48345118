"""corosync.conf, written as `pcs cluster setup` would write it (corosync.conf(5))."""

from __future__ import annotations

from collections.abc import Sequence

from labctl.lab.model import Lab

# A link counts as up after two pongs. At the default interval, a quarter of the token, that is
# over three seconds of every start; the time-out after which a link is dead stays the default.
PING_INTERVAL_MS = 200


def corosync_conf(lab: Lab, *, cluster_uuid: str, logfile: str) -> str:
    """The whole file. ring N is lab.cluster.links[N], by address: no name can lead it astray.

    The parser wants every opening brace alone at the end of its line.
    """
    totem: list[tuple[str, object]] = [
        ("version", 2),
        ("cluster_name", lab.cluster.name),
        ("transport", "knet"),
        ("crypto_cipher", "aes256"),
        ("crypto_hash", "sha256"),
        ("cluster_uuid", cluster_uuid),
    ]
    if lab.cluster.token_ms:
        totem.append(("token", lab.cluster.token_ms))
    interfaces = [
        _section("interface", [("linknumber", n), ("knet_ping_interval", PING_INTERVAL_MS)], indent=1)
        for n, _ in enumerate(lab.cluster.links)
    ]
    quorum: list[tuple[str, object]] = [("provider", "corosync_votequorum")]
    if len(lab.nodes) == 2:
        quorum.append(("two_node", 1))
    if lab.has_machines and lab.has_containers:
        # Containers are there in seconds and would fence a machine that boots for a minute (votequorum(5)).
        quorum.append(("wait_for_all", 1))
    nodes = []
    for node in lab.nodes:
        links = [(f"ring{n}_addr", node.address(link)) for n, link in enumerate(lab.cluster.links)]
        nodes.append(_section("node", [*links, ("name", node.hostname), ("nodeid", node.index)], indent=1))
    logging = [("to_logfile", "yes"), ("logfile", logfile), ("to_syslog", "yes"), ("timestamp", "on")]
    return "\n".join(
        [
            _section("totem", totem)[:-2] + "\n" + "\n".join(interfaces) + "}\n",
            "nodelist {\n" + "\n".join(nodes) + "}\n",
            _section("quorum", quorum),
            _section("logging", logging),
        ]
    )


def _section(name: str, pairs: Sequence[tuple[str, object]], *, indent: int = 0) -> str:
    outer, inner = "    " * indent, "    " * (indent + 1)
    body = "".join(f"{inner}{key}: {value}\n" for key, value in pairs)
    return f"{outer}{name} {{\n{body}{outer}}}\n"
