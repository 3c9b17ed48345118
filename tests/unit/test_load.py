"""Reading a lab's file: what is accepted, how files merge, and files that are none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from labctl.errors import BadFile, HostLacks, UsageError
from labctl.lab.file.read import read_form
from labctl.lab.file.schema import known_keys, lab_schema
from labctl.lab.file.yaml_tree import core_value, plain, read_tree
from labctl.lab.load import load_lab, scenarios
from labctl.packaged import NAMES, data_file, find

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


def found(path: Path, *overrides: Path) -> list[tuple[str, str]]:
    """Code and dotted path of every mistake."""
    _, mistakes = read_form([path, *overrides], {})
    return sorted((mistake.code, ".".join(map(str, mistake.path))) for mistake in mistakes)


def over(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "override.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_default_lab_has_the_course_facts() -> None:
    lab = load_lab("lab")
    assert [node.hostname for node in lab.nodes] == [f"node{n}.example.com" for n in range(1, 5)]
    assert [str(node.address("internal")) for node in lab.nodes] == [
        f"192.168.90.{host}" for host in (110, 120, 130, 140)
    ]
    assert [leg.name for leg in lab.nodes[0].interfaces] == ["eth0", "eth1", "eth2"]
    assert lab.cluster.name == "ha_cluster_lab"
    assert lab.nodes[2].initiator == "iqn.2023-02.com.example:node3.init"
    assert [disk.size for disk in lab.storage.disks] == [2048, 2048, 2048]
    assert lab.vm.memory == lab.nodes[0].memory_mib == 4096
    assert lab.nodes[0].ports[0].host_ports == (2224, 2323)
    assert lab.source == data_file("compose.yaml")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"# nothing\n", "empty"),
        (b"just text", "must be a mapping"),
        (b"- a\n- b\n", "must be a mapping"),
        (b"\x7fELF\x00\x01\x02", "zero bytes"),
        (b"name: \xff\xfe", "not UTF-8"),
        (b"name: [", "not YAML"),
        (b"a: 1\n---\nb: 2\n", "more than one document"),
        (b"name: \x07", "not YAML"),
        (b"[" * 5000, "deep"),
        (b"a: " * 1 + b"{b: " * 500, "deep"),
        (b"#" * (1024 * 1024 + 1), "larger than 1024 KiB"),
    ],
)
def test_a_file_that_is_no_lab(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "compose.yaml"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=words):
        load_lab("lab", file=path)


def test_multiplying_aliases_are_stopped(tmp_path: Path) -> None:
    lines = ["x-a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"x-a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(BadFile, match=r"more than 5000 values"):
        load_lab("lab", file=over(tmp_path, "\n".join(lines)))


def test_an_alias_of_itself_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="contains itself"):
        load_lab("lab", file=over(tmp_path, "x-a: &a [*a]"))


def test_a_missing_file_and_a_folder_say_so(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="no such file") as caught:
        load_lab("lab", file=tmp_path / "none.yaml")
    assert caught.value.mend
    with pytest.raises(BadFile, match="not a regular file"):
        load_lab("lab", file=tmp_path)


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadFile, match="not a regular file"):
        load_lab("lab", overrides=[tmp_path / "pipe"])


@pytest.mark.parametrize("name", ["", "A", "1a", "a_b", "a" * 32, "../a", "a\n"])
def test_a_wrong_lab_name(name: str) -> None:
    with pytest.raises(UsageError):
        load_lab(name)


def test_override_files_follow_compose_rules(tmp_path: Path) -> None:
    text = """
services:
  node1:
    ports: ["127.0.0.1:8080:80", "127.0.0.1:2224-2323:2224"]
  node2:
    ports: [{target: 22, published: 2222, host_ip: 127.0.0.1}]
  node3: !reset null
x-lab:
  cluster:
    links: [storage]
    properties: {stonith-timeout: 60, maintenance-mode: false}
  storage:
    disks: !override [{name: sdb, size: 1GiB}]
    chap: {userid: username, password: password}
"""
    lab = load_lab("lab", overrides=[over(tmp_path, text)])
    assert [node.name for node in lab.nodes] == ["node1", "node2", "node4"]
    assert [node.index for node in lab.nodes] == [1, 2, 3]
    assert [port.port for port in lab.nodes[0].ports] == [2224, 80]
    assert lab.nodes[1].ports[0].host_ports == (2222, 2222)
    assert lab.cluster.links == ("internal", "storage")
    assert lab.cluster.properties == {"stonith-timeout": "60", "maintenance-mode": "false"}
    assert [disk.size for disk in lab.storage.disks] == [1024]
    assert lab.storage.chap is not None
    assert lab.storage.chap.userid == "username"


def test_a_mistake_in_an_override_names_the_override(tmp_path: Path) -> None:
    file = over(tmp_path, "x-lab:\n  vm:\n    cpus: many\nservices: [node1]\n")
    with pytest.raises(BadFile) as caught:
        load_lab("lab", overrides=[file])
    assert f"{file}:3: x-lab.vm.cpus: must be a whole number" in caught.value.details
    file.write_text("networks: none\n", encoding="utf-8")
    with pytest.raises(BadFile, match="single value cannot be put over the mapping"):
        load_lab("lab", overrides=[file])


def test_scenarios_load_and_a_wrong_one_names_the_near() -> None:
    assert "two-node" in scenarios()
    for name in scenarios():
        assert len(load_lab("lab", scenario=name).nodes) >= 2
    two = load_lab("lab", scenario="two-node")
    assert [node.name for node in two.nodes] == ["node1", "node2"]
    assert two.time.server == "node2"
    assert two.nodes[1].aliases == ("storage", "cli")
    with pytest.raises(UsageError, match="did you mean two-node"):
        load_lab("lab", scenario="two-nodes")
    with pytest.raises(UsageError):
        load_lab("lab", scenario="../two-node")


def test_variables_come_from_the_environment(tmp_path: Path) -> None:
    file = changed(
        tmp_path,
        ("cpus: 2", "cpus: ${LAB_CPUS:-2}"),
        ("root_password: centos", 'root_password: "$LAB_PASSWORD$$"'),
        ("hacluster_password: centos", 'hacluster_password: "${LAB_SET:+changed}"'),
    )
    lab = load_lab("lab", file=file, environment={"LAB_PASSWORD": "s3cret", "LAB_SET": "1"})
    assert lab.vm.cpus == 2
    assert lab.credentials.model_dump() == {"root_password": "s3cret$", "hacluster_password": "changed"}
    lab = load_lab("lab", file=file, environment={"LAB_PASSWORD": "x", "LAB_SET": "1", "LAB_CPUS": "4"})
    assert lab.vm.cpus == 4


def test_keys_of_compose_and_extensions_pass_at_their_places(tmp_path: Path) -> None:
    file = changed(
        tmp_path,
        ("\nservices:\n", "\nvolumes: {data: {}}\nx-mine: {a: 1}\nservices:\n"),
        ("    hostname: node1", "    mem_limit: 1g\n    x-mine: 1\n    hostname: node1"),
        ("    internal: true\n", "    internal: true\n    driver: bridge\n    x-mine: 1\n"),
    )
    assert found(file) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("22:22", "22:22"),
        ("1_000", "1_000"),
        ("true", True),
        ("~", None),
        ("12", 12),
        ("0x1f", 31),
        ("1.5", 1.5),
        (".", "."),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_plain_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    assert core_value(text) == value
    assert type(core_value(text)) is type(value)


def test_merge_keys_give_way_to_the_mapping_itself() -> None:
    root, mistakes = read_tree("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: {b: 4, <<: [*x]}\n", "f", {})
    assert mistakes == []
    assert root is not None
    assert plain(root) == {"x": {"a": 1, "b": 2}, "y": {"a": 1, "b": 3}, "z": {"a": 1, "b": 4}}


def test_the_schema_is_json_and_knows_every_place() -> None:
    schema = json.loads(json.dumps(lab_schema()))
    assert set(schema["required"]) == {"services", "networks", "x-lab"}
    assert schema["additionalProperties"] is False
    assert "hostname" in known_keys(("services", "node1"))
    assert "userid" in known_keys(("x-lab", "storage", "chap"))
    assert "subnet" in known_keys(("networks", "internal", "ipam", "config", 0))
    assert known_keys(("no", "such", "place")) == ()


def test_data_files_are_the_clones_or_those_in_the_wheel(tmp_path: Path) -> None:
    package = tmp_path / "labctl"
    (package / "data").mkdir(parents=True)
    (tmp_path / "compose.yaml").touch()  # beside an installed package: another one's
    with pytest.raises(HostLacks) as caught:
        find("compose.yaml", package)
    assert caught.value.mend
    (package / "data" / "compose.yaml").touch()
    assert find("compose.yaml", package) == package / "data" / "compose.yaml"
    (tmp_path / "pyproject.toml").touch()  # now it is a clone, whose files win
    assert find("compose.yaml", package) == tmp_path / "compose.yaml"
    assert "compose.yaml" in NAMES
