"""The BMCs, asked by the real ipmitool and fence_ipmilan on loopback."""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from labctl.bmc import board
from labctl.bmc.server import BmcSpec, serve
from labctl.engine.base import Engine
from labctl.errors import ActionFailed, HostLacks
from labctl.run import Result, run
from labctl.wait import wait_until
from tests.fakes.engine import FakeEngine

SWITCHES = ("power_off", "power_on")

needs_ipmitool = pytest.mark.skipif(not shutil.which("ipmitool"), reason="ipmitool is not installed")
needs_fence_agent = pytest.mark.skipif(
    not (shutil.which("fence_ipmilan") and shutil.which("ipmitool")),
    reason="fence_ipmilan or ipmitool is not installed",
)


class SlowEngine(FakeEngine):
    """Its power_off ends when the test lets it."""

    def __init__(self, on: tuple[str, ...]) -> None:
        super().__init__(on)
        self.began = threading.Event()
        self.go_on = threading.Event()

    def power_off(self, name: str) -> None:
        if name == "node1":
            self.began.set()
            self.go_on.wait(60)
        super().power_off(name)


@dataclass
class Bmcs:
    """A running server: its ports by node and the lines it said."""

    ports: dict[str, int]
    events: list[str]

    def ask(self, *words: str, node: str = "node1", port: int = 0, login: str = "centos:secret") -> Result:
        user, _, password = login.partition(":")
        where = ["-H", "127.0.0.1", "-p", str(port or self.ports[node])]
        return run(
            ["ipmitool", "-I", "lanplus", *where, "-U", user, "-P", password, *words],
            timeout=60,
            check=False,
        )

    def fence(self, action: str, node: str = "node1") -> Result:
        where = ["-a", "127.0.0.1", "--ipport", str(self.ports[node]), "-P"]
        return run(
            ["fence_ipmilan", *where, "-l", "centos", "-p", "secret", "-o", action, "--power-wait", "0"],
            timeout=60,
            check=False,
        )

    def send(self, data: bytes, node: str = "node1") -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(data, ("127.0.0.1", self.ports[node]))


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(count)]
        for sock in socks:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in socks]


@contextlib.contextmanager
def serving(power: FakeEngine, *nodes: str) -> Iterator[Bmcs]:
    bmcs = Bmcs(dict(zip(nodes, free_ports(len(nodes)), strict=True)), [])
    specs = [BmcSpec(node, "127.0.0.1", port, "centos", "secret") for node, port in bmcs.ports.items()]
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        server = pool.submit(serve, specs, power, stop=stop, on_event=bmcs.events.append)
        try:
            wait_until("the BMCs", lambda: server.done() or len(bmcs.events) >= len(nodes), timeout=20)
            yield bmcs
        finally:
            stop.set()
            server.result(20)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(on=("node1", "node2"))


@pytest.fixture
def bmcs(engine: FakeEngine) -> Iterator[Bmcs]:
    with serving(engine, "node1", "node2") as running:
        yield running


def test_the_fake_is_an_engine(engine: FakeEngine) -> None:
    as_engine: Engine = engine  # mypy's part
    assert as_engine.is_on("node1")


@needs_ipmitool
def test_the_switch_and_the_lamp_are_the_engines(bmcs: Bmcs, engine: FakeEngine) -> None:
    assert "is on" in bmcs.ask("power", "status").stdout
    assert bmcs.ask("power", "off").ok
    assert "is off" in bmcs.ask("power", "status").stdout
    assert "is on" in bmcs.ask("power", "status", node="node2").stdout
    assert bmcs.ask("power", "on").ok
    assert "is on" in bmcs.ask("power", "status").stdout
    assert engine.called(*SWITCHES) == [("power_off", "node1"), ("power_on", "node1")]


@needs_ipmitool
@pytest.mark.parametrize("directive", ["reset", "cycle"])
def test_reset_and_cycle_are_off_then_on(bmcs: Bmcs, engine: FakeEngine, directive: str) -> None:
    assert bmcs.ask("power", directive).ok
    assert engine.called(*SWITCHES) == [("power_off", "node1"), ("power_on", "node1")]


@needs_ipmitool
def test_a_soft_shutdown_cuts_the_power(bmcs: Bmcs, engine: FakeEngine) -> None:
    assert bmcs.ask("power", "soft").ok
    assert engine.called(*SWITCHES) == [("power_off", "node1")]


@needs_ipmitool
def test_on_leaves_a_running_node_alone(bmcs: Bmcs, engine: FakeEngine) -> None:
    assert bmcs.ask("power", "on").ok
    assert engine.called(*SWITCHES) == []


@needs_fence_agent
def test_the_fence_agent_believes_it(bmcs: Bmcs, engine: FakeEngine) -> None:
    assert "ON" in bmcs.fence("status").stdout
    assert bmcs.fence("off").ok
    assert not engine.is_on("node1")
    assert "OFF" in bmcs.fence("status").stdout
    assert bmcs.fence("on").ok
    assert bmcs.fence("reboot").ok
    assert engine.called(*SWITCHES) == [("power_off", "node1"), ("power_on", "node1")] * 2


@needs_ipmitool
def test_a_slow_power_off_holds_up_nobody_and_counts_as_on() -> None:
    slow = SlowEngine(("node1", "node2"))
    with serving(slow, "node1", "node2") as bmcs, ThreadPoolExecutor(1) as pool:
        off = pool.submit(bmcs.ask, "power", "off")
        try:
            assert slow.began.wait(30)
            assert "is on" in bmcs.ask("power", "status", node="node2").stdout
            assert "is on" in bmcs.ask("power", "status").stdout
            assert not off.done()
        finally:
            slow.go_on.set()
        assert off.result().ok
        assert "is off" in bmcs.ask("power", "status").stdout


@needs_ipmitool
def test_a_very_slow_power_off_is_accepted_and_still_counts_as_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "ANSWER_AFTER", 0.0)
    slow = SlowEngine(("node1",))
    with serving(slow, "node1") as bmcs:
        try:
            assert bmcs.ask("power", "off").ok
            assert "is on" in bmcs.ask("power", "status").stdout
        finally:
            slow.go_on.set()
        wait_until("the end", lambda: "BMC of node1: power off done." in bmcs.events, timeout=20)
        assert "is off" in bmcs.ask("power", "status").stdout


@needs_ipmitool
def test_sixteen_at_once() -> None:
    nodes = [f"node{number}" for number in range(1, 17)]
    engine = FakeEngine(on=nodes)
    with serving(engine, *nodes) as bmcs, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda node: bmcs.ask("power", "off", node=node), nodes))
        assert [answer.rc for answer in answers] == [0] * 16
    assert sorted(engine.called("power_off")) == sorted(("power_off", node) for node in nodes)


@needs_ipmitool
@pytest.mark.parametrize("login", ["centos:wrong", "nobody:secret", "centos:"])
def test_a_wrong_login_is_refused(bmcs: Bmcs, engine: FakeEngine, login: str) -> None:
    assert not bmcs.ask("power", "off", login=login).ok
    assert engine.calls == []


@needs_ipmitool
def test_a_failing_engine_is_told_and_the_server_goes_on(bmcs: Bmcs, engine: FakeEngine) -> None:
    engine.failures = {
        "power_off": ActionFailed("No hands.", details="two lines"),
        "is_on": OSError("No eyes."),
    }
    assert not bmcs.ask("power", "off").ok
    assert not bmcs.ask("power", "status").ok
    assert "BMC of node1: power off failed: No hands. two lines." in bmcs.events
    assert "BMC of node1: the power lamp cannot be read: No eyes.." in bmcs.events
    engine.failures.clear()
    assert "is on" in bmcs.ask("power", "status").stdout


@needs_ipmitool
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("0x06", "0x99"), "rsp=0xc1"),
        (("0x0a", "0x11"), "rsp=0xc1"),
        (("0x00", "0x02"), "rsp=0xc7"),
        (("0x00", "0x02", "0x04"), "rsp=0xcc"),
        (("0x00", "0x09", "0x60", "0", "0"), "rsp=0x80"),
    ],
)
def test_what_it_cannot_do_gets_its_completion_code(bmcs: Bmcs, words: tuple[str, ...], code: str) -> None:
    assert code in bmcs.ask("raw", *words).stderr


@needs_ipmitool
def test_boot_device_identify_and_ids(bmcs: Bmcs, engine: FakeEngine) -> None:
    assert bmcs.ask("chassis", "bootdev", "pxe").ok
    assert "Force PXE" in bmcs.ask("chassis", "bootparam", "get", "5").stdout
    assert "Force PXE" not in bmcs.ask("chassis", "bootparam", "get", "5", node="node2").stdout
    assert bmcs.ask("chassis", "identify", "1").ok
    assert bmcs.ask("mc", "info").ok
    assert bmcs.ask("mc", "guid").stdout != bmcs.ask("mc", "guid", node="node2").stdout
    assert engine.called(*SWITCHES) == []


@needs_ipmitool
def test_garbage_does_no_harm(bmcs: Bmcs, engine: FakeEngine) -> None:
    dice = random.Random(20)  # noqa: S311 - the same garbage every time
    for _ in range(400):
        header = b"\x06\x00\xff\x07" + bytes(
            [dice.choice([0, 6]), dice.choice([0, 0xC0, 0x10, 0x12, 0x14, 0x40])]
        )
        bmcs.send(dice.choice([b"", header]) + dice.randbytes(dice.randrange(80)))
    assert "is on" in bmcs.ask("power", "status").stdout
    assert engine.called(*SWITCHES) == []


@needs_ipmitool
def test_a_datagram_that_comes_twice_is_done_once(bmcs: Bmcs, engine: FakeEngine) -> None:
    """Through a relay that sends everything after the first greeting twice."""
    stop = threading.Event()
    outside, inside = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
    outside.bind(("127.0.0.1", 0))
    inside.connect(("127.0.0.1", bmcs.ports["node1"]))
    twice: list[int] = []

    def relay() -> None:
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                data, client = outside.recvfrom(4096)
                inside.send(data)
                answer = inside.recv(4096)
                outside.sendto(answer, client)
                if data[5] & 0x80 or data[5] in {0x12, 0x14}:
                    inside.send(data)
                    twice.append(data[5])
                    again = inside.recv(4096)  # none for the session's end: it has ended
                    assert data[5] & 0x80 or again == answer

    outside.settimeout(0.2)
    inside.settimeout(1)
    with outside, inside, ThreadPoolExecutor(1) as pool:
        relaying = pool.submit(relay)
        try:
            assert bmcs.ask("power", "reset", port=outside.getsockname()[1]).ok
        finally:
            stop.set()
            relaying.result(20)
    assert {0x12, 0x14, 0xC0} <= set(twice)
    assert engine.called(*SWITCHES) == [("power_off", "node1"), ("power_on", "node1")]


def test_a_taken_port_is_named(engine: FakeEngine) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        spec = BmcSpec("node1", "127.0.0.1", port, "centos", "secret")
        with pytest.raises(HostLacks) as caught:
            serve([spec], engine, stop=threading.Event(), on_event=print)
    assert f"UDP port {port} of 127.0.0.1" in caught.value.message
    assert str(port) in caught.value.mend


@pytest.mark.parametrize(("address", "port"), [("no address", 623), ("127.0.0.1", 70000)])
def test_a_place_that_cannot_be_is_named(engine: FakeEngine, address: str, port: int) -> None:
    spec = BmcSpec("node1", address, port, "centos", "secret")
    with pytest.raises(HostLacks, match=f"UDP port {port} of {address}") as caught:
        serve([spec], engine, stop=threading.Event(), on_event=print)
    assert caught.value.mend


def test_an_address_may_come_later(engine: FakeEngine) -> None:
    """192.0.2.0/24 is for documentation: no host has it."""
    stop = threading.Event()
    events: list[str] = []

    def on_event(line: str) -> None:
        events.append(line)
        stop.set()

    spec = BmcSpec("node1", "192.0.2.7", free_ports(1)[0], "centos", "secret")
    serve([spec], engine, stop=stop, on_event=on_event)
    assert events == [f"BMC of node1 listens on 192.0.2.7 port {spec.port}."]
