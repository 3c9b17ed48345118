"""The iSCSI protocol as far as logging in and asking goes (RFC 7143).

Data never goes this way: qemu-storage-daemon carries it. This is how a session learns, over one
connection and in a few milliseconds, whether the target lets us in and which disks it has (ask.py), with
the target's exact status instead of another program's prose, and without a password on a command line.
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import struct
from collections.abc import Mapping

# Exit codes of iscsiadm(8), section EXIT STATUS.
TRANSPORT, LOGIN, TIMEOUT, FATAL_LOGIN, AUTH_FAILED = 4, 5, 8, 19, 24

_LOGIN_REQUEST, _LOGIN_ANSWER, _LOGOUT, _NOP_IN, _NOP_OUT = 0x43, 0x23, 0x46, 0x20, 0x40
_DATA_IN, _ASYNCHRONOUS = 0x25, 0x32
_OPERATIONAL = {
    "HeaderDigest": "None", "DataDigest": "None", "InitialR2T": "Yes", "ImmediateData": "No",
    "MaxRecvDataSegmentLength": "65536", "MaxBurstLength": "65536", "FirstBurstLength": "65536",
    "MaxOutstandingR2T": "1", "MaxConnections": "1", "ErrorRecoveryLevel": "0",
    "DefaultTime2Wait": "2", "DefaultTime2Retain": "0",
}  # fmt: skip
_REFUSALS = {
    (2, 1): (AUTH_FAILED, "initiator failed authentication with target"),
    (2, 2): (AUTH_FAILED, "initiator failed authorization with target"),
    (2, 3): (FATAL_LOGIN, "initiator error - target not found (02/03)"),
    (2, 4): (FATAL_LOGIN, "initiator error - target removed (02/04)"),
}


class Refused(Exception):
    """The target, or the way to it, said no. code: iscsiadm's exit code; final: asking again is no use."""

    def __init__(self, code: int, words: str, *, final: bool) -> None:
        super().__init__(words)
        self.code = code
        self.final = final


def texts(pairs: Mapping[str, str]) -> bytes:
    return b"".join(f"{key}={value}\0".encode() for key, value in pairs.items())


def pairs(data: bytes) -> list[tuple[str, str]]:
    """Text keys and values, in order; keys may come more than once (SendTargets)."""
    words = (word.decode(errors="replace") for word in data.split(b"\0") if b"=" in word)
    return [(word.split("=", 1)[0], word.split("=", 1)[1]) for word in words]


def chap_answer(identifier: str, challenge: str, password: str) -> str:
    """CHAP_R by RFC 1994 with MD5, the algorithm that every target knows."""
    raw = bytes.fromhex(challenge[2:]) if challenge[:2].lower() == "0x" else _base64(challenge)
    sum_ = hashlib.md5(bytes([int(identifier, 0)]) + password.encode() + raw, usedforsecurity=False)
    return "0x" + sum_.hexdigest()


def _base64(text: str) -> bytes:
    import base64  # rare: most targets send hexadecimal

    return base64.b64decode(text[2:])


class Connection:
    """One connection, logged in to a target, or to discovery when target is empty. Use with `with`.

    timeout: seconds for each step. Raises Refused in all methods.
    """

    def __init__(
        self,
        address: str,
        port: int,
        *,
        initiator: str,
        target: str = "",
        chap: tuple[str, str] | None = None,
        timeout: float = 15,
    ) -> None:
        self.tpgt = 1
        self._itt = self._command = 0
        self._expected = 0
        self._tsih = 0
        self._isid = b"\x80" + os.urandom(3) + b"\0\0"
        try:
            self._socket = socket.create_connection((address, port), timeout=timeout)
        except OSError as error:
            raise no_way(error, address) from None
        try:
            self._login(initiator, target, chap)
        except OSError as error:
            self._socket.close()
            raise no_way(error, address) from None
        except Refused:
            self._socket.close()
            raise

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            # Logout, "close the session": the target forgets us at once.
            self.send(_LOGOUT, 0x80)
            self.receive()
        except (OSError, Refused):
            pass  # it closed first; we wanted to go anyway
        self._socket.close()

    # -- login --------------------------------------------------------------------------------

    def _login(self, initiator: str, target: str, chap: tuple[str, str] | None) -> None:
        first = {"InitiatorName": initiator, "SessionType": "Normal" if target else "Discovery"}
        if target:
            first["TargetName"] = target
        ask = {**first, "AuthMethod": "CHAP,None" if chap else "None"}
        # Without CHAP the security stage is one step: "no authentication, go on to operation".
        stage, done, answers = self._step(0, ask, leave=not chap)
        if answers.get("AuthMethod", "None") not in ("None", "CHAP") or (
            answers.get("AuthMethod") == "CHAP" and not chap
        ):
            raise Refused(AUTH_FAILED, "the target demands CHAP", final=True)
        if chap and answers.get("AuthMethod") == "CHAP":
            _, _, answers = self._step(0, {"CHAP_A": "5"}, leave=False)
            if not {"CHAP_I", "CHAP_C"} <= set(answers):
                raise Refused(AUTH_FAILED, "the target offers no CHAP with MD5", final=True)
            reply = chap_answer(answers["CHAP_I"], answers["CHAP_C"], chap[1])
            stage, done, answers = self._step(0, {"CHAP_N": chap[0], "CHAP_R": reply}, leave=True)
        for _ in range(8):
            if done and stage == 3:
                return
            ask = _OPERATIONAL if target else {"HeaderDigest": "None", "DataDigest": "None"}
            stage, done, answers = self._step(1 if stage else 0, ask if stage else {}, leave=True)
        raise Refused(LOGIN, "the login does not come to an end", final=True)

    def _step(self, stage: int, keys: Mapping[str, str], *, leave: bool) -> tuple[int, bool, dict[str, str]]:
        """One login request and its answer: the target's stage, whether it moved on to it, its keys."""
        flags = stage << 2 | ((0x80 | (1 if stage == 0 else 3)) if leave else 0)
        data = texts(keys)
        header = struct.pack(
            ">BBBBI6sHIHHII16x",
            _LOGIN_REQUEST, flags, 0, 0, len(data), self._isid, self._tsih, 0, 0, 0, self._command,
            self._expected,
        )  # fmt: skip
        self._socket.sendall(header + data + b"\0" * (-len(data) % 4))
        answer, text = self.receive()
        if answer[0] & 0x3F != _LOGIN_ANSWER:
            raise Refused(LOGIN, f"the target answered the login with opcode {answer[0]:#x}", final=True)
        kind, detail = answer[36], answer[37]
        if kind:
            code, words = _REFUSALS.get(
                (kind, detail),
                (FATAL_LOGIN if kind == 2 else LOGIN, f"login rejected ({kind:02x}/{detail:02x})"),
            )
            raise Refused(code, words, final=kind != 3)
        self._expected = struct.unpack_from(">I", answer, 24)[0] + 1
        self._tsih = struct.unpack_from(">H", answer, 14)[0]
        self._command = max(self._command, struct.unpack_from(">I", answer, 28)[0])
        keys_back = dict(pairs(text))
        if "TargetPortalGroupTag" in keys_back:
            self.tpgt = int(keys_back["TargetPortalGroupTag"])
        moved = bool(answer[1] & 0x80)
        return (answer[1] & 3 if moved else answer[1] >> 2 & 3), moved, keys_back

    # -- packets ------------------------------------------------------------------------------

    def send(
        self,
        opcode: int,
        flags: int,
        data: bytes = b"",
        *,
        lun: int = 0,
        tag: bytes = b"\0\0\0\0",
        cdb: bytes = b"",
    ) -> None:
        """One request. tag: bytes 20 to 23 of its header; cdb: its last 16 bytes, for a SCSI command.

        Raises OSError.
        """
        self._itt += 1
        where = lun if lun < 256 else 0x4000 | lun
        header = struct.pack(
            ">BBxxIH6xI4sII16s",
            opcode, flags, len(data), where, self._itt, tag, self._command, self._expected, cdb,
        )  # fmt: skip
        self._socket.sendall(header + data + b"\0" * (-len(data) % 4))
        if not opcode & 0x40:  # an immediate request takes no number
            self._command += 1

    def receive(self) -> tuple[bytes, bytes]:
        """The next packet that is for us: header and data. Pings are answered on the way."""
        while True:
            header = self._exactly(48)
            size = struct.unpack_from(">I", header, 4)[0]
            self._exactly((size >> 24) * 4)  # additional header segments
            data = self._exactly((size & 0xFFFFFF) + 3 & ~3)[: size & 0xFFFFFF]
            opcode = header[0] & 0x3F
            if opcode == _NOP_IN:
                if header[20:24] != b"\xff" * 4:
                    pong = (_NOP_OUT, 0x80, 0, header[8:16], 0xFFFFFFFF, header[20:24])
                    numbers = (self._command, self._expected)
                    self._socket.sendall(struct.pack(">BBxxI8sI4sII16x", *pong, *numbers))
                continue
            if opcode not in (_DATA_IN, _ASYNCHRONOUS) or header[1] & 1:
                self._expected = struct.unpack_from(">I", header, 24)[0] + 1
            if opcode != _ASYNCHRONOUS:  # an asynchronous message: the connection's end will tell
                return header, data

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionResetError(errno.ECONNRESET, "the target closed the connection")
            data += part
        return data


def no_way(error: OSError, where: str) -> Refused:
    if isinstance(error, socket.gaierror):
        return Refused(TRANSPORT, f"cannot resolve host name {where}", final=True)
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return Refused(TIMEOUT, f"connect to {where} timed out", final=False)
    reason = os.strerror(error.errno) if error.errno else str(error)
    return Refused(TRANSPORT, f"cannot make connection to {where}: {reason}", final=False)
