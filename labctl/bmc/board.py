"""One node's board controller: what each IPMI command does, power mapped to the engine.

Calls of the engine run in threads, at most two per BMC (one reads the lamp, one works the
switch), so a slow power-off delays nobody else's answer.  Everything else runs in the
server's loop; the threads post their outcome to it.

Numbers in comments: tables of the IPMI 2.0 specification, revision 1.1.
"""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

# serversession, not pyghmi.ipmi.bmc: that one loads the whole client with its vendors' modules,
# 9 MB and 0.2 s more, and its chassis control blocks.
from pyghmi.ipmi.private import serversession

from labctl.bmc.session import OK, RAKP1, RAKP3, UNSPECIFIED, Address, Reply, Session

# Completion codes, table 5-2; the second of table 28-14.
UNKNOWN_COMMAND, NO_SUCH_PARAMETER, BAD_FIELD = 0xC1, 0x80, 0xCC
OPEN_SESSION = 0x10  # payload type, table 13-16
DIRECTIVES = {0: "off", 1: "on", 2: "cycle", 3: "reset", 5: "soft"}  # table 28-4

ANSWER_AFTER = 4.0  # s; a longer action is answered "accepted" before the client gives up
SESSION_IDLE = 60.0  # s, section 6.12.15
SESSION_LIMIT = 256  # per BMC; the longest unused one goes


@dataclass(frozen=True)
class BmcSpec:
    """One BMC: the node whose power it switches, where it listens (UDP), who may ask."""

    node: str
    address: str
    port: int
    user: str
    password: str = field(repr=False)


class PowerPort(Protocol):
    """The slice of engine.base.Engine that a BMC needs.

    Called from several threads, for one node at most one switch and one is_on at a time.
    power_off of a node that is off and power_on of one that is on must do no harm.
    """

    def is_on(self, name: str) -> bool: ...

    def power_off(self, name: str) -> None: ...

    def power_on(self, name: str) -> None: ...


@dataclass
class _Action:
    """A directive that waits or runs, and who is to hear of its end."""

    name: str
    replies: list[Reply] = field(default_factory=list)
    asked: float = field(default_factory=time.monotonic)


class Board(serversession.IpmiServer):  # type: ignore[misc]
    """One board controller.  Everything but the two threads' bodies runs in the loop."""

    def __init__(
        self,
        spec: BmcSpec,
        sock: socket.socket,
        power: PowerPort,
        post: Callable[[Callable[[], None]], None],
        on_event: Callable[[str], None],
    ) -> None:
        # Not super().__init__(): it would bind a socket in pyghmi's global table.
        self.serversocket, self.port, self.authdata = sock, spec.port, {spec.user: spec.password}
        self.uuid = uuid.uuid5(uuid.NAMESPACE_DNS, spec.node)
        self.deviceid = self.revision = self.firmwareminor = self.additionaldevices = 0
        self.firmwaremajor, self.ipmiversion, self.mfgid, self.prodid = 1, 2, 0, 0
        # Table 22-15: channel 1, IPMI 2.0 only, user names are needed.
        self.authcap = bytes([0, 1, 0x80, 0x04, 0x02, 0, 0, 0, 0])
        self.sessions: dict[bytes, Session] = {}
        self._node, self._power, self._post, self._on_event = spec.node, power, post, on_event
        self._boot: dict[int, bytes] = {5: bytes(5)}
        self._actions: deque[_Action] = deque()  # the first one runs
        self._switched = 0  # actions done so far
        self._lamp_readers: list[Reply] = []
        self._looking = False

    def say(self, text: str) -> None:
        self._on_event(f"BMC of {self._node}: {text}.")

    def receive(self, data: bytes, sender: Address) -> None:
        """One datagram: to its session, to a new one, or to what needs none (table 13-8)."""
        if len(data) < 16 or data[0] != 6 or data[2:4] != b"\xff\x07":
            return
        kind = data[5] & 0x3F
        if data[4] != 6 or (kind == 0 and data[6:10] == bytes(4)):
            self.sessionless_data(data, sender)
        elif kind == OPEN_SESSION and len(data) >= 24:
            self._open(data, sender)
        elif kind in (0, RAKP1, RAKP3):
            session = self.sessions.get(data[6:10] if kind == 0 else data[20:24])
            if session is not None and session.sockaddr == sender:
                session.receive(data)

    def _open(self, data: bytes, sender: Address) -> None:
        session = Session(self, sender, data[16:])
        self.sessions[session.key] = session
        oldest_first = sorted(self.sessions.values(), key=lambda other: other.used)
        for index, other in enumerate(oldest_first):
            if session.used - other.used > SESSION_IDLE or len(oldest_first) - index > SESSION_LIMIT:
                del self.sessions[other.key]

    def handle(self, netfn: int, command: int, data: bytes, reply: Reply) -> None:
        """One request of a session; reply may come later.  IndexError: the data are too short."""
        match netfn, command:
            case 0x06, 0x01:  # get device id, table 20-2
                reply(data=bytes([0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0]))
            case 0x06, 0x37:  # get system GUID, least byte first (20.8)
                reply(data=self.uuid.bytes[::-1])
            case 0x00, 0x01:
                self._read_lamp(reply)
            case 0x00, 0x02:
                self._control(data[0] & 0x0F, reply)
            case 0x00, 0x04:  # identify: there is no light to blink
                self.say("identify")
                reply()
            case 0x00, 0x08:  # set boot options: kept, as far as the lab can use them
                self._boot[data[0] & 0x7F] = data[1:]
                reply()
            case 0x00, 0x09:
                flags = self._boot.get(data[0] & 0x7F)
                if flags is None:
                    reply(NO_SUCH_PARAMETER)
                else:
                    reply(data=bytes([1, data[0] & 0x7F]) + flags)
            case _:
                reply(UNKNOWN_COMMAND)

    def _read_lamp(self, reply: Reply) -> None:
        self._lamp_readers.append(reply)
        if self._cutting():
            self._show_lamp(True)
        elif not self._looking:
            self._start_look()

    def _cutting(self) -> bool:
        """A node counts as on until the engine has said that nothing of it is left."""
        return bool(self._actions) and self._actions[0].name != "on"

    def _start_look(self) -> None:
        self._looking = True
        _in_thread(self._look, self._switched)

    def _look(self, switched: int) -> None:
        """In a thread."""
        on, failure = False, None
        try:
            on = self._power.is_on(self._node)
        except Exception as error:  # noqa: BLE001 - it goes to on_event and the client
            failure = error
        self._post(lambda: self._looked(on, failure, switched))

    def _looked(self, on: bool, failure: Exception | None, switched: int) -> None:
        self._looking = False
        if not self._lamp_readers:  # a switch began meanwhile, and they were told so
            return
        if failure is not None:
            self.say(f"the power lamp cannot be read: {_line(failure)}")
            self._show_lamp(None)
        elif switched != self._switched:
            self._start_look()  # seen before the last switch: old news
        else:
            self._show_lamp(on)

    def _show_lamp(self, on: bool | None) -> None:
        readers, self._lamp_readers = self._lamp_readers, []
        for reply in readers:
            if on is None:
                reply(UNSPECIFIED)
            else:
                reply(data=bytes([on, 0, 0]))  # table 28-3

    def _control(self, directive: int, reply: Reply) -> None:
        name = DIRECTIVES.get(directive)
        if name is None:
            reply(BAD_FIELD)
            return
        last = self._actions[-1] if self._actions else None
        # Join the same directive if it still waits.  A running "off" may be joined, too: the
        # node is dead when it ends.  A running reset not: it may have cut the power long ago.
        if last is not None and last.name == name and (len(self._actions) > 1 or name == "off"):
            last.replies.append(reply)
        else:
            self._actions.append(_Action(name, [reply]))
            if len(self._actions) == 1:
                self._begin()

    def _begin(self) -> None:
        if self._cutting():
            self._show_lamp(True)
        _in_thread(self._work, self._actions[0].name)

    def _work(self, name: str) -> None:
        """In a thread.  What the standard leaves open: cycle and reset switch on what was off."""
        failure = None
        try:
            if name != "on":
                self._power.power_off(self._node)
            if name in ("cycle", "reset") or (name == "on" and not self._power.is_on(self._node)):
                self._power.power_on(self._node)
        except Exception as error:  # noqa: BLE001 - it goes to on_event and the client
            failure = error
        self._post(lambda: self._worked(failure))

    def _worked(self, failure: Exception | None) -> None:
        action = self._actions.popleft()
        self._switched += 1
        self.say(f"power {action.name} " + (f"failed: {_line(failure)}" if failure else "done"))
        for reply in action.replies:
            reply(UNSPECIFIED if failure else OK)
        if self._actions:
            self._begin()

    def tick(self) -> None:
        """Now and then: accept what takes long, before the client thinks that nobody is here."""
        for action in self._actions:
            if time.monotonic() - action.asked > ANSWER_AFTER:
                for reply in action.replies:
                    reply()


def _in_thread(target: Callable[..., None], *args: object) -> None:
    # A daemon: an engine that hangs must not keep the process from ending.
    threading.Thread(target=target, args=args, daemon=True).start()


def _line(error: Exception) -> str:
    """An error in one line, as on_event wants it."""
    return " ".join(str(error).split()) or repr(error)
