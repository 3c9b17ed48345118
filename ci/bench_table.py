"""A bench's figures as Markdown tables."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

# The goals on a machine with two processors: seconds, and a ratio.
GOALS = {"up": 12.0, "up again": 2.0, "validate": 2.0, "down": 3.0}
RATIO_GOAL = 0.25
QUIET = 0.2  # processors that something else may keep busy


def spread(values: Sequence[float], *, digits: int = 2) -> str:
    """Median, and the range where there is more than one value."""
    if not values:
        return "n/a"
    middle = f"{median(values):.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first to the right."""
    ruler = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ruler, *rows])


def busy(seconds: float = 1.0) -> float:
    """How many processors something else keeps busy, measured over so many seconds (proc_stat(5)).

    The load average would tell of the round before.
    """

    def idle_and_all() -> tuple[int, int]:
        ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return ticks[3] + ticks[4], sum(ticks)

    idle, whole = idle_and_all()
    time.sleep(seconds)
    idle_then, whole_then = idle_and_all()
    share = 1 - (idle_then - idle) / max(1, whole_then - whole)
    return round(share * (os.cpu_count() or 1), 2)


def caption(host: Mapping[str, Any], count: int) -> str:
    """Where and under which load the figures were taken."""
    loads = host["loads"]
    noisy = "" if max(loads, default=0.0) < QUIET else "; **the machine was not quiet**"
    others = ", ".join(f"{load:.2f}" for load in loads)
    return (
        f"{host['when']}, labctl {host['labctl']} ({host['commit']}), {host['cpus']} x {host['processor']}, "
        f"{host['memory_gib']:.0f} GiB, Linux {host['kernel']}, "
        f"family {host['family']}, {host['nodes']} nodes, "
        f"{count} rounds; processors busy before each round: {others}{noisy}."
    )


def against_plain(rounds: Sequence[Mapping[str, Any]]) -> str:
    """The main table: every command against the plain sequence and its goal."""
    plains = [one["plain"]["total"] for one in rounds if one.get("plain")]
    rows = [["plain sequence", spread(plains, digits=1), "", ""]]
    for name, goal in GOALS.items():
        values = [one[name] for one in rounds if one.get(name) is not None]
        met = "n/a" if not values else "yes" if median(values) <= goal else "**no**"
        rows.append([f"labctl {name}", spread(values), f"≤ {goal:.0f} s", met])
    ratios = [one["up"] / one["plain"]["total"] for one in rounds if one.get("plain") and one.get("up")]
    met = "n/a" if not ratios else "yes" if median(ratios) <= RATIO_GOAL else "**no**"
    rows.append(["up / plain, pair by pair", spread(ratios, digits=3), f"≤ {RATIO_GOAL}", met])
    return table(["", "seconds: median (range)", "goal", "met"], rows)


def steps(rounds: Sequence[Mapping[str, Any]]) -> str:
    """The plain sequence's steps and the stages of `labctl up`, medians."""
    rows = []
    for label, series in (
        ("plain", [one["plain"]["steps"] for one in rounds if one.get("plain")]),
        ("up", [one["stages"] for one in rounds if one.get("stages")]),
    ):
        names = dict.fromkeys(name for one in series for name in one)
        rows += [[f"{label}: {name}", spread([one[name] for one in series if name in one])] for name in names]
    return table(["step", "seconds: median (range)"], rows)


def by_size(scale: Mapping[int, Sequence[Mapping[str, Any]]]) -> str:
    """How the cost grows with the number of nodes."""
    rows = []
    for count, rounds in sorted(scale.items()):
        cells = [
            spread([one[name] for one in rounds if one.get(name) is not None], digits=1) for name in GOALS
        ]
        rows.append([str(count), *cells])
    return table(["nodes", *(f"{name} (s)" for name in GOALS)], rows)


def own_start(figures: Mapping[str, Sequence[float]]) -> str:
    """The tool's own start."""
    return table(
        ["command", "seconds: median (range)"],
        [[f"`{name}`", spread(values)] for name, values in figures.items()],
    )
