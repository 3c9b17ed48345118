"""An engine whose machines are rows in a table."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from labctl.engine.base import Appliance, File, Machine, State
from labctl.errors import ActionFailed, CommandFailed
from labctl.lab.model import Lab, NodeSpec
from labctl.run import Result

Answer = Result | Callable[[tuple[str, ...], str | None], Result]


@dataclass(frozen=True)
class Call:
    """One call of the engine or of a node: the method's name, the node's (or ""), the rest."""

    method: str
    node: str = ""
    arguments: tuple[object, ...] = ()


class FakeEngine:
    """labctl.engine.base.Engine in memory.

    calls: all calls that ask or change something, in order.
    failures: method name → exception that the method raises instead of working.
    script(): what commands inside nodes answer; an unscripted command ends well and silent.
    Safe to use from several threads.
    """

    pace = 1.0

    def __init__(self, on: Sequence[str] = ()) -> None:
        """on: nodes that are there and on from the beginning."""
        self.calls: list[Call] = []
        self.failures: dict[str, Exception] = {}
        self.closed = False
        self._machines = {name: Machine(name, State.ON) for name in on}
        self._files: dict[str, dict[str, File]] = {name: {} for name in on}
        self._networks: set[str] = set()
        self._appliances: set[str] = set()
        self._answers: list[tuple[str, tuple[str, ...], Answer]] = []
        self._lock = threading.RLock()

    def script(self, argv: Sequence[str], answer: Answer, *, node: str = "") -> None:
        """Commands that begin with these words get this answer; the last script that fits counts."""
        self._answers.insert(0, (node, tuple(argv), answer))

    def called(self, *methods: str) -> list[tuple[str, str]]:
        """(method, node) of all calls of these methods, in order."""
        return [(call.method, call.node) for call in self.calls if call.method in methods]

    def observe(self) -> Mapping[str, Machine]:
        with self._call("observe"):
            return {name: each for name, each in self._machines.items() if name not in self._appliances}

    def appliances(self) -> Mapping[str, Machine]:
        with self._call("appliances"):
            return {name: each for name, each in self._machines.items() if name in self._appliances}

    def make_networks(self, lab: Lab) -> list[str]:
        with self._call("make_networks"):
            made = [network.name for network in lab.networks if network.name not in self._networks]
            self._networks.update(made)
            return made

    def create(self, lab: Lab, node: NodeSpec, image: str, files: Sequence[File]) -> None:
        with self._call("create", node.name, image, tuple(file.path for file in files)):
            if node.name in self._machines:
                raise ActionFailed(f"The machine {node.name} is there already.")
            self._machines[node.name] = Machine(node.name, State.OFF, image, node.spec_hash(lab))
            self._files[node.name] = {file.path: file for file in files}

    def create_appliance(self, appliance: Appliance, image: str, files: Sequence[File]) -> None:
        with self._call("create_appliance", appliance.name, image, tuple(file.path for file in files)):
            if appliance.name in self._machines:
                raise ActionFailed(f"The machine {appliance.name} is there already.")
            spec = appliance.spec_hash(image)
            self._machines[appliance.name] = Machine(appliance.name, State.OFF, image, spec)
            self._files[appliance.name] = {file.path: file for file in files}
            self._appliances.add(appliance.name)

    def start(self, name: str) -> None:
        with self._call("start", name):
            if self._machine(name).state is State.OFF:
                self._set(name, State.ON)

    def stop(self, name: str, *, timeout: float) -> None:
        with self._call("stop", name, timeout):
            if self._machine(name).state is not State.OFF:
                self._set(name, State.OFF)

    def remove(self, name: str) -> None:
        with self._call("remove", name):
            self._machines.pop(name, None)
            self._files.pop(name, None)
            self._appliances.discard(name)

    def is_on(self, name: str) -> bool:
        with self._call("is_on", name):
            return name in self._machines and self._machines[name].state in {State.ON, State.FROZEN}

    def power_off(self, name: str) -> None:
        with self._call("power_off", name):
            if name in self._machines:
                self._set(name, State.OFF)

    def power_on(self, name: str) -> None:
        with self._call("power_on", name):
            if self._machine(name).state is State.OFF:
                self._set(name, State.ON)

    def freeze(self, name: str) -> None:
        with self._call("freeze", name):
            self._need_on(name)
            self._set(name, State.FROZEN)

    def thaw(self, name: str) -> None:
        with self._call("thaw", name):
            if self._machine(name).state is State.FROZEN:
                self._set(name, State.ON)

    def node(self, name: str) -> FakeNode:
        return FakeNode(self, name)

    def console(self, name: str) -> str:
        self._call("console", name)
        return ""

    def close(self) -> None:
        self.closed = True

    def _call(self, method: str, node: str = "", *arguments: object) -> threading.RLock:
        """Record a call, fail if told to; the lock to hold meanwhile."""
        with self._lock:
            self.calls.append(Call(method, node, arguments))
            if method in self.failures:
                raise self.failures[method]
        return self._lock

    def _machine(self, name: str) -> Machine:
        if name not in self._machines:
            raise ActionFailed(f"There is no machine {name}.", mend="labctl up")
        return self._machines[name]

    def _need_on(self, name: str) -> None:
        if (state := self._machine(name).state) is not State.ON:
            raise ActionFailed(f"The machine {name} is {state}.", mend="labctl up")

    def _set(self, name: str, state: State) -> None:
        self._machines[name] = replace(self._machines[name], state=state)


class FakeNode:
    """labctl.engine.base.Node of a FakeEngine."""

    def __init__(self, engine: FakeEngine, name: str) -> None:
        self._engine = engine
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def run(
        self, argv: Sequence[str], *, timeout: float, check: bool = True, stdin: str | None = None
    ) -> Result:
        words = tuple(argv)
        with self._engine._call("run", self._name, words, stdin):
            self._engine._need_on(self._name)
            result = self._answer(words, stdin)
        if check and not result.ok:
            raise CommandFailed(f"{words[0]} failed.", details=result.describe())
        return result

    def put(self, files: Sequence[File]) -> None:
        with self._engine._call("put", self._name, tuple(file.path for file in files)):
            self._engine._machine(self._name)
            self._engine._files[self._name].update({file.path: file for file in files})

    def get(self, path: str) -> bytes:
        with self._engine._call("get", self._name, path):
            self._engine._machine(self._name)
            file = self._engine._files[self._name].get(path)
        if file is None or file.directory:
            raise ActionFailed(f"There is no file {path} on {self._name}.")
        return self.get(file.link_to) if file.link_to else file.content

    def _answer(self, words: tuple[str, ...], stdin: str | None) -> Result:
        for node, beginning, answer in self._engine._answers:
            if node in {"", self._name} and words[: len(beginning)] == beginning:
                return answer if isinstance(answer, Result) else answer(words, stdin)
        return Result(words, 0, "", "")
