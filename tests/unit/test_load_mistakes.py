"""Every single way a lab's file can be wrong: its code, its place, its words."""

from __future__ import annotations

from pathlib import Path

import pytest

from labctl.errors import BAD_FILE, BadFile
from labctl.lab.file.read import read_form
from labctl.lab.load import load_lab
from labctl.packaged import data_file

DEFAULT = data_file("compose.yaml").read_text(encoding="utf-8")


def changed(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    """The default file with every first `old` become `new`; an absent `old` fails the test."""
    text = DEFAULT
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    path = tmp_path / "compose.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def line_of(path: Path, text: str) -> int:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, start=1) if text in line)


def found(path: Path, *overrides: Path) -> list[tuple[str, str]]:
    """Code and dotted path of every mistake."""
    _, mistakes = read_form([path, *overrides], {})
    return sorted((mistake.code, ".".join(map(str, mistake.path))) for mistake in mistakes)


def over(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "override.yaml"
    path.write_text(text, encoding="utf-8")
    return path


# code, key path, changes to the default file
MISTAKES = [
    ("unknown-key", "x-lab.fencing.usr", [("    user: centos", "    usr: centos")]),
    (
        "unknown-key",
        "services.node1.host_name",
        [("    hostname: node1", "    host_name: x\n    hostname: node1")],
    ),
    ("unknown-key", "netwroks", [("\nnetworks:\n", "\nnetwroks: {}\nnetworks:\n")]),
    (
        "unknown-key",
        "services.node1.extends",
        [("    hostname: node1", "    extends: {}\n    hostname: node1")],
    ),
    ("type", "x-lab.vm.cpus", [("cpus: 2", "cpus: two")]),
    ("type", "x-lab.vm.cpus", [("cpus: 2", "cpus: true")]),
    ("type", "x-lab.fencing.enabled", [("enabled: true", "enabled: yes")]),
    ("type", "x-lab.credentials.root_password", [("root_password: centos", "root_password: 12345")]),
    ("type", "x-lab.cluster.links", [("links: [internal]", "links: internal")]),
    ("value", "x-lab.vm.memory", [("4096MiB", "4096")]),
    ("value", "x-lab.credentials.root_password", [("root_password: centos", 'root_password: "a\\nb"')]),
    ("duplicate-key", "x-lab.vm.cpus", [("    cpus: 2", "    cpus: 2\n    cpus: 3")]),
    (
        "duplicate-address",
        "services.node2.networks.internal.ipv4_address",
        [("192.168.90.120", "192.168.90.110")],
    ),
    ("duplicate-address", "x-lab.vips.nfs", [("nfs: 192.168.90.250", "nfs: 192.168.90.140")]),
    (
        "outside-subnet",
        "services.node2.networks.internal.ipv4_address",
        [("192.168.90.120", "192.168.91.120")],
    ),
    ("outside-subnet", "x-lab.storage.address", [("address: 192.168.100.100", "address: 192.168.90.100")]),
    (
        "reserved-address",
        "services.node2.networks.internal.ipv4_address",
        [("192.168.90.120", "192.168.90.0")],
    ),
    (
        "reserved-address",
        "services.node2.networks.internal.ipv4_address",
        [("192.168.90.120", "192.168.90.255")],
    ),
    (
        "reserved-address",
        "services.node2.networks.internal.ipv4_address",
        [("192.168.90.120", "192.168.90.1")],
    ),
    (
        "duplicate-address",
        "services.node2.networks.default.ipv4_address",
        [("192.168.122.120", "192.168.122.1")],
    ),
    ("value", "services.node2.networks.internal.ipv4_address", [("192.168.90.120", "192.168.90.300")]),
    ("value", "networks.internal.ipam.config.0.subnet", [("192.168.90.0/24", "192.168.90.7/24")]),
    ("value", "networks.internal.ipam.config.0.subnet", [("192.168.90.0/24", "127.0.0.0/24")]),
    (
        "subnet-overlap",
        "networks.storage.ipam.config.0.subnet",
        [("subnet: 192.168.100.0/24", "subnet: 192.168.0.0/17")],
    ),
    (
        "unknown-network",
        "services.node2.networks.internl",
        [("internal: {ipv4_address: 192.168.90.120", "internl: {ipv4_address: 192.168.90.120")],
    ),
    ("unknown-network", "x-lab.cluster.links.0", [("links: [internal]", "links: [internet]")]),
    ("duplicate-link", "x-lab.cluster.links", [("links: [internal]", "links: [internal, internal]")]),
    ("duplicate-interface", "services.node1.networks.internal.interface_name", [("eth1", "eth0")]),
    ("value", "services.node1.ports.0", [("127.0.0.1:2224-2323:2224", "2224:2224")]),
    ("value", "services.node1.ports.0", [("127.0.0.1:2224-2323:2224", "0.0.0.0:2224:2224")]),
    ("value", "services.node1.ports.0", [("127.0.0.1:2224-2323:2224", "127.0.0.1:2324-2224:2224")]),
    ("value", "services.node1.ports.0", [("127.0.0.1:2224-2323:2224", "127.0.0.1:0:2224")]),
    ("value", "services.node1.ports.0", [("127.0.0.1:2224-2323:2224", "pcsd")]),
    ("value", "services.node1.ports.0.target", [("127.0.0.1:2224-2323:2224", "127.0.0.1:1:70000")]),
    ("value", "services.node1.ports.0.protocol", [("127.0.0.1:2224-2323:2224", "127.0.0.1:1:53/udp")]),
    (
        "duplicate-port",
        "services.node1.ports.1",
        [('["127.0.0.1:2224-2323:2224"]', '["127.0.0.1:22:22", "127.0.0.1:22:23"]')],
    ),
    ("bmc-port", "x-lab.fencing.first_port", [("first_port: 7751", "first_port: 65533")]),
    ("value", "x-lab.fencing.first_port", [("first_port: 7751", "first_port: 0")]),
    ("no-gateway", "x-lab.fencing.network", [("network: default", "network: internal")]),
    (
        "value",
        "x-lab.fencing.password",
        [("    password: centos\n", "    password: more-than-twenty-bytes\n")],
    ),
    ("value", "services.node1.hostname", [("node1.example.com", "node_1.example.com")]),
    ("host-name", "services.node1.hostname", [("node1.example.com", "nodeone.example.com")]),
    ("duplicate-name", "services.node4.x-lab.aliases", [("[storage, cli]", "[storage, node1]")]),
    ("value", "x-lab.storage.target", [("iqn.2023-02.com.example:blocks", "iqn.2023-13.com.example:blocks")]),
    ("value", "x-lab.storage.target", [("iqn.2023-02.com.example:blocks", "iqn.2023-02.com.example:a_B c")]),
    ("value", "x-lab.storage.initiator", [("{node}.init", "init")]),
    ("duplicate-disk", "x-lab.storage.disks.1.name", [("name: sdc", "name: sdb")]),
    (
        "value",
        "x-lab.cluster.name",
        [("  cluster:\n    name: ha_cluster_lab", "  cluster:\n    name: ha lab")],
    ),
    ("value", "x-lab.cluster.dc_deadtime", [("dc_deadtime: ", "dc_deadtime: soon #")]),
    ("unknown-node", "x-lab.time.server", [("server: node4", "server: node5")]),
    ("missing", "x-lab.fencing.user", [("    user: centos\n", "")]),
    ("missing", "x-lab", [("\nx-lab:\n", "\nx-lba:\n")]),
    ("variable", "x-lab.vm.cpus", [("cpus: 2", "cpus: ${LAB_CPUS}")]),
    ("variable", "x-lab.vm.cpus", [("cpus: 2", 'cpus: "${LAB_CPUS:-${OTHER}}"')]),
    ("tag", "x-lab.vm.cpus", [("cpus: 2", "cpus: !!python/name:os.system 2")]),
    ("unknown-key", "services.node4.x-lba", [("    x-lab:\n", "    x-lba:\n")]),
    ("alias", "x-lab.vm", [("  vm:\n", "  vm: *nothing\n  vm2:\n")]),
]


@pytest.mark.parametrize(
    ("code", "path", "changes"), MISTAKES, ids=[f"{m[0]}-{i}" for i, m in enumerate(MISTAKES)]
)
def test_a_mistake_has_its_code_and_place(
    tmp_path: Path, code: str, path: str, changes: list[tuple[str, str]]
) -> None:
    file = changed(tmp_path, *changes)
    assert (code, path) in found(file)
    with pytest.raises(BadFile) as caught:
        load_lab("lab", file=file, environment={})
    assert caught.value.exit_code == BAD_FILE
    assert caught.value.mend
    shown = path.replace(".0", "[0]").replace(".1", "[1]")
    assert any(
        line.startswith(f"{file}:") and f": {shown}: " in line for line in caught.value.details.splitlines()
    )


def test_a_mistake_names_file_line_key_and_the_near_word(tmp_path: Path) -> None:
    file = changed(tmp_path, ("    user: centos", "    usr: centos"))
    with pytest.raises(BadFile) as caught:
        load_lab("lab", file=file)
    line = line_of(file, "usr: centos")
    assert f"{file}:{line}: x-lab.fencing.usr: unknown key (did you mean user?)" in caught.value.details


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    file = changed(
        tmp_path,
        ("cpus: 2", "cpus: two"),
        ("192.168.90.120", "192.168.90.110"),
        ("    user: centos", "    usr: centos"),
        ("hostname: node3", "hostnme: node3"),
        ("server: node4", "server: node9"),
    )
    codes = [code for code, _ in found(file)]
    assert codes == [
        "duplicate-address",
        "missing",
        "missing",
        "type",
        "unknown-key",
        "unknown-key",
        "unknown-node",
    ]


def test_a_node_that_cannot_be_read_is_still_a_node(tmp_path: Path) -> None:
    file = changed(tmp_path, ("node4.example.com", "NODE4"))
    assert found(file) == [("value", "services.node4.hostname")]


def test_a_leg_that_cannot_be_read_is_no_second_mistake(tmp_path: Path) -> None:
    file = changed(tmp_path, ("{ipv4_address: 192.168.90.120, interface_name: eth1}", "{interface_name: 1}"))
    assert found(file) == [
        ("missing", "services.node2.networks.internal.ipv4_address"),
        ("type", "services.node2.networks.internal.interface_name"),
    ]


def test_a_node_outside_a_needed_network_is_named(tmp_path: Path) -> None:
    file = over(tmp_path, "services: {node3: {networks: {internal: !reset null}}}")
    with pytest.raises(BadFile, match="these nodes are not in internal: node3"):
        load_lab("lab", overrides=[file])


@pytest.mark.parametrize("count", [1, 17])
def test_the_number_of_nodes_is_bounded(tmp_path: Path, count: int) -> None:
    services = "".join(
        f"  node{n}: {{hostname: node{n}.example.com, networks: [internal]}}\n" for n in range(1, count + 1)
    )
    file = over(tmp_path, "services: !override\n" + services)
    assert ("node-count", "services") in found(data_file("compose.yaml"), file)
