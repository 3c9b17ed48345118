"""What a node's program says: answers on stdout, complaints on stderr, its state to systemd."""

from __future__ import annotations

import os
import socket
import sys


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def notify(text: str) -> None:
    """sd_notify(3); nothing without a service manager that listens."""
    where = os.environ.get("NOTIFY_SOCKET", "")
    if where:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.connect("\0" + where[1:] if where.startswith("@") else where)
            end.sendall(text.encode())
