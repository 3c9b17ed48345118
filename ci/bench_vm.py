"""A lab of virtual machines, from nothing to its end; emulated where KVM does not work.


Each figure is a whole labctl process, its own start included.
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

from labctl.lab import machines
from labctl.places import lab_places
from labctl.run import run

LAB = "bench-vm"
COMMAND_SECONDS = 1800
# Name of a figure: (its goal, in words).
GOALS = {"up": "at most 180 s (4 nodes, emulated)", "validate": "", "up again": "", "down": ""}


def measure(nodes: int, family: str) -> dict[str, Any]:
    """One round: seconds by name (GOALS); "stages": of up; "kind": kvm or tcg. Raises LabError."""
    bench_plain.clear(LAB)
    try:
        words = ("--mode", "vm", "--nodes", str(nodes), "--family", family, "--no-snapshot", "--json")
        figures: dict[str, Any] = {}
        figures["up"], told = _timed("up", *words)
        figures["stages"] = {stage["name"]: stage["seconds"] for stage in told["stages"]}
        ground = machines.load(lab_places(LAB))
        figures["kind"] = ground.kind if ground else "none"
        figures["validate"], judged = _timed("validate", "--json")
        figures["passed"], figures["failed"] = judged["passed"], judged["failed"]
        figures["up again"], _ = _timed("up", "--json")
        figures["down"], _ = _timed("down", "--json")
    finally:
        bench_plain.clear(LAB)
    return figures


def table(rounds: Sequence[dict[str, Any]], nodes: int) -> str:
    """Medians with the range; Markdown."""
    lines = [
        f"{nodes} virtual machines and their target ({rounds[0]['kind']}), {len(rounds)} rounds",
        "",
        "| | median | range | goal |",
        "| --- | --- | --- | --- |",
    ]
    for name, goal in GOALS.items():
        seconds = [one[name] for one in rounds]
        middle, least, most = statistics.median(seconds), min(seconds), max(seconds)
        lines.append(f"| {name} | {middle:.1f} s | {least:.1f} to {most:.1f} | {goal} |")
    return "\n".join(lines)


def _timed(*words: str) -> tuple[float, Any]:
    root = Path(__file__).resolve().parent.parent
    argv = [sys.executable, "-m", "labctl", words[0], "--lab", LAB, *words[1:]]
    began = time.monotonic()
    result = run(
        argv, timeout=COMMAND_SECONDS, check=words[0] != "validate", env={"PYTHONPATH": str(root)}
    )  # fmt: skip
    return time.monotonic() - began, json.loads(result.stdout)
