"""The lab's own daemon: BMCs, the forwarded ports, and the machines' reset line.

Runs inside the bubble, started and kept up by labctl.bubble.init.
Run as: python -m labctl.bubble.labd SETTINGS.json HOST_NETWORK_FD [LISTENER_FD …]
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from labctl.bubble.forward import carry
from labctl.bubble.settings import Forward, Settings
from labctl.cluster.state import still_member, witnesses
from labctl.engine.base import Engine
from labctl.engine.podman import PodmanEngine
from labctl.errors import LabError
from labctl.places import LabPlaces
from labctl.storage.base import LIO
from labctl.storage.cut import cut, cut_by_machine
from labctl.storage.lio_daemon import LioKeeper

log = logging.getLogger("labctl.labd")

EXIT_REBOOT = 128 + signal.SIGHUP
APPLIANCE_STARTS_PER_MINUTE = 5


def main() -> int:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    settings = Settings.load(Path(sys.argv[1]))
    listeners = [socket.socket(fileno=int(fd)) for fd in sys.argv[3:]]
    stop = threading.Event()
    containers = PodmanEngine(settings.lab, Path(settings.socket))
    engine = engine_of(settings, containers)
    keeper = (
        LioKeeper(Path(settings.root) / "conf", engine, int(sys.argv[2]))
        if settings.storage == LIO and not settings.machines
        else None
    )
    if keeper is not None:
        threading.Thread(target=keeper.watch, args=(stop,), daemon=True).start()
    # One supply for both: a start that a reboot has asked for must not survive a BMC's power-off.
    sever = partial(_cut_everywhere, engine) if settings.machines else cut
    supply = PowerSupply(settings, engine, keeper, sever)
    threading.Thread(target=watch_resets, args=(containers, supply, stop), daemon=True).start()
    if settings.bmcs:
        threading.Thread(target=serve_bmcs, args=(settings, supply, stop), daemon=True).start()
    asyncio.run(serve_forwards(list(zip(settings.forwards, listeners, strict=True))))
    return 0


def _cut_everywhere(engine: Engine, addresses: Sequence[str]) -> None:
    """At the target that is a machine, and at those that learners run in containers."""
    cut_by_machine(engine, addresses)
    cut(addresses)


def engine_of(settings: Settings, containers: PodmanEngine) -> Engine:
    """The engine for all machines of the lab."""
    if not settings.machines:
        return containers
    from labctl.engine.libvirt import LibvirtEngine
    from labctl.engine.mixed import MixedEngine

    machines = LibvirtEngine(LabPlaces(settings.lab, Path(settings.root)), pace=settings.pace)
    if set(settings.addresses) <= set(settings.machines):
        return machines
    return MixedEngine(containers, machines, settings.machines)


async def serve_forwards(forwards: list[tuple[Forward, socket.socket]]) -> None:
    """Carry bytes between the listeners, which belong to the host's network, and the lab's."""
    servers = [await carry(listener, to.address, to.port) for to, listener in forwards]
    await asyncio.Event().wait()
    del servers


def serve_bmcs(settings: Settings, supply: PowerSupply, stop: threading.Event) -> None:
    """Answer IPMI for every node until stop is set."""
    from labctl.bmc.server import BmcSpec, serve

    specs = [BmcSpec(bmc.node, bmc.address, bmc.port, bmc.user, bmc.password) for bmc in settings.bmcs]
    serve(specs, supply, stop=stop, on_event=log.info)


def watch_resets(engine: PodmanEngine, supply: PowerSupply, stop: threading.Event) -> None:
    """Start a node again that rebooted itself, as a real machine does, and an appliance that failed.

    reboot(2) in a PID namespace ends its init with SIGHUP for a restart and SIGINT for a
    power-off (pid_namespaces(7)), so the exit code tells the one from the other.
    """
    starts: dict[str, list[float]] = {}
    while not stop.is_set():
        try:
            for name, code in engine.exits():
                log.info("%s went down with exit code %d", name, code)
                if name in engine.appliances():
                    # One that was told to stop ends with 0, and stays down.
                    if code != 0 and _allowed(starts.setdefault(name, [])):
                        engine.start(name)
                elif code == EXIT_REBOOT:
                    supply.power_on(name)
        except LabError as error:
            log.info("watching the nodes: %s", error)
            stop.wait(0.5)


def _allowed(starts: list[float]) -> bool:
    """Whether one more start is within the rate; counts it. What cannot run is not tried for ever."""
    now = time.monotonic()
    starts[:] = [at for at in starts if at > now - 60]
    if len(starts) >= APPLIANCE_STARTS_PER_MINUTE:
        return False
    starts.append(now)
    return True


class PowerSupply:
    """The engine's power, with what a real machine has and a container lacks: time to start.

    Firmware takes longer than corosync's token time-out; a container is up again before the
    others have noticed that it was gone, hears of its own fencing, and leaves the cluster for good.
    So a node comes back when the others no longer count it as a member. Its lamp is on meanwhile.
    """

    LONGEST = 60.0  # s; then the others have no say any more

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        keeper: LioKeeper | None = None,
        cut: Callable[[Sequence[str]], None] = cut,
    ) -> None:
        """keeper: gives and takes the nodes' disks, where they do not log in by themselves.

        cut: ends what the owner of these addresses has under way to a disk; raises when that is not sure.
        """
        self._keeper = keeper
        self._cut = cut
        self._addresses = settings.addresses
        self._engine = engine
        self._starting: dict[str, threading.Event] = {}
        # Switched on, yet there is no machine behind the switch: its container was removed. A BMC
        # that refused would keep the others from ever taking that node for fenced.
        self._without_machine: set[str] = set()
        # Without power, yet with something under way to a disk: a node is off when it can do no harm.
        self._not_cut: set[str] = set()
        self._lock = threading.Lock()

    def is_on(self, name: str) -> bool:
        lit = name in self._starting or name in self._without_machine or name in self._not_cut
        return lit or self._engine.is_on(name)

    def power_off(self, name: str) -> None:
        with self._lock:
            cancelled = self._starting.pop(name, None)
            self._without_machine.discard(name)
            self._not_cut.add(name)
        if cancelled is not None:
            cancelled.set()
        if self._keeper is not None:
            self._keeper.cut(name)
        self._engine.power_off(name)
        self._cut(self._addresses.get(name, ()))
        self._not_cut.discard(name)

    def power_on(self, name: str) -> None:
        with self._lock:
            if name in self._starting or self._engine.is_on(name):
                return
            if name not in self._engine.observe():
                self._without_machine.add(name)
                return
            cancelled = self._starting[name] = threading.Event()
        threading.Thread(target=self._start, args=(name, cancelled), daemon=True).start()

    def _start(self, name: str, cancelled: threading.Event) -> None:
        deadline = time.monotonic() + self.LONGEST
        try:
            while time.monotonic() < deadline and still_member(
                witnesses(self._engine, name), self._addresses.get(name, ())
            ):
                if cancelled.wait(0.3):
                    return
            with self._lock:
                if cancelled.is_set():
                    return
                self._engine.power_on(name)
                self._not_cut.discard(name)
            if self._keeper is not None:
                self._keeper.attach(name)
        except LabError as error:
            log.info("starting %s: %s", name, error)
        finally:
            with self._lock:
                if self._starting.get(name) is cancelled:
                    del self._starting[name]


if __name__ == "__main__":
    sys.exit(main())
