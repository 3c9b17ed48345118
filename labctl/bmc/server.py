"""The IPMI 2.0 BMCs of one lab, all served by one loop.

pyghmi speaks the wire protocol (RMCP+ handshake, encryption, framing).  Its own event loop
is not used: it keeps sockets and sessions in module globals, starts a thread of its own, and
finds a session by the client's address and the server's *port*, so that two BMCs on port 623
of two addresses, asked from one client port, would take each other's packets.  Here one loop
owns all sockets and each BMC its own sessions, found by session id as the standard says.
"""

from __future__ import annotations

import contextlib
import errno
import queue
import selectors
import socket
import threading
from collections.abc import Callable, Sequence

from labctl.bmc.board import BmcSpec, Board, PowerPort
from labctl.bmc.session import Address
from labctl.errors import HostLacks

__all__ = ["BmcSpec", "PowerPort", "serve"]

TICK = 0.2  # s; how soon the loop sees `stop`
IP_FREEBIND = 15  # linux/in.h; Python's socket module does not name it


def serve(
    specs: Sequence[BmcSpec],
    power: PowerPort,
    *,
    stop: threading.Event,
    on_event: Callable[[str], None],
) -> None:
    """Answer for all these BMCs until stop is set; returns within a fraction of a second then.

    All sockets are bound before the first answer; an address that does not exist yet is fine.
    on_event gets one line per happening (listening, power switched, failures), always from
    the calling thread.  Raises HostLacks when an address cannot be bound.
    """
    loop = _Loop()
    try:
        for spec in specs:
            sock = _bind(spec)
            board = Board(spec, sock, power, loop.post, on_event)
            loop.watch(sock, board.receive, board.tick)
        for spec in specs:
            on_event(f"BMC of {spec.node} listens on {spec.address} port {spec.port}.")
        loop.run(stop, on_event)
    finally:
        loop.close()


def _bind(spec: BmcSpec) -> socket.socket:
    where = f"UDP port {spec.port} of {spec.address}"
    try:
        if not 0 < spec.port < 65536:  # getaddrinfo would take it modulo 65536
            raise OverflowError("there is no such port")
        family, kind, proto, _, address = socket.getaddrinfo(
            spec.address, spec.port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
        )[0]
    except (OSError, OverflowError) as error:
        raise HostLacks(
            f"The BMC of {spec.node} cannot listen on {where}: {error}.",
            mend="give the BMC a numeric address and a port from 1 to 65535 in compose.yaml",
        ) from None
    sock = socket.socket(family, kind, proto)
    try:
        # The bridge with this address may be made after us.
        sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        sock.bind(address)
    except OSError as error:
        sock.close()
        mend = {
            errno.EADDRINUSE: f"end the program that `ss -lunp sport = :{spec.port}` shows, then labctl up",
            errno.EACCES: "run labctl as root",
        }.get(error.errno or 0, "labctl doctor")
        raise HostLacks(
            f"The BMC of {spec.node} cannot listen on {where}: {error.strerror}.", mend=mend
        ) from None
    return sock


class _Loop:
    """Waits for datagrams and for what threads post, and handles them one at a time."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._ticks: list[Callable[[], None]] = []
        self._wake, wakened = socket.socketpair()
        self._wake.setblocking(False)
        self.watch(wakened, lambda _data, _sender: None)

    def watch(
        self,
        sock: socket.socket,
        handle: Callable[[bytes, Address], None],
        tick: Callable[[], None] | None = None,
    ) -> None:
        """Give every datagram of sock to handle(data, sender); call tick now and then."""
        self._selector.register(sock, selectors.EVENT_READ, handle)
        if tick is not None:
            self._ticks.append(tick)

    def post(self, work: Callable[[], None]) -> None:
        """Have work done by the loop's thread; the only method that other threads may call."""
        self._posted.put(work)
        with contextlib.suppress(OSError):  # full: it wakes anyway; closed: nobody waits any more
            self._wake.send(b"!")

    def run(self, stop: threading.Event, on_event: Callable[[str], None]) -> None:
        while not stop.is_set():
            for key, _ in self._selector.select(TICK):
                try:
                    # pyghmi makes its socket blocking whenever it sends
                    data, sender = key.fileobj.recvfrom(4096, socket.MSG_DONTWAIT)  # type: ignore[union-attr]
                    key.data(data, sender)
                except BlockingIOError:
                    continue
                except Exception as error:  # noqa: BLE001 - no datagram ends the server
                    on_event(f"BMC: dropped a datagram: {error!r}")
            while not self._posted.empty():
                self._posted.get()()
            for tick in self._ticks:
                tick()

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
            key.fileobj.close()  # type: ignore[union-attr]
        self._wake.close()
        self._selector.close()
