"""Whether a port of one node answers another: a listener for the moment of asking, and a knock.

The two scripts run in nodes, alone with the standard library of Python 3.9.
"""

from __future__ import annotations

from labctl.engine.base import TIMEOUT_CODES, Node
from labctl.errors import LabError

SECONDS = 15.0
SLOW = f"no answer within {SECONDS:.0f} s"

# Binds first and then goes to the background, so that its end says that it listens. Ends at the first
# knock, else by itself: late enough for a busy host, where the way into a node takes seconds, and for an
# emulated machine, which starts a Python for as long. KNOCK waits a while, but not for all of that.
LISTEN = """
import errno, os, select, socket, sys, time
udp, port = sys.argv[1] == "udp", int(sys.argv[2])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
try:
    s.bind(("0.0.0.0", port))
except OSError as e:
    sys.exit(0 if e.errno == errno.EADDRINUSE and not udp else str(e))
udp or s.listen(8)
if os.fork():
    os._exit(0)
os.setsid()
null = os.open(os.devnull, os.O_RDWR)
[os.dup2(null, fd) for fd in (0, 1, 2)]
end = time.monotonic() + 20 * float(sys.argv[3])
while time.monotonic() < end:
    if select.select([s], [], [], 0.5)[0]:
        if udp:
            data, peer = s.recvfrom(64)
            s.sendto(data, peer)
        else:
            s.accept()[0].close()
        break
"""
KNOCK = """
import socket, sys
udp, address, port = sys.argv[1] == "udp", sys.argv[2], int(sys.argv[3])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
s.settimeout(min(6, 1.5 * float(sys.argv[4])))
last = None
for _ in range(2):
    try:
        s.connect((address, port))
        if udp:
            s.send(b"labctl")
            s.recv(64)
        print("open")
        sys.exit(0)
    except OSError as e:
        last = e
        if not udp:
            break
print(last)
"""


def knock(
    source: Node, target: Node, address: str, port: int, protocol: str, *, pace: float = 1.0
) -> tuple[str, str]:
    """("open", ""), ("closed", what was met) or ("untried", why not). Raises nothing.

    pace: how much longer the nodes may take (Engine.pace).
    """
    try:
        listen = ["python3", "-c", LISTEN, protocol, str(port), str(pace)]
        listening = target.run(listen, timeout=SECONDS, check=False)
        if not listening.ok:
            return "untried", SLOW if listening.rc in TIMEOUT_CODES else listening.stderr.strip()
        ask = ["python3", "-c", KNOCK, protocol, address, str(port), str(pace)]
        answer = source.run(ask, timeout=SECONDS, check=False)
    except LabError as error:
        return "untried", error.message
    if answer.rc in TIMEOUT_CODES:
        return "untried", SLOW
    said = answer.stdout.strip() or answer.stderr.strip()
    return ("open", "") if said == "open" else ("closed", said)
