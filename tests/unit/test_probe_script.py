"""The script that runs inside the nodes: what it may use, its parts run here, and gather() around it."""

from __future__ import annotations

import ast
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labctl.engine.base import State
from labctl.errors import ActionFailed, TimedOut
from labctl.lab.load import load_lab
from labctl.lab.model import Lab
from labctl.probe import script
from labctl.probe.facts import FORMAT, NodeFacts, ProbeFailure
from labctl.probe.gather import gather, request, script_source, why_no_outside
from labctl.run import Result
from tests.fakes import recorded
from tests.fakes.engine import FakeEngine

NODES = ("node1", "node2", "node3", "node4")


@pytest.fixture(scope="module")
def lab() -> Lab:
    return load_lab("spike", environment={})


def test_the_script_is_python_3_9_of_the_standard_library_and_small() -> None:
    source = script_source()
    tree = ast.parse(source, feature_version=(3, 9))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names
    # One argument of a command may have 128 KiB (execve(2)).
    assert len(source.encode()) < 60_000
    assert script.FORMAT == FORMAT


def test_programs_run_side_by_side_and_none_is_waited_for_in_vain() -> None:
    python = sys.executable
    programs = {
        "good": [python, "-ISc", "print('x' * 300_000)"],
        "bad": [python, "-ISc", "import sys; sys.exit('no such thing')"],
        "missing": ["/nonexistent/program"],
        "slow": [python, "-ISc", "import time; time.sleep(600)"],
    }
    found = script.run_all(programs, dict(os.environ), 3.0)
    assert (found["good"]["rc"], len(found["good"]["out"])) == (0, 300_001)
    assert (found["bad"]["rc"], found["bad"]["err"]) == (1, "no such thing\n")
    assert (found["missing"]["rc"], "No such file" in found["missing"]["err"]) == (None, True)
    assert (found["slow"]["rc"], found["slow"]["err"]) == (None, "no answer within 3 s")


def test_echo_requests_find_who_answers() -> None:
    found = script.ping(["127.0.0.1", "127.0.0.9", "255.255.255.255"], 0.4)
    if os.geteuid() == 0 and found:
        assert found == {"127.0.0.1": True, "127.0.0.9": True, "255.255.255.255": False}
    else:
        assert found == {}  # without CAP_NET_RAW nothing is claimed


def test_an_echo_request_has_a_right_checksum() -> None:
    packet = script._echo(bytes(range(248, 256)))
    total = sum(int.from_bytes(packet[place : place + 2], "big") for place in range(0, len(packet), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF  # RFC 1071


@contextmanager
def name_server(answer: Callable[[bytes], bytes]) -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)

        def serve() -> None:
            question, client = server.recvfrom(512)
            server.sendto(answer(question), client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            thread.join()


@pytest.mark.parametrize(
    ("flags", "expected"), [(b"\x81\x80", True), (b"\x81\x82", False)], ids=["NOERROR", "SERVFAIL"]
)
def test_a_name_server_is_asked(tmp_path: Path, flags: bytes, expected: bool) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text("# a test\nsearch example.com\nnameserver 127.0.0.1\nnameserver ::1\n")
    with name_server(lambda question: question[:2] + flags + question[4:]) as port:
        assert script.nameserver_answers(0.5, str(conf), port) is expected


def test_without_a_name_server_nobody_is_asked(tmp_path: Path) -> None:
    assert script.nameserver_answers(0.1, str(tmp_path / "none")) is None


def test_pcs_hosts_are_names_without_their_tokens(tmp_path: Path) -> None:
    file = tmp_path / "known-hosts"
    assert script.pcs_hosts(str(file)) is None
    file.write_text(json.dumps({"known_hosts": {"b": {"token": "secret"}, "a": {}}}))
    assert script.pcs_hosts(str(file)) == ["a", "b"]
    file.write_text("damaged")
    assert script.pcs_hosts(str(file)) is None


def test_a_host_without_a_default_route_has_no_outside(tmp_path: Path) -> None:
    routes = tmp_path / "route"
    routes.write_text("Iface\tDestination\tGateway\neth0\t0002A8C0\t00000000\n")
    assert why_no_outside(routes) == "this host has no default route"
    assert why_no_outside(tmp_path / "none") == "this host has no default route"


def test_each_bmc_is_asked_once_and_not_by_its_own_node(lab: Lab) -> None:
    for off in ("", "node1", "node4"):
        on = [node for node in lab.nodes if node.name != off]
        asked = {node.name: [bmc["node"] for bmc in request(lab, node, on)["bmcs"]] for node in on}
        assert sorted(target for targets in asked.values() for target in targets) == list(NODES)
        assert not [name for name, targets in asked.items() if name in targets]
    assert request(lab, lab.nodes[0], [lab.nodes[0]])["bmcs"][0]["node"] == "node2"


def answers(name: str = "healthy") -> FakeEngine:
    engine = FakeEngine(on=NODES)
    for node in NODES:
        output = json.dumps(recorded.document(name, node))
        engine.script(("python3", "-I", "-S", "-c"), Result(("python3",), 0, output, ""), node=node)
    return engine


def test_gather_asks_each_node_once(lab: Lab) -> None:
    engine = answers()
    found = gather(engine, lab, timeout=8)
    assert list(found) == list(NODES)
    names = {name: facts.hostname for name, facts in found.items() if isinstance(facts, NodeFacts)}
    assert names == {name: f"{name}.example.com" for name in NODES}
    assert sorted(engine.called("run")) == [("run", name) for name in NODES]
    assert engine.called("observe") == [("observe", "")]


def test_gather_of_some_nodes_asks_no_other(lab: Lab) -> None:
    engine = answers()
    assert list(gather(engine, lab, ["node3"], timeout=8)) == ["node3"]
    assert engine.called("run") == [("run", "node3")]


def test_a_clock_is_narrowed_down_between_two_readings(lab: Lab) -> None:
    # The recorded probe began and ended in the past, so the node's clock seems that far behind.
    facts = gather(answers(), lab, ["node1"], timeout=8)["node1"]
    assert isinstance(facts, NodeFacts)
    least, most = facts.clock
    assert least < most + (facts.ended - facts.started)
    assert abs(least - (facts.ended - time.time())) < 600


def test_nodes_that_are_not_on_are_failures_with_a_reason(lab: Lab) -> None:
    engine = answers()
    engine.power_off("node2")
    engine.freeze("node3")
    engine.remove("node4")
    found = gather(engine, lab, timeout=8)
    assert isinstance(found["node1"], NodeFacts)
    assert found["node2"] == ProbeFailure("node2", State.OFF.value, "it is switched off")
    assert found["node3"] == ProbeFailure("node3", "frozen", "it is frozen: every process stands still")
    assert found["node4"] == ProbeFailure("node4", "missing", "there is no such machine")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Result(("python3",), 127, "", "python3: not found"), "exit code 127): python3: not found"),
        (Result(("python3",), 124, "", ""), "within 8 s"),
        (Result(("python3",), 0, "not JSON", ""), "makes no sense"),
        (Result(("python3",), 0, "[]", ""), "makes no sense"),
        (Result(("python3",), 0, '{"format": 99, "started": 0, "ended": 0}', ""), "format is 99"),
    ],
)
def test_an_odd_answer_is_a_failure_of_that_node_alone(lab: Lab, answer: Result, reason: str) -> None:
    engine = answers()
    engine.script(("python3",), answer, node="node2")
    found = gather(engine, lab, timeout=8)
    assert isinstance(found["node1"], NodeFacts)
    failure = found["node2"]
    assert isinstance(failure, ProbeFailure)
    assert reason in failure.reason


def test_errors_of_the_engine_are_failures_too(lab: Lab) -> None:
    engine = answers()
    engine.failures["run"] = TimedOut("podman did not answer.", details="$ python3\nread timed out")
    found = gather(engine, lab, timeout=8)
    assert {failure.reason for failure in found.values() if isinstance(failure, ProbeFailure)} == {
        "it does not answer: podman did not answer. read timed out"
    }
    engine.failures["observe"] = ActionFailed("The lab's podman service does not answer.")
    assert gather(engine, lab, ["node1"], timeout=8) == {
        "node1": ProbeFailure("node1", "", "The lab's podman service does not answer.")
    }
