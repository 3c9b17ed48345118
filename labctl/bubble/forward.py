"""Carry TCP from the host's 127.0.0.1 into a lab's network namespace.

A socket belongs to the namespace that it was made in: the listener is made on the
host, then the thread enters the lab's network, where it makes the connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket

from labctl.bubble import kernel
from labctl.bubble.start import Bubble
from labctl.errors import HostLacks

CONNECT_SECONDS = 10.0


def listen(first: int, last: int) -> socket.socket:
    """A listener at the first free port of first..last on 127.0.0.1. Raises HostLacks."""
    reason = ""
    for port in range(first, last + 1):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(64)
        except OSError as error:
            listener.close()
            reason = error.strerror or str(error)
            continue
        return listener
    ports = f"Port {first}" if first == last else f"Every port from {first} to {last}"
    raise HostLacks(
        f"{ports} of 127.0.0.1 is taken ({reason.lower()}).",
        mend=f"ss -ltnp 'sport = :{first}'   (shows who holds it), or another port in the lab's file",
    )


async def carry(listener: socket.socket, address: str, port: int) -> asyncio.Server:
    """Serve a listener: each connection goes to address:port, as seen by this thread's network."""
    listener.setblocking(False)

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.wait_for(
                asyncio.open_connection(address, port), CONNECT_SECONDS
            )
        except (OSError, TimeoutError):
            writer.close()
            return
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))

    return await asyncio.start_server(one, sock=listener)


def serve(bubble: Bubble, host_port: int, address: str, port: int) -> None:
    """Forward until interrupted (SIGINT or SIGTERM). Raises HostLacks when the port is taken."""
    listener = listen(host_port, host_port)
    kernel.setns(f"/proc/{bubble.init}/ns/net", kernel.CLONE_NEWNET)

    async def until_interrupted() -> None:
        # The loop's own handlers wake it. With Python's alone, a signal that comes just before
        # the loop goes to sleep is heard only at the next connection, which may never come.
        interrupted = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupted.set)
        server = await carry(listener, address, port)
        await interrupted.wait()
        server.close()

    with contextlib.suppress(KeyboardInterrupt):  # before the handlers are there
        asyncio.run(until_interrupted())


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction of a connection, until it ends."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()
