"""What every engine promises (labctl.engine.base), asked of the fake and of real podman alike.

And of libvirt, where LABCTL_TEST_MACHINES is set (ci/test-machines.sh): thirty boots, which take long when
emulated.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labctl.engine.base import Appliance, Engine, File, State
from labctl.errors import ActionFailed, CommandFailed, TimedOut
from labctl.lab import machines
from labctl.lab.load import load_lab
from labctl.lab.model import Lab
from labctl.run import Result
from labctl.wait import wait_until
from tests.fakes.engine import FakeEngine
from tests.lab.driver import FAMILY, PATIENCE, Driver

NAME = "t-engine"
UP_SECONDS = 900.0  # for machines that are emulated
TROUBLE = ["sh", "-c", "echo out; echo err >&2; exit 3"]
MARKER = File("/etc/t-marker", b"made before the first start\n", mode=0o600)


class Bench:
    """An engine with its lab and image, whichever engine it is."""

    def __init__(self, engine: Engine, lab: Lab, image: str) -> None:
        self.engine = engine
        self.lab = lab
        self.image = image

    def make(self, name: str = "node1", *files: File) -> None:
        self.engine.make_networks(self.lab)
        self.engine.create(self.lab, self.lab.node(name), self.image, files)

    def on(self, name: str = "node1") -> None:
        """A node that is there, on, and far enough to run commands."""
        if name not in self.engine.observe():
            self.make(name)
        self.engine.start(name)
        self.answers(name)

    def answers(self, name: str) -> None:
        """Wait until a machine that was started runs commands; a virtual one boots first."""
        node = self.engine.node(name)

        def answers() -> bool:
            try:
                return node.run(["true"], timeout=10).ok
            except ActionFailed:
                return False

        wait_until(f"{name} to answer", answers, timeout=PATIENCE)

    def state(self, name: str = "node1") -> State:
        machine = self.engine.observe().get(name)
        return machine.state if machine else State.MISSING


def _fake(lab: Lab) -> Iterator[Bench]:
    engine = FakeEngine()
    engine.script(TROUBLE, Result(tuple(TROUBLE), 3, "out\n", "err\n"))
    engine.script(["cat"], lambda words, stdin: Result(words, 0, stdin or "", ""))
    yield Bench(engine, lab, "an-image")


def _podman(lab: Lab) -> Iterator[Bench]:
    driver = Driver(NAME)
    driver.up("--nodes", "2", "--until", "nodes")
    engine = driver.engine
    image = engine.observe()["node1"].image
    for name in list(engine.observe()):
        engine.remove(name)
    yield Bench(engine, lab, image)
    driver.down()


def _libvirt(lab: Lab) -> Iterator[Bench]:
    driver = Driver(NAME)
    words = ("--mode", "vm", "--family", FAMILY, "--nodes", "2", "--until", "nodes", "--no-snapshot")
    driver("up", *words, timeout=UP_SECONDS)
    ground = machines.load(driver.places)
    assert ground
    engine = driver.engine
    for name in [*engine.observe(), *engine.appliances()]:
        engine.remove(name)
    yield Bench(engine, machines.fitted(lab.with_mode("vm"), ground), ground.image)
    driver.down()


MAKERS = {"fake": _fake, "podman": _podman}
if os.environ.get("LABCTL_TEST_MACHINES"):
    MAKERS["libvirt"] = _libvirt
# For what the fake cannot show: it runs nothing.
ONLY_PODMAN = pytest.mark.parametrize("lasting", ["podman"], indirect=True)


@pytest.fixture(scope="module", params=sorted(MAKERS))
def lasting(request: pytest.FixtureRequest, image: str) -> Iterator[Bench]:
    yield from MAKERS[request.param](load_lab(NAME, nodes=2))


@pytest.fixture
def bench(lasting: Bench) -> Iterator[Bench]:
    yield lasting
    for name in [*lasting.engine.observe(), *lasting.engine.appliances()]:
        lasting.engine.remove(name)


def test_at_first_there_is_nothing(bench: Bench) -> None:
    assert dict(bench.engine.observe()) == {}


def test_networks_are_made_once(bench: Bench) -> None:
    bench.engine.make_networks(bench.lab)
    assert bench.engine.make_networks(bench.lab) == []


def test_a_created_machine_is_off_and_knows_what_made_it(bench: Bench) -> None:
    bench.make("node1", MARKER)
    machine = bench.engine.observe()["node1"]
    assert (machine.name, machine.state) == ("node1", State.OFF)
    assert machine.spec_hash == bench.lab.node("node1").spec_hash(bench.lab)
    assert machine.image == bench.image
    assert bench.engine.node("node1").get(MARKER.path) == MARKER.content


def test_a_machine_is_made_once(bench: Bench) -> None:
    bench.make()
    with pytest.raises(ActionFailed):
        bench.make()


def test_start_is_idempotent(bench: Bench) -> None:
    bench.make()
    assert not bench.engine.is_on("node1")
    bench.engine.start("node1")
    bench.engine.start("node1")
    assert bench.engine.is_on("node1")
    assert bench.state() is State.ON


def test_run_tells_exit_code_stdout_and_stderr_apart(bench: Bench) -> None:
    bench.on()
    result = bench.engine.node("node1").run(TROUBLE, timeout=10, check=False)
    assert (result.rc, result.stdout, result.stderr) == (3, "out\n", "err\n")


def test_run_raises_for_an_action(bench: Bench) -> None:
    bench.on()
    with pytest.raises(CommandFailed, match=r"sh failed") as caught:
        bench.engine.node("node1").run(TROUBLE, timeout=10)
    assert "exit code 3" in caught.value.details
    assert "err" in caught.value.details


def test_run_hands_over_stdin(bench: Bench) -> None:
    bench.on()
    told = "a 'line' with \"marks\" and $dollars\nand another"
    assert bench.engine.node("node1").run(["cat"], timeout=10, stdin=told).stdout == told


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
def test_put_and_get(bench: Bench, on: bool) -> None:
    if on:
        bench.on()
    else:
        bench.make()
    node = bench.engine.node("node1")
    node.put([File("/srv/new/deep/file", b"\x00\xff", mode=0o640), MARKER])
    assert node.get("/srv/new/deep/file") == b"\x00\xff"
    node.put([File(MARKER.path, b"another")])
    assert node.get(MARKER.path) == b"another"


def test_get_of_nothing_and_of_a_folder_fails(bench: Bench) -> None:
    bench.make()
    node = bench.engine.node("node1")
    node.put([File("/srv/folder", b"", mode=0o755, directory=True)])
    for path in ("/srv/nothing", "/srv/folder"):
        with pytest.raises(ActionFailed):
            node.get(path)


def test_a_link_is_followed(bench: Bench) -> None:
    bench.make("node1", MARKER)
    node = bench.engine.node("node1")
    node.put([File("/etc/t-link", b"", link_to=MARKER.path)])
    assert node.get("/etc/t-link") == MARKER.content


def test_a_frozen_node_has_its_lamp_on(bench: Bench) -> None:
    bench.on()
    bench.engine.freeze("node1")
    assert bench.state() is State.FROZEN
    assert bench.engine.is_on("node1")
    bench.engine.thaw("node1")
    assert bench.state() is State.ON
    bench.engine.node("node1").run(["true"], timeout=10)


@pytest.mark.parametrize("frozen", [False, True], ids=["running", "frozen"])
def test_power_off_is_over_when_it_returns(bench: Bench, frozen: bool) -> None:
    bench.on()
    if frozen:
        bench.engine.freeze("node1")
    bench.engine.power_off("node1")
    assert not bench.engine.is_on("node1")
    assert bench.state() is State.OFF
    bench.engine.power_off("node1")
    bench.engine.power_on("node1")
    assert bench.state() is State.ON


def test_stop_is_orderly_and_idempotent(bench: Bench) -> None:
    bench.on()
    bench.engine.stop("node1", timeout=30)
    assert bench.state() is State.OFF
    bench.engine.stop("node1", timeout=30)
    assert bench.state() is State.OFF


@pytest.mark.parametrize("state", list(State))
def test_remove_works_from_every_state(bench: Bench, state: State) -> None:
    if state is not State.MISSING:
        bench.make()
    if state in {State.ON, State.FROZEN}:
        bench.on()
    if state is State.FROZEN:
        bench.engine.freeze("node1")
    bench.engine.remove("node1")
    assert bench.state() is State.MISSING


def test_a_node_that_is_off_runs_nothing_and_cannot_be_frozen(bench: Bench) -> None:
    bench.make()
    with pytest.raises(ActionFailed):
        bench.engine.node("node1").run(["true"], timeout=5)
    with pytest.raises(ActionFailed):
        bench.engine.freeze("node1")


def test_a_machine_that_is_not_there(bench: Bench) -> None:
    assert not bench.engine.is_on("node2")
    bench.engine.power_off("node2")
    for act in (bench.engine.start, bench.engine.power_on, bench.engine.freeze, bench.engine.thaw):
        with pytest.raises(ActionFailed):
            act("node2")
    with pytest.raises(ActionFailed):
        bench.engine.stop("node2", timeout=5)
    node = bench.engine.node("node2")
    with pytest.raises(ActionFailed):
        node.run(["true"], timeout=5)
    with pytest.raises(ActionFailed):
        node.get("/etc/hostname")
    with pytest.raises(ActionFailed):
        node.put([MARKER])
    assert bench.engine.console("node2") == ""


def test_two_machines_are_two(bench: Bench) -> None:
    bench.make("node1")
    bench.on("node2")
    assert (bench.state("node1"), bench.state("node2")) == (State.OFF, State.ON)
    bench.engine.remove("node2")
    assert set(bench.engine.observe()) == {"node1"}


@ONLY_PODMAN
def test_a_hanging_command_leaves_nothing_behind(bench: Bench) -> None:
    bench.on()
    node = bench.engine.node("node1")
    with pytest.raises(TimedOut, match="sleep on node1 did not end within 1 s"):
        node.run(["sleep", "4242"], timeout=1)
    assert node.run(["pgrep", "-f", "^sleep 4242"], timeout=10, check=False).rc == 1


@ONLY_PODMAN
def test_the_console_shows_what_a_broken_init_said(bench: Bench) -> None:
    bench.make("node1", File("/usr/sbin/init", b"#!/bin/sh\necho init is broken; exit 1\n", mode=0o755))
    bench.engine.start("node1")
    wait_until("the console", lambda: "init is broken" in bench.engine.console("node1"), timeout=PATIENCE)
    # It says so before it ends.
    wait_until("node1 to be off", lambda: bench.state() is State.OFF, timeout=PATIENCE)


# -- appliances ------------------------------------------------------------------------------

# The lab's daemon starts one again that ends with another code than 0.
OBEDIENT = ("/bin/sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait")
TARGET = Appliance("target", "target.example.com", OBEDIENT, "storage", "192.168.100.100")


def test_an_appliance_is_no_node_and_obeys_like_one(bench: Bench) -> None:
    bench.engine.make_networks(bench.lab)
    bench.engine.create_appliance(TARGET, bench.image, [MARKER])
    machine = bench.engine.appliances()["target"]
    assert (machine.state, machine.spec_hash) == (State.OFF, TARGET.spec_hash(bench.image))
    assert dict(bench.engine.observe()) == {}
    bench.engine.start("target")
    assert bench.engine.appliances()["target"].state is State.ON
    assert bench.engine.is_on("target")
    bench.answers("target")
    assert bench.engine.node("target").get(MARKER.path) == MARKER.content
    bench.engine.stop("target", timeout=10)
    assert bench.engine.appliances()["target"].state is State.OFF
    bench.engine.remove("target")
    assert dict(bench.engine.appliances()) == {}


def test_an_appliance_is_made_once(bench: Bench) -> None:
    bench.engine.make_networks(bench.lab)
    bench.engine.create_appliance(TARGET, bench.image, [])
    with pytest.raises(ActionFailed):
        bench.engine.create_appliance(TARGET, bench.image, [])


def test_another_program_makes_another_appliance(bench: Bench) -> None:
    assert TARGET.spec_hash("a") != TARGET.spec_hash("b")
    assert TARGET.spec_hash("a") != replace(TARGET, argv=("/bin/true",)).spec_hash("a")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "seen").write_text("from the host")
    return tmp_path


@ONLY_PODMAN
def test_an_appliance_has_its_address_and_its_folders(bench: Bench, folder: Path) -> None:
    bench.engine.make_networks(bench.lab)
    with_folder = replace(TARGET, mounts=((str(folder), "/mnt/here"),))
    bench.engine.create_appliance(with_folder, bench.image, [])
    bench.engine.start("target")
    node = bench.engine.node("target")
    assert node.run(["cat", "/mnt/here/seen"], timeout=10).stdout == "from the host"
    assert "192.168.100.100/" in node.run(["ip", "-o", "-4", "address"], timeout=10).stdout
    assert node.run(["cat", "/proc/1/comm"], timeout=10).stdout.strip() == "sh"
