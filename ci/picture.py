"""Draw the README's picture: a real lab, real commands, what they really printed.

    .venv/bin/python ci/picture.py [docs/img/run.svg]        (as root; makes the lab `picture`)

Each command runs at a pseudo-terminal, as it would for a person; the lab is removed again.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
LABCTL = Path(sys.executable).with_name("labctl")
LAB = "picture"
WIDTH, HEIGHT = 100, 50
COMMANDS = [
    f"labctl up --lab {LAB}",
    f"labctl status --lab {LAB}",
    f"labctl exec node1 --lab {LAB} -- pcs stonith fence node2.example.com",
    f"labctl validate --lab {LAB}",
]
SECONDS = {"up": 900.0, "down": 120.0}
MOST_BYTES = 120_000

# What rich's progress line and a shell send to a terminal (ECMA-48): colours stay, the rest is obeyed.
_SEQUENCE = re.compile(r"(\x1b\[[?0-9;]*[A-Za-z]|\r|\n)")


def at_terminal(command: str, timeout: float) -> tuple[int, str]:
    """Run one labctl command at a pseudo-terminal: its exit code and all that it printed."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    words = [str(LABCTL), *command.split()[1:]]
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "LABCTL_LAB", "CI")}
    environment = {**kept, "TERM": "xterm-256color", "COLUMNS": str(WIDTH), "LC_ALL": "C.UTF-8"}
    process = subprocess.Popen(
        words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=ROOT, start_new_session=True
    )
    os.close(theirs)
    deadline = time.monotonic() + timeout
    printed = bytearray()
    while True:
        if time.monotonic() > deadline:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=10)
            raise SystemExit(f"picture: {command} did not end within {timeout:.0f} s")
        if not select.select([ours], [], [], 0.5)[0]:
            continue
        try:
            some = os.read(ours, 65536)
        except OSError:  # EIO: the last program has closed the terminal
            break
        if not some:
            break
        printed += some
    os.close(ours)
    return process.wait(timeout=30), printed.decode(errors="replace")


def screen(printed: str) -> str:
    """What stands on the terminal in the end: a line that was written over is gone."""
    lines = [""]
    row = 0
    for part in _SEQUENCE.split(printed):
        if part == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part == "\x1b[1A":
            row = max(0, row - 1)
        elif part.startswith("\x1b") and not part.endswith("m"):
            continue
        elif part != "\r":
            lines[row] += part
    return "\n".join(lines).rstrip()


def whole_again() -> None:
    """Wait until the fenced node is a member again, at most two minutes."""
    deadline = time.monotonic() + 120
    while at_terminal(f"labctl validate --lab {LAB}", 60.0)[0] != 0:
        if time.monotonic() > deadline:
            raise SystemExit("picture: the fenced node does not come back")


def main() -> int:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "img" / "run.svg"
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    at_terminal(f"labctl down --lab {LAB}", SECONDS["down"])
    try:
        for command in COMMANDS:
            if command.startswith("labctl validate"):
                whole_again()
            print(f"picture: {command}", flush=True)
            rc, printed = at_terminal(command, SECONDS.get(command.split()[1], 120.0))
            if rc != 0:
                sys.stderr.write(printed)
                print(f"picture: {command} ended with {rc}; no picture", file=sys.stderr)
                return 1
            console.print(Text.assemble(("# ", "bold green"), (command, "bold")))
            console.print(Text.from_ansi(screen(printed)))
            console.print()
    finally:
        at_terminal(f"labctl down --lab {LAB}", SECONDS["down"])
    # No font from elsewhere: a picture must not call home.
    form = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    picture = console.export_svg(title="labctl", code_format=form, unique_id="labctl")
    picture = "\n".join(line.rstrip() for line in picture.splitlines() if line.strip()) + "\n"
    if len(picture.encode()) > MOST_BYTES:
        print(f"picture: {len(picture)} bytes are more than {MOST_BYTES}", file=sys.stderr)
        return 1
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(picture, encoding="utf-8")
    print(f"picture: {target} ({len(picture) // 1000} kB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
