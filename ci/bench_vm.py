"""A lab of virtual machines, from its disk's making to its end; emulated where KVM does not work.

Each figure is a whole labctl process, its own start included; "image" alone is the making of the disk.
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

from labctl.errors import LabError
from labctl.image.build import FamilyName, find_image
from labctl.image.store import ImageStore
from labctl.image.vm import build_vm_image
from labctl.lab import machines
from labctl.places import image_store, lab_places
from labctl.run import run

LAB = "bench-vm"
COMMAND_SECONDS = 1800
GFS2, GFS2_NODES = "day3/gfs2", 4
# Name of a figure: its goal, in words; those of time are for four nodes, emulated.
GOALS = {
    "image": "at most 120 s",
    "up, to quorum, DC and fencing": "at most 180 s",
    "up": "",
    "validate": "",
    "up again": "",
    f"solve {GFS2}": "at most 240 s",
    "down": "",
}
FORMED, WHOLE, SOLVED = "up, to quorum, DC and fencing", "up", f"solve {GFS2}"


def measure(nodes: int, family: FamilyName) -> dict[str, Any]:
    """One round: seconds by name (GOALS); "stages": of up; "kind": kvm or tcg. Raises LabError."""
    bench_plain.clear(LAB)
    figures: dict[str, Any] = {"image": _image(family)}
    try:
        words = ("--mode", "vm", "--storage", "lio", "--nodes", str(nodes), "--family", family, "--json")
        figures[WHOLE], told = _timed("up", *words)
        figures["stages"] = stages = {stage["name"]: stage["seconds"] for stage in told["stages"]}
        figures[FORMED] = figures[WHOLE] - stages.get("storage", 0.0) - stages.get("snapshot", 0.0)
        ground = machines.load(lab_places(LAB))
        figures["kind"] = ground.kind if ground else "none"
        figures["validate"], judged = _timed("validate", "--json")
        figures["passed"], figures["failed"] = judged["passed"], judged["failed"]
        figures["up again"], _ = _timed("up", "--json")
        if nodes >= GFS2_NODES:
            _labctl("exercise", GFS2)
            began = time.monotonic()
            _labctl("solve")
            figures[SOLVED] = time.monotonic() - began
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
        seconds = [one[name] for one in rounds if name in one]
        if not seconds:
            continue
        middle, least, most = statistics.median(seconds), min(seconds), max(seconds)
        lines.append(f"| {name} | {middle:.1f} s | {least:.1f} to {most:.1f} | {goal} |")
    return "\n".join(lines)


def _image(family: FamilyName) -> float:
    """Seconds to make the machines' disk anew from the node image that is there."""
    store = ImageStore(image_store())
    image = find_image(family, store=store)
    if image is None:
        raise LabError("There is no up-to-date node image to measure with.", mend="labctl build")
    began = time.monotonic()
    build_vm_image(image, store=store, on_line=lambda _: None, force=True)
    return time.monotonic() - began


def _timed(*words: str) -> tuple[float, Any]:
    began = time.monotonic()
    told = _labctl(*words, check=words[0] != "validate")
    return time.monotonic() - began, json.loads(told)


def _labctl(*words: str, check: bool = True) -> str:
    root = Path(__file__).resolve().parent.parent
    argv = [sys.executable, "-m", "labctl", words[0], "--lab", LAB, *words[1:]]
    return run(argv, timeout=COMMAND_SECONDS, check=check, env={"PYTHONPATH": str(root)}).stdout
