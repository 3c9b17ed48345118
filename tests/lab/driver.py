"""Drives the real labctl: its command line as a user calls it, its engine to look into nodes.

Every lab of the tests is called t-…, so that a lab that the user left running stays as it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from labctl.bubble import start as bubble
from labctl.bubble.start import Bubble
from labctl.cluster import state
from labctl.cluster.state import ClusterView, Member
from labctl.engine.base import Engine, State
from labctl.engine.podman import PodmanEngine
from labctl.errors import ActionFailed, LabError, TimedOut
from labctl.lab import bubble as lab_bubble
from labctl.places import LabPlaces, lab_places
from labctl.run import Result, run, spawn
from labctl.wait import wait_until
from tests.lab.warm import labctl_warm

ROOT = Path(__file__).parents[2]
LABCTL = (sys.executable, "-m", "labctl")
FAMILY = os.environ.get("LABCTL_FAMILY", "auto")
ALL = ("node1", "node2", "node3", "node4")
PATIENCE = 240.0  # s; what a slow machine may take for any one thing
FQDN = ".example.com"
NO_ANSWER = 125  # podman's own exit code for a command that it could not start


def labctl(
    *words: str, timeout: float = PATIENCE, check: bool = True, env: Mapping[str, str] | None = None
) -> Result:
    """Run labctl to its end. Raises CommandFailed for a non-zero exit unless check is False."""
    if env is None:
        return labctl_warm(*words, timeout=timeout, check=check)
    return run([*LABCTL, *words], timeout=timeout, check=check, env=env, cwd=ROOT)


def refused(result: Result, code: int, *words: str, mend: str = "") -> None:
    """It ended with this exit code, said these words, and how to mend it; it is no bug's traceback."""
    assert "Traceback" not in result.stderr + result.stdout, result.stderr
    assert result.rc == code, result.describe()
    for word in words:
        assert word in result.stderr
    if mend:
        [line] = [line for line in result.stderr.splitlines() if line.startswith("mend:")]
        assert mend in line


class Driver:
    """One lab."""

    def __init__(self, name: str) -> None:
        assert name.startswith("t-")
        self.name = name
        self.log = ROOT  # where started commands write; the fixture sets it
        self._engine: Engine | None = None

    # -- the command line -------------------------------------------------------------------

    def __call__(
        self,
        verb: str,
        *words: str,
        timeout: float = PATIENCE,
        check: bool = True,
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """labctl VERB --lab NAME WORDS."""
        return labctl(verb, "--lab", self.name, *words, timeout=timeout, check=check, env=env)

    def json(self, verb: str, *words: str, check: bool = True) -> Any:
        """The JSON document of a verb; whatever else is on stdout makes this fail."""
        return json.loads(self(verb, "--json", *words, check=check).stdout)

    def up(self, *words: str, check: bool = True, env: Mapping[str, str] | None = None) -> Result:
        return self("up", "--family", FAMILY, *words, check=check, env=env)

    def up_json(self, *words: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.up("--json", *words).stdout)
        return document

    def down(self) -> Result:
        """Take the lab down; the connection to its podman goes with it."""
        self._let_go()
        return self("down", "--wait", "60")

    def _let_go(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def begin(self, verb: str, *words: str, env: Mapping[str, str] | None = None) -> Begun:
        """Start labctl and go on."""
        return Begun([*LABCTL, verb, "--lab", self.name, *words], self.log / f"{self.name}.log", env)

    def snapshot(self, verb: str, *words: str, timeout: float = PATIENCE, check: bool = True) -> Result:
        """labctl snapshot VERB WORDS. A restore starts the lab's podman and libvirt anew."""
        if verb == "restore":
            self._let_go()
        return labctl("snapshot", verb, *words, "--lab", self.name, timeout=timeout, check=check)

    def snapshots(self) -> list[str]:
        """The names of those that are whole; none must be damaged."""
        told = json.loads(self.snapshot("list", "--json").stdout)
        assert told["damaged"] == []
        return [one["name"] for one in told["snapshots"]]

    def begin_snapshot(self, verb: str, *words: str) -> Begun:
        """Start labctl snapshot VERB and go on."""
        argv = [*LABCTL, "snapshot", verb, *words, "--lab", self.name]
        return Begun(argv, self.log / f"{self.name}-snapshot.log", None)

    def on(self, node: str, *argv: str, timeout: float = 120, check: bool = True) -> Result:
        """A command in a node. Not by `labctl exec`, which has its own test: starting it takes half a second.

        A container goes straight to its lab's podman; a machine is still asked through the command line.
        """
        if not isinstance(self.engine, PodmanEngine):
            return labctl("exec", node, "--lab", self.name, "--", *argv, timeout=timeout, check=check)
        try:
            return self.engine.node(node).run(argv, timeout=timeout, check=check)
        except ActionFailed as error:
            if check or isinstance(error, TimedOut):
                raise
            return Result((f"[{node}]", *argv), NO_ANSWER, "", str(error))

    # -- a look past the command line ---------------------------------------------------------

    @property
    def places(self) -> LabPlaces:
        return lab_places(self.name)

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            self._engine = lab_bubble.engine(self.name, self.places)
        return self._engine

    def bubble(self) -> Bubble:
        found = bubble.find(self.places)
        assert found is not None, f"lab {self.name} does not run"
        return found

    def runs(self) -> bool:
        return bubble.find(self.places) is not None

    def inside(self, *argv: str, timeout: float = 30, check: bool = True) -> Result:
        """A host's program in the lab's namespaces."""
        words = self.bubble().enter("--mount", "--net", "--pid", "--cgroup")
        return run([*words, *argv], timeout=timeout, check=check)

    def state(self, node: str) -> State:
        machine = self.engine.observe().get(node)
        return machine.state if machine else State.MISSING

    def started(self, node: str) -> str:
        """When the node's machine was last switched on: another value after any power cycle."""
        return self.engine.observe()[node].started

    def member(self, node: str) -> Member:
        return state.ask(self.engine.node(node))

    def view(self, *nodes: str) -> ClusterView | None:
        """The cluster as the first of these nodes sees it that sees any; a restarting podman sees none."""
        for node in nodes or ALL:
            with contextlib.suppress(LabError):
                if view := self.member(node).view:
                    return view
        return None

    def await_online(self, *nodes: str, seen_by: Sequence[str] = ()) -> ClusterView:
        """Wait until exactly these nodes are online in one quorate cluster with a DC, all settled."""
        wanted = frozenset(node + FQDN for node in nodes)
        last: ClusterView | None = None

        def settled() -> ClusterView | None:
            nonlocal last
            last = self.view(*(seen_by or nodes))
            good = last and last.dc and last.quorate and last.online == wanted and not last.unclean
            return last if good else None

        found = wait_until(
            f"{', '.join(nodes)} to be online",
            settled,
            timeout=PATIENCE,
            every=0.3,
            last_seen=lambda: str(last),
        )
        assert found
        return found

    def await_state(self, node: str, wanted: State) -> None:
        wait_until(
            f"{node} to be {wanted}",
            lambda: self.state(node) is wanted,
            timeout=PATIENCE,
            last_seen=lambda: self.state(node),
        )

    def await_restart(self, node: str, before: str) -> None:
        """Wait until the node was switched on later than `before` (of started())."""

        def again() -> bool:
            machine = self.engine.observe()[node]
            return machine.state is State.ON and machine.started != before

        wait_until(f"{node} to be switched on again", again, timeout=PATIENCE, every=0.3)


class Begun:
    """A labctl that was started and may be killed at a moment."""

    def __init__(self, argv: Sequence[str], log: Path, env: Mapping[str, str] | None) -> None:
        log.unlink(missing_ok=True)
        self._log = log
        self._process = spawn(argv, log_file=log, env={"PYTHONPATH": str(ROOT), **(env or {})})

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def said(self) -> str:
        return self._log.read_text()

    def await_words(self, words: str, timeout: float = PATIENCE) -> None:
        """Wait until it has said this. Fails when it ends before."""

        def there() -> bool:
            ended = self._process.poll() is not None
            if words in self.said:
                return True
            assert not ended, f"it ended without saying {words!r}:\n{self.said}"
            return False

        wait_until(
            f"labctl to say {words!r}", there, timeout=timeout, every=0.005, last_seen=lambda: self.said
        )

    def await_file(self, path: Path) -> None:
        wait_until(f"{path}", path.exists, timeout=PATIENCE, every=0.002, last_seen=lambda: self.said)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self, timeout: float = PATIENCE) -> int:
        """Wait for its end; its exit code, negative for a signal."""
        return self._process.wait(timeout=timeout)

    def kill(self) -> None:
        """kill -9, of this process alone: what it started lives on."""
        self.signal(signal.SIGKILL)
        assert self.end() == -signal.SIGKILL, f"it was over before it was killed:\n{self.said}"
