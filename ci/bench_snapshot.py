"""Snapshots against a warm `up`: what keeping a lab and coming back to it cost.

Every round makes a lab of its own, changes 100 MB in it, keeps it, goes back to it, and takes it down. Each
figure is a whole labctl process, its own start included.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bench_plain

from labctl.run import run

LAB = "bench-snapshot"
CHANGED_MB = 100
COMMAND_SECONDS = 900
# Name of a figure: (its goal, in words).
GOALS = {
    "up": "",
    "create": "at most 5 s",
    "stood still": "below corosync's token time-out",
    "restore": "at most 1.2 times up",
    "down": "",
}


def measure(nodes: int, family: str) -> dict[str, Any]:
    """One round: seconds by name (GOALS), and "size", the snapshot's MiB on disk. Raises LabError."""
    bench_plain.clear(LAB)
    try:
        figures = {"up": _timed("up", "--nodes", str(nodes), "--family", family, "--json")[0]}
        _change(nodes)
        figures["create"], made = _timed("snapshot", "create", "bench", "--json")
        figures["stood still"] = made["snapshot"]["frozen"]
        figures["size"] = made["snapshot"]["size"] / 1024**2
        figures["restore"], done = _timed("snapshot", "restore", "bench", "--json")
        if not done["quorate"]:
            print("the restored lab has no quorum", file=sys.stderr)
        figures["down"], _ = _timed("down", "--json")
    finally:
        bench_plain.clear(LAB)
    return figures


def table(rounds: Sequence[dict[str, float]]) -> str:
    """Medians with the range, and restore against up, pair by pair; Markdown."""
    lines = [
        (
            f"Snapshots with {CHANGED_MB} MB changed, {len(rounds)} rounds "
            f"(snapshot: {statistics.median(one['size'] for one in rounds):.0f} MiB)"
        ),
        "",
        "| | median | range | goal |",
        "| --- | ---: | ---: | --- |",
    ]
    for name, goal in GOALS.items():
        values = [one[name] for one in rounds if name in one]
        if values:
            middle = statistics.median(values)
            lines.append(f"| {name} | {middle:.2f} s | {min(values):.2f} to {max(values):.2f} s | {goal} |")
    ratios = [one["restore"] / one["up"] for one in rounds]
    lines.append(
        f"| restore / up | {statistics.median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f} | 1.2 |"
    )
    return "\n".join(lines)


def _change(nodes: int) -> None:
    """Write new bytes, which nothing can compress or share, evenly into all nodes."""
    each = CHANGED_MB // nodes
    for number in range(1, nodes + 1):
        words = ["dd", "if=/dev/urandom", "of=/root/changed", "bs=1M", f"count={each}", "status=none"]
        _labctl("exec", f"node{number}", "--lab", LAB, "--", *words)


def _timed(*words: str) -> tuple[float, Any]:
    began = time.monotonic()
    group = 2 if words[0] == "snapshot" else 1
    told = _labctl(*words[:group], "--lab", LAB, *words[group:])
    return time.monotonic() - began, json.loads(told)


def _labctl(*words: str) -> str:
    root = Path(__file__).resolve().parent.parent
    environment = {"PYTHONPATH": str(root)}
    return run([sys.executable, "-m", "labctl", *words], timeout=COMMAND_SECONDS, env=environment).stdout
