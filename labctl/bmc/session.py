"""One client's session with one BMC: pyghmi's server side, made safe to ask twice.

Numbers in comments: tables of the IPMI 2.0 specification, revision 1.1.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pyghmi.ipmi.private import constants, serversession
from pyghmi.ipmi.private.session import Session as GlobalSessions

if TYPE_CHECKING:
    from labctl.bmc.board import Board

Address = tuple[Any, ...]

# Completion codes, table 5-2.
OK, BAD_LENGTH, UNSPECIFIED = 0x00, 0xC7, 0xFF
# RMCP+ status codes, table 13-15.
UNAUTHORISED_NAME, BAD_INTEGRITY_CHECK = 0x0D, 0x0F
RAKP1, RAKP3 = 0x12, 0x14
APPLICATION = 0x06  # network function, table 5-1
# pyghmi's attributes that say where an answer goes
ROUTE = ("clientaddr", "clientnetfn", "clientcommand", "seqlun", "rqlun")


class Reply:
    """Where the answer to one request goes, kept while the session may serve other requests."""

    def __init__(self, session: Session, data: bytes) -> None:
        self._session = session
        self._route = tuple(getattr(session, name) for name in ROUTE)
        self.key = (*self._route, data)
        self.sent: tuple[int, bytes] | None = None

    def __call__(self, code: int = OK, data: bytes = b"") -> None:
        if self.sent is None:
            self.sent = code, data
            self.resend()

    def resend(self) -> None:
        if self.sent is not None:
            for name, value in zip(ROUTE, self._route, strict=True):
                setattr(self._session, name, value)
            self._session.send_ipmi_response(code=self.sent[0], data=self.sent[1])


class Session(serversession.ServerSession):  # type: ignore[misc]
    """pyghmi's server side of a session, out of its global table, and safe to ask twice."""

    k1 = None  # pyghmi reads these before it has set them
    localsid = None
    clientpriv = 4

    def __new__(cls, *_: object) -> Session:
        return object.__new__(cls)  # pyghmi's takes seven arguments here

    def __init__(self, bmc: Board, sender: Address, request: bytes) -> None:
        self._last: Reply | None = None
        self._handshake: dict[bytes, bytes] = {}
        super().__init__(bmc.authdata, None, sender, bmc.serversocket, request, bmc.uuid, bmc)
        GlobalSessions.bmc_handlers.pop(sender, None)
        self.key = bytes(self.managedsessionid)
        self.used = time.monotonic()

    def receive(self, data: bytes) -> None:
        """One datagram.  A repeated step of the handshake gets the same answer again: a new
        random number would contradict the one that the client has already."""
        self.used = time.monotonic()
        if data in self._handshake:
            self.socket.sendto(self._handshake[data], self.sockaddr)
            return
        before = self.netpacket
        self._handle_ipmi2_packet(bytearray(data))
        if data[5] in (RAKP1, RAKP3) and self.netpacket is not before and len(self._handshake) < 8:
            self._handshake[data] = bytes(self.netpacket)

    def _got_rakp1(self, data: bytearray) -> None:
        name = bytes(data[28 : 28 + data[27]]).decode("utf-8", "replace")
        if self.authdata.get(name) is None:
            self._refuse(data[0], UNAUTHORISED_NAME, "rakp2")
        else:
            super()._got_rakp1(data)

    def _got_rakp3(self, data: bytearray) -> None:
        super()._got_rakp3(data)
        if self.localsid is None:  # pyghmi drops a wrong proof silently; the client would wait
            self.k1 = None
            if data[1] == 0:
                self._refuse(data[0], BAD_INTEGRITY_CHECK, "rakp4")

    def _refuse(self, tag: int, status: int, step: str) -> None:
        payload = bytearray([tag, status, 0, 0]) + self.clientsessionid
        self.send_payload(payload, constants.payload_types[step], retry=False)

    def handle_client_request(self, request: dict[str, Any]) -> None:
        reply = Reply(self, bytes(request["data"]))
        if self._last is not None and self._last.key == reply.key:
            self._last.resend()  # the client asked again; nothing is done twice
            return
        self._last = reply
        try:
            if request["netfn"] == APPLICATION and request["command"] in (0x3B, 0x3C):
                self._last = None
                super().handle_client_request(request)  # set privilege, close session
            else:
                self.bmc.handle(request["netfn"], request["command"], bytes(request["data"]), reply)
        except IndexError:
            reply(BAD_LENGTH)
        except Exception as error:  # noqa: BLE001 - it goes to on_event and the client
            self.bmc.say(f"an unexpected {error!r} for command {request['command']:#x}")
            reply(UNSPECIFIED)

    def close_server_session(self) -> None:
        self.bmc.sessions.pop(self.key, None)
