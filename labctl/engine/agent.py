"""Commands inside a virtual machine, through its QEMU guest agent and libvirt.

No network and no account of the machine is needed for it, so it works on a node whose learner has
closed the firewall, too.  https://www.qemu.org/docs/master/interop/qemu-ga-ref.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

from labctl.wait import wait_until

ENVIRONMENT = [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LC_ALL=C.UTF-8",
]
# s between two looks whether a command has ended; each costs an emulated machine as much as a small program.
LOOK, LOOK_AT_MOST = 0.03, 0.5

Ask = Callable[[dict[str, Any]], Any]


def asked(answer: str) -> Any:
    """What an answer of the agent returns."""
    return json.loads(answer)["return"]


def execute(ask: Ask, argv: Sequence[str], stdin: bytes, timeout: float) -> tuple[int, bytes, bytes]:
    """Run a command to its end: exit code, stdout, stderr. Raises TimedOut.

    ask: sends one command of the agent's protocol and gives what it returns.
    timeout: seconds; the command itself is not ended by it.
    """
    arguments: dict[str, Any] = {
        "path": argv[0],
        "arg": list(argv[1:]),
        "env": ENVIRONMENT,
        "capture-output": True,
        "input-data": base64.b64encode(stdin).decode(),
    }
    pid = ask({"execute": "guest-exec", "arguments": arguments})["pid"]

    def ended() -> dict[str, Any]:
        status: dict[str, Any] = ask({"execute": "guest-exec-status", "arguments": {"pid": pid}})
        return status if status["exited"] else {}

    status = wait_until(f"{argv[0]} to end", ended, timeout=timeout, every=LOOK, at_most=LOOK_AT_MOST)
    # A shell's way to say that a signal ended it.
    code = status["exitcode"] if "exitcode" in status else 128 + int(status.get("signal", 0))
    return int(code), _data(status, "out-data"), _data(status, "err-data")


def _data(status: dict[str, Any], key: str) -> bytes:
    return base64.b64decode(status.get(key, ""))
