"""Nodes as virtual machines, through the libvirtd of the lab's own bubble (libvirt-python).

Each machine's disk is an overlay over the family's base (docs/adr/0013-vm-image.md).  Files come into a
machine that is off by a second, read-only disk that it unpacks at its next boot, and into one that is
on through its guest agent.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labctl.engine import agent, domain, elsewhere, exports, pending
from labctl.engine.base import Appliance, File, Machine, State
from labctl.engine.domain import Hardware
from labctl.engine.guest_files import appliance_files, identity_files, network_files, pace_files
from labctl.engine.handle import Handle
from labctl.engine.libvirt_binding import agent_binding, binding
from labctl.engine.libvirt_link import Link
from labctl.engine.podman_api import pack
from labctl.errors import ActionFailed, LabError, TimedOut
from labctl.places import LabPlaces
from labctl.run import Result, run
from labctl.wait import wait_until

if TYPE_CHECKING:
    from labctl.lab.model import Lab, NodeSpec

AGENT_SECONDS = 20.0  # s, at pace 1, for the agent itself to answer
DISK_MIB = 16384  # the overlay's size; the machine's file system grows into it
CONSOLE_BYTES, CONSOLE_LINES = 16384, 30


class LibvirtNode(Handle["LibvirtEngine"]):
    """Acts inside one virtual machine."""

    def run(
        self, argv: Sequence[str], *, timeout: float, check: bool = True, stdin: str | None = None
    ) -> Result:
        """Run a command as root. The machine itself enforces the time-out, which grows with its pace."""
        limit = timeout * self._engine.pace
        rc, out, err = self._engine.execute(
            self._name, self.limited(argv, limit), (stdin or "").encode(), limit + 10
        )
        texts = (out.decode(errors="replace"), err.decode(errors="replace"))
        return self.judged(argv, rc, *texts, limit=limit, check=check)


class LibvirtEngine(Link):
    """One lab's virtual machines. Safe to use from several threads."""

    def __init__(self, places: LabPlaces, hardware: Hardware | None = None, *, pace: float = 1.0) -> None:
        """hardware: needed to make machines.  pace: of those that are there, without it."""
        super().__init__(places)
        self._hardware = hardware
        self._remote = bool(places.token)  # on another host
        self._pace = hardware.pace if hardware else pace

    @property
    def pace(self) -> float:
        """How many times longer than under KVM everything in a machine takes; 1 or more."""
        return self._pace

    # -- machines -------------------------------------------------------------------------

    def observe(self) -> Mapping[str, Machine]:
        return self._machines(domain.NODE)

    def appliances(self) -> Mapping[str, Machine]:
        return self._machines(domain.APPLIANCE)

    def _machines(self, role: str) -> Mapping[str, Machine]:
        machines = {}
        with self._errors("libvirt does not list the machines"):
            for found in self._connection().listAllDomains():
                about = domain.about(found.XMLDesc())
                if about.get("role") == role and self._ours(about):
                    name, started = about.get("name", found.name()), found.ID()
                    machines[name] = Machine(
                        name=name,
                        state=self._state_of(found),
                        image=about["image"],
                        spec_hash=about["spec"],
                        started=str(started) if started >= 0 else "",
                        labels=about,
                    )
        return machines

    def make_networks(self, lab: Lab) -> list[str]:  # noqa: ARG002 (the bubble has made its bridges)
        return []

    def create(self, lab: Lab, node: NodeSpec, image: str, files: Sequence[File]) -> None:
        machine = domain.of_node(lab, node, image, self._folder(node.name))
        self._create(machine, [*identity_files(), *network_files(lab, node), *pace_files(self.pace), *files])

    def create_appliance(self, appliance: Appliance, image: str, files: Sequence[File]) -> None:
        machine = domain.of_appliance(appliance, image, self._folder(appliance.name))
        self._create(
            machine, [*identity_files(), *appliance_files(appliance), *pace_files(self.pace), *files]
        )

    def _create(self, machine: domain.Machine, files: Sequence[File]) -> None:
        hardware = self._hardware
        if hardware is None:
            raise ActionFailed(f"{machine.name} cannot be made: the lab's machines are not described.")
        if self._found(machine.name) is not None:
            raise ActionFailed(f"There is a machine {machine.name} already.")
        shutil.rmtree(machine.folder, ignore_errors=True)
        machine.folder.mkdir(mode=0o700, parents=True)
        (machine.folder / "base").write_text(f"{hardware.disk}\n")
        # fmt: off
        run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", hardware.disk,
             machine.disk, f"{DISK_MIB}M"], timeout=60)
        # fmt: on
        pending.add(machine.files, files)
        connection = self._connection()
        with self._errors(f"libvirt refused to make {machine.name}"):
            if self._in_bubble:
                connection.defineXML(domain.xml(machine, hardware))
                return
            around = elsewhere.around(self._places, connection)
            elsewhere.hand_over(self._places, around.host, [machine.folder])
            elsewhere.define(
                self._places, connection, machine.folder, domain.xml(machine, hardware, around)
            )  # fmt: skip

    def start(self, name: str) -> None:
        found = self._domain(name)
        self._require_room(name)
        with self._errors(f"libvirt refused to start {name}"):
            state = self._state_of(found)
            if state is State.FROZEN:
                found.resume()
            elif state is State.OFF:
                self._mark_boot(name)
                if self._remote:
                    careful = domain.about(found.XMLDesc()).get("role") == domain.APPLIANCE
                    exports.serve(self._places, name, careful=careful)
                try:
                    found.create()
                except binding().libvirtError:
                    if self._state_of(found) is State.OFF:
                        raise  # else its BMC, asked by the cluster, was faster

    def stop(self, name: str, *, timeout: float) -> None:
        found = self._domain(name)
        if self._state_of(found) is State.ON:
            with contextlib.suppress(TimedOut):
                with self._errors(f"libvirt refused to shut {name} down"):
                    found.shutdown()
                wait_until(
                    f"{name} to shut down",
                    lambda: self._state_of(found) is not State.ON,
                    timeout=timeout * self.pace,
                )
        self.power_off(name)

    def remove(self, name: str) -> None:
        found = self._found(name)
        if found is not None:
            self.power_off(name)
            with self._errors(f"libvirt refused to remove {name}"):
                elsewhere.undefine(found)
        if self._remote:
            exports.forget(self._places, name)
            elsewhere.unwire(self._places, name)
        shutil.rmtree(self._folder(name), ignore_errors=True)

    # -- power ----------------------------------------------------------------------------

    def is_on(self, name: str) -> bool:
        found = self._found(name)
        return found is not None and self._state_of(found) is not State.OFF

    def power_off(self, name: str) -> None:
        """End the machine's QEMU, frozen or not; libvirt kills one that does not go."""
        found = self._found(name)
        if found is None:
            return
        api = binding()
        try:
            found.destroy()
        except api.libvirtError as error:
            if error.get_error_code() != api.VIR_ERR_OPERATION_INVALID:  # it is off already
                raise self._failed(f"The power of {name} could not be cut", error) from None

    def power_on(self, name: str) -> None:
        self.start(name)

    def freeze(self, name: str) -> None:
        with self._errors(f"libvirt refused to freeze {name}"):
            self._domain(name).suspend()

    def thaw(self, name: str) -> None:
        self._require_room(name)
        found = self._domain(name)
        with self._errors(f"libvirt refused to thaw {name}"):
            was_full = binding().VIR_DOMAIN_DISK_ERROR_NO_SPACE in found.diskErrors().values()
            found.resume()
        if was_full:
            self._require_going(found, name)

    def keep_memory(self, name: str, file: Path) -> None:
        """Write what a frozen machine holds, its devices' states included, to a file; it stays frozen.

        https://libvirt.org/formatsnapshot.html, memory of kind external.
        """
        if self._remote:
            raise ActionFailed("Another host's libvirt has it, and keeps it.")
        found = self._domain(name)
        with self._errors(f"libvirt does not keep the memory of {name}"):
            document = domain.memory_only(found.XMLDesc(), file)
            found.snapshotCreateXML(document, binding().VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA)

    def held_in_memory(self, name: str) -> int:
        """At most so many bytes keep_memory() would write now."""
        with self._errors(f"libvirt does not tell the size of {name}"):
            return int(self._domain(name).memoryStats().get("rss", 0)) * 1024

    def wake(self, name: str, file: Path) -> None:
        """Give a machine that is off what keep_memory() wrote; it is frozen then.

        Its disk must be what it was at that moment.
        """
        self._require_room(name)
        with self._errors(f"libvirt does not wake {name}"):
            self._connection().restoreFlags(str(file), None, binding().VIR_DOMAIN_SAVE_PAUSED)

    # -- inside ---------------------------------------------------------------------------

    def node(self, name: str) -> LibvirtNode:
        return LibvirtNode(self, name)

    def execute(
        self, name: str, argv: Sequence[str], stdin: bytes, timeout: float
    ) -> tuple[int, bytes, bytes]:
        """One command through the agent: exit code, stdout, stderr."""
        found = self._domain(name)
        send, patience = agent_binding().qemuAgentCommand, int(AGENT_SECONDS * self.pace)

        def ask(command: dict[str, Any]) -> Any:
            with self._errors(f"{name} does not answer"):
                return agent.asked(send(found, json.dumps(command), patience, 0))

        return agent.execute(ask, argv, stdin, timeout)

    def put(self, name: str, files: Sequence[File]) -> None:
        if not self._runs(name):
            pending.add(self._folder(name) / pending.NAME, files)
            return
        argv = ["/usr/bin/tar", "--extract", "--preserve-permissions", "--numeric-owner", "--directory=/"]
        rc, _, err = self.execute(name, argv, pack(files), AGENT_SECONDS * self.pace)
        if rc != 0:
            raise ActionFailed(f"Files could not be placed on {name}.", details=err.decode(errors="replace"))

    def get(self, name: str, path: str) -> bytes:
        if not self._runs(name):
            found = pending.find(self._folder(name) / pending.NAME, path)
            if found is None:
                mend = f"labctl up --lab {self._places.lab}"
                raise ActionFailed(f"{path} on {name} cannot be read: the machine is off.", mend=mend)
            return found
        rc, out, _ = self.execute(name, ["/usr/bin/cat", "--", path], b"", AGENT_SECONDS * self.pace)
        if rc != 0:
            raise ActionFailed(f"{path} on {name} is not a file.")
        return out

    def console(self, name: str) -> str:
        if self._remote:
            text = elsewhere.remote(self._places).read(self._console_there(name), CONSOLE_BYTES)
            return "\n".join(text.splitlines()[-CONSOLE_LINES:])
        try:
            with (self._folder(name) / "console.log").open("rb") as log:
                log.seek(max(0, log.seek(0, io.SEEK_END) - CONSOLE_BYTES))
                return "\n".join(log.read().decode(errors="replace").splitlines()[-CONSOLE_LINES:])
        except OSError:
            return ""

    def _mark_boot(self, name: str) -> None:
        """What stands above this line in the console's log is of an earlier boot. A full disk may lack it."""
        line = f"\n{domain.SWITCHED_ON}\n"
        if self._remote:
            with contextlib.suppress(LabError):
                elsewhere.remote(self._places).append(self._console_there(name), line)
            return
        with contextlib.suppress(OSError), (self._folder(name) / "console.log").open("a") as log:
            log.write(line)

    def _console_there(self, name: str) -> str:
        return str(domain.console_there(elsewhere.folder_there(self._places), name))

    def _folder(self, name: str) -> Path:
        return self._places.vms / name
