"""The course in containers: how long switching to an exercise's start and a check without proofs take.

Each figure is a whole labctl process, its own start included. Every container exercise is measured, when
every start has been made once (making one is a learner's first minute with it, later it is a restore away).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import bench_plain
import bench_table

from labctl.course import catalog
from labctl.run import run

LAB = "bench-course"
COMMAND_SECONDS = 300
# Name of a figure: its goal, seconds.
GOALS = {"start": 10.0, "check --quick": 2.0}


def measure(nodes: int, family: str) -> dict[str, dict[str, float]]:
    """One round: seconds by figure and exercise. Raises LabError."""
    bench_plain.clear(LAB)
    try:
        _labctl("up", "--nodes", str(nodes), "--family", family)
        told = json.loads(_labctl("exercise", "--json"))["exercises"]
        names = [each["id"] for each in told if not each["needs"]]
        figures: dict[str, dict[str, float]] = {name: {} for name in GOALS}
        for name in _first_of_each_start(names):
            _labctl("exercise", name, "--reset")
        for name in names:
            began = time.monotonic()
            _labctl("exercise", name, "--reset")
            figures["start"][name] = time.monotonic() - began
            began = time.monotonic()
            _labctl("check", "--quick", check=False)  # at its start an exercise is not done: exit code 1
            figures["check --quick"][name] = time.monotonic() - began
            print(f"{name}: " + ", ".join(f"{figures[of][name]:.2f} s" for of in GOALS), file=sys.stderr)
    finally:
        bench_plain.clear(LAB)
    return figures


def _first_of_each_start(names: Sequence[str]) -> list[str]:
    """The exercises that make every state and kept start that these begin from."""
    found: dict[str, str] = {}
    for each in map(catalog.load().find, names):
        found.setdefault(each.id if each.keep else each.start, each.id)
    return list(found.values())


def table(rounds: Sequence[dict[str, dict[str, float]]]) -> str:
    """Over all exercises and rounds: median and range, how many kept the goal, the slowest; Markdown."""
    rows = []
    for figure, goal in GOALS.items():
        every = [(seconds, name) for one in rounds for name, seconds in one[figure].items()]
        kept = sum(seconds <= goal for seconds, _ in every)
        slowest = ", ".join(f"{name} {seconds:.1f}" for seconds, name in sorted(every, reverse=True)[:3])
        rows.append(
            [figure, bench_table.spread([seconds for seconds, _ in every]), f"≤ {goal:.0f} s",
             f"{kept} of {len(every)}", slowest]
        )  # fmt: skip
    count = len(rounds[0]["start"])
    middle = median(sum(one["start"].values()) for one in rounds)
    return (
        bench_table.table([f"{count} exercises", "seconds", "goal", "kept", "slowest"], rows)
        + f"\n\nAll starts one after the other: {middle:.0f} s."
    )


def _labctl(verb: str, *words: str, check: bool = True) -> str:
    root = Path(__file__).resolve().parent.parent
    argv = [sys.executable, "-m", "labctl", verb, "--lab", LAB, *words]
    return run(argv, timeout=COMMAND_SECONDS, check=check, env={"PYTHONPATH": str(root)}).stdout
