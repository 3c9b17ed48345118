"""An iSCSI target on loopback that lets in, tells its targets and its disks, and no more (RFC 7143)."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import struct
import threading
from collections.abc import Iterator
from types import TracebackType

CHALLENGE = bytes(range(16))


class FakeTarget:
    """Use with `with`; then port is open. chap: who may come in, with which password; empty: everybody."""

    def __init__(
        self,
        *,
        targets: dict[str, list[str]] | None = None,
        chap: dict[str, str] | None = None,
        refuse: tuple[int, int] = (0, 0),
        sizes: dict[int, int] | None = None,
    ) -> None:
        self.targets, self.chap, self.refuse, self.sizes = targets or {}, chap or {}, refuse, sizes or {}
        self.initiators: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> FakeTarget:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with peer, contextlib.suppress(ConnectionError):
                for header, data in _requests(peer):
                    self._answer(peer, header, data)

    def _answer(self, peer: socket.socket, header: bytes, data: bytes) -> None:
        opcode = header[0] & 0x3F
        if opcode == 0x03:
            self._login(peer, header, dict(_pairs(data)))
        elif opcode == 0x04:
            # In two packets, to be put together again; and a ping between, to be answered.
            text = b"".join(
                f"TargetName={iqn}\0".encode() + b"".join(f"TargetAddress={at}\0".encode() for at in portals)
                for iqn, portals in self.targets.items()
            )
            if header[20:24] == b"\xff" * 4:
                _send(peer, 0x20, 0x80, header, b"", tag=b"\0\0\0\7")
                _send(peer, 0x24, 0x40, header, text[:20], tag=b"\0\0\0\1")
            else:
                _send(peer, 0x24, 0x80, header, text[20:], tag=b"\xff" * 4)
        elif opcode == 0x01:
            self._scsi(peer, header)
        elif opcode == 0x06:
            _send(peer, 0x26, 0x80, header, b"")

    def _login(self, peer: socket.socket, header: bytes, keys: dict[str, str]) -> None:
        stage, leave = header[1] >> 2 & 3, bool(header[1] & 0x80)
        answer: dict[str, str] = {}
        status = self.refuse
        if "InitiatorName" in keys:
            self.initiators.append(keys["InitiatorName"])
        if "AuthMethod" in keys:
            answer = {"AuthMethod": "CHAP" if self.chap else "None", "TargetPortalGroupTag": "7"}
            if self.chap and "CHAP" not in keys["AuthMethod"]:
                status = (2, 1)
            leave = leave and not self.chap
        elif "CHAP_A" in keys:
            answer = {"CHAP_A": "5", "CHAP_I": "9", "CHAP_C": "0x" + CHALLENGE.hex()}
        elif "CHAP_R" in keys:
            password = self.chap.get(keys["CHAP_N"])
            right = hashlib.md5(
                b"\x09" + (password or "").encode() + CHALLENGE, usedforsecurity=False
            ).hexdigest()
            if password is None or keys["CHAP_R"] != f"0x{right}":
                status = (2, 1)
        flags = (0x80 if leave else 0) | stage << 2 | (header[1] & 3 if leave else 0)
        _send(peer, 0x23, flags, header, _texts(answer), status=status)

    def _scsi(self, peer: socket.socket, header: bytes) -> None:
        command, lun = header[32:48], header[9]
        if command[0] == 0xA0:
            numbers = b"".join(struct.pack(">BB6x", 0, number) for number in (0, *self.sizes))
            data = struct.pack(">I4x", len(numbers)) + numbers
        elif command[0] == 0x9E:
            data = struct.pack(">QI20x", self.sizes[lun] // 512 - 1, 512)
        elif not command[1]:
            data = bytes([0 if lun in self.sizes else 0x0C]) + bytes(35)
        elif command[2] == 0x80:
            data = b"\0\x80\0\x04" + f"S{lun:03}".encode() + b"behind it"
        else:
            _send(peer, 0x21, 0x80, header, b"\0\x12\x70\0\5" + bytes(15), check=True)  # no such page
            return
        _send(peer, 0x25, 0x81, header, data)


def _requests(peer: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    stream = peer.makefile("rb")
    while header := stream.read(48):
        size = int.from_bytes(header[5:8], "big")
        yield header, stream.read(size + 3 & ~3)[:size]


def _send(
    peer: socket.socket,
    opcode: int,
    flags: int,
    request: bytes,
    data: bytes,
    *,
    tag: bytes = bytes(4),
    status: tuple[int, int] = (0, 0),
    check: bool = False,
) -> None:
    header = struct.pack(">BBBBI8s4s4sIIIBB10x", opcode, flags, 0, 2 if check else 0, len(data), bytes(8),
                         request[16:20], tag, 1, 1, 64, *status)  # fmt: skip
    peer.sendall(header + data + bytes(-len(data) % 4))


def _pairs(data: bytes) -> list[tuple[str, str]]:
    return [(w.split("=", 1)[0], w.split("=", 1)[1]) for w in data.decode().split("\0") if "=" in w]


def _texts(keys: dict[str, str]) -> bytes:
    return b"".join(f"{key}={value}\0".encode() for key, value in keys.items())
