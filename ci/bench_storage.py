"""The shared disks, measured: a node's /dev/sdb against the file behind it, and what storage adds to `up`.

fio runs twice with the same words: in node1 on its disk, and in the target's machine on a file of the
same size in the same folder as the disks' own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import bench_plain
import bench_table

from labctl.engine.base import Node
from labctl.lab import bubble as lab_bubble
from labctl.places import lab_places

LAB = "bench-storage"
SIZE = "512m"
SECONDS = 5
RAW = "/var/lib/iscsi_disks/bench.img"
DISK = "/dev/sdb"
GOAL_MB = 150.0
GOAL_ADDS = 3.0
# name: fio's words
JOBS: Mapping[str, Sequence[str]] = {
    "sequential write, 1 MiB, one at a time": ("--rw=write", "--bs=1m", "--iodepth=1"),
    "sequential write, 1 MiB, 8 at a time": ("--rw=write", "--bs=1m", "--iodepth=8"),
    "sequential read, 1 MiB, 8 at a time": ("--rw=read", "--bs=1m", "--iodepth=8"),
    "random write, 4 KiB, one at a time": ("--rw=randwrite", "--bs=4k", "--iodepth=1"),
    "random write, 4 KiB, 16 at a time": ("--rw=randwrite", "--bs=4k", "--iodepth=16"),
    "random write, 4 KiB, each synced": ("--rw=randwrite", "--bs=4k", "--iodepth=1", "--sync=1"),
    "random read, 4 KiB, 16 at a time": ("--rw=randread", "--bs=4k", "--iodepth=16"),
}

Timed = Callable[..., tuple[float, Any]]


def disks(rounds: int, family: str, timed: Timed) -> dict[str, Any]:
    """Every job, on the disk and on the file, in turns: MB/s, and the mean latency in microseconds."""
    bench_plain.clear(LAB)
    figures: dict[str, dict[str, list[dict[str, float]]]] = {}
    try:
        timed("up", "--lab", LAB, "--nodes", "2", "--family", family, "--json")
        engine = lab_bubble.engine(LAB, lab_places(LAB))
        places = {"disk": (engine.node("node1"), DISK), "file": (engine.node("target"), RAW)}
        places["file"][0].run(["truncate", "-s", SIZE, RAW], timeout=30)
        for node, path in places.values():  # written once, so that no round pays for new blocks
            _fio(node, path, ("--rw=write", "--bs=1m", "--iodepth=8"), 0)
        for number in range(rounds):
            for name, words in JOBS.items():
                order = list(places.items()) if number % 2 == 0 else list(places.items())[::-1]
                for where, (node, path) in order:
                    figures.setdefault(name, {}).setdefault(where, []).append(
                        _fio(node, path, words, SECONDS)
                    )
            _note(f"disks, round {number + 1} of {rounds}")
        engine.close()
    finally:
        bench_plain.clear(LAB)
    return figures


def added(rounds: int, family: str, timed: Timed) -> dict[str, list[float]]:
    """Seconds of `up` for four nodes with and without shared disks, in turns."""
    figures: dict[str, list[float]] = {"with": [], "without": []}
    for number in range(rounds):
        for which in ("with", "without") if number % 2 == 0 else ("without", "with"):
            bench_plain.clear(LAB)
            try:
                until = "all" if which == "with" else "cluster"
                seconds, _ = timed("up", "--lab", LAB, "--until", until, "--family", family, "--json")
                figures[which].append(seconds)
            finally:
                bench_plain.clear(LAB)
        _note(f"up, round {number + 1} of {rounds}: {figures['with'][-1]:.2f} s with, "
              f"{figures['without'][-1]:.2f} s without")  # fmt: skip
    return figures


def tables(figures: Mapping[str, Any], up: Mapping[str, list[float]]) -> str:
    """Both as Markdown."""
    rows = []
    for name, where in figures.items():
        ours, raw = ([each["mb"] for each in where[place]] for place in ("disk", "file"))
        ratio = median(a / b for a, b in zip(ours, raw, strict=True))
        late = [
            bench_table.spread([each["us"] for each in where[place]], digits=0) for place in ("disk", "file")
        ]
        rows.append([name, bench_table.spread(ours, digits=0), bench_table.spread(raw, digits=0),
                     f"{ratio:.3f}", *late])  # fmt: skip
    head = ["direct I/O", "/dev/sdb, MB/s", "its file, MB/s", "ratio", "/dev/sdb, µs", "its file, µs"]
    adds = [a - b for a, b in zip(up["with"], up["without"], strict=True)]
    more = bench_table.table(
        ["`up` to four nodes", "seconds: median (range)", "goal", "met"],
        [
            ["with shared disks", bench_table.spread(up["with"]), "", ""],
            ["without (--until cluster)", bench_table.spread(up["without"]), "", ""],
            ["storage adds", bench_table.spread(adds), f"≤ {GOAL_ADDS:.0f} s",
             "yes" if median(adds) <= GOAL_ADDS else "no"],
        ],
    )  # fmt: skip
    return bench_table.table(head, rows) + "\n\n" + more


def _fio(node: Node, path: str, words: Sequence[str], seconds: int) -> dict[str, float]:
    """One run of fio(1): megabytes a second, and the mean completion latency in microseconds."""
    limit = ["--time_based", f"--runtime={seconds}"] if seconds else []
    argv = ["fio", "--name=bench", f"--filename={path}", f"--size={SIZE}", "--direct=1", "--ioengine=libaio",
            "--output-format=json", *limit, *words]  # fmt: skip
    began = time.monotonic()
    told = json.loads(node.run(argv, timeout=120).stdout)["jobs"][0]
    half = told["read" if "--rw=read" in words or "--rw=randread" in words else "write"]
    return {
        "mb": half["bw_bytes"] / 1e6,
        "us": half["clat_ns"]["mean"] / 1e3,
        "seconds": time.monotonic() - began,
    }


def _note(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
