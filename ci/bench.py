#!/usr/bin/env python3
"""Measures labctl against the plain sequence of commands. docs/performance.md explains the figures.

    ci/bench.py up [--rounds N] [--nodes N] [--scale] [--json FILE]
    ci/bench.py start [--rounds N] [--json FILE]
    ci/bench.py storage [--rounds N] [--json FILE]
    ci/bench.py snapshot [--rounds N] [--nodes N] [--json FILE]
    ci/bench.py course [--rounds N] [--json FILE]
    ci/bench.py vm [--rounds N] [--nodes N] [--json FILE]

Needs root and the node image (`labctl build`). Its labs are called bench-… and are always taken down.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import bench_course  # noqa: E402
import bench_plain  # noqa: E402
import bench_snapshot  # noqa: E402
import bench_storage  # noqa: E402
import bench_table  # noqa: E402
import bench_vm  # noqa: E402

import labctl  # noqa: E402
from labctl.errors import BUG, FAILED, LabError  # noqa: E402
from labctl.image.build import FamilyName, find_image  # noqa: E402
from labctl.image.store import ImageStore  # noqa: E402
from labctl.places import image_store  # noqa: E402
from labctl.run import run  # noqa: E402

COMMAND_SECONDS = 900
SIZES = (2, 4, 8, 16)
PLAIN, UP = "bench-plain", "bench-up"


def main() -> int:
    arguments = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        document = {
            "up": _bench_up,
            "start": _bench_start,
            "storage": _bench_storage,
            "snapshot": _bench_snapshot,
            "course": _bench_course,
            "vm": _bench_vm,
        }[arguments.what](arguments)
    except KeyboardInterrupt:
        _note("interrupted; the bench's labs are gone")
        return 130
    except LabError as error:
        _note(f"error: {error}")
        return 1
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("up", "start", "storage", "snapshot", "course", "vm"))
    parser.add_argument("--rounds", type=int, default=5, help="how often each (default: 5)")
    parser.add_argument("--nodes", type=int, default=4, help="how many nodes (default: 4)")
    parser.add_argument("--family", default="auto", choices=get_args(FamilyName), help="(default: auto)")
    parser.add_argument("--scale", action="store_true", help="then 2, 4, 8 and 16 nodes, without plain")
    parser.add_argument("--scale-rounds", type=int, default=1, help="how often each size (default: 1)")
    parser.add_argument("--no-plain", action="store_true", help="leave the plain sequence out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    return parser.parse_args()


# -- labctl up against the plain sequence ---------------------------------------------------


def _bench_up(arguments: argparse.Namespace) -> dict[str, Any]:
    image = find_image(arguments.family, store=ImageStore(image_store()))
    if image is None:
        raise LabError("There is no up-to-date node image to measure with.", mend="labctl build")
    loads: list[float] = []
    rounds: list[dict[str, Any]] = []
    for number in range(arguments.rounds):
        loads.append(bench_table.busy())
        figures: dict[str, Any] = {"load": loads[-1]}
        halves = [_plain, _labctl] if number % 2 == 0 else [_labctl, _plain]
        for half in halves:
            if half is _plain and arguments.no_plain:
                continue
            figures |= half(arguments.nodes, image.family)
        rounds.append(figures)
        _note(f"round {number + 1} of {arguments.rounds}: {_brief(figures)}")
    scale: dict[int, list[dict[str, Any]]] = {}
    if arguments.scale:
        for number in range(arguments.scale_rounds):
            for nodes in SIZES:
                figures = _labctl(nodes, image.family)
                scale.setdefault(nodes, []).append(figures)
                _note(f"{nodes} nodes, round {number + 1} of {arguments.scale_rounds}: {_brief(figures)}")
    host = {**_host(), "family": image.family, "image": image.id, "nodes": arguments.nodes, "loads": loads}
    print(bench_table.caption(host, len(rounds)), end="\n\n")
    print(bench_table.against_plain(rounds), end="\n\n")
    print(bench_table.steps(rounds))
    if scale:
        print("\n" + bench_table.by_size(scale))
    return {"host": host, "rounds": rounds, "scale": {str(nodes): them for nodes, them in scale.items()}}


def _plain(nodes: int, family: str) -> dict[str, Any]:
    bench_plain.clear(PLAIN)
    try:
        steps = bench_plain.plain(PLAIN, nodes, family)
    finally:
        bench_plain.clear(PLAIN)
    return {"plain": {"total": steps.total, "steps": steps.seconds}}


def _labctl(nodes: int, family: str) -> dict[str, Any]:
    """up, up again, validate, down: each a whole process, its own start included."""
    bench_plain.clear(UP)
    try:
        seconds, told = _timed("up", "--lab", UP, "--nodes", str(nodes), "--family", family, "--json")
        stages = {stage["name"]: stage["seconds"] for stage in told["stages"]}
        again, told = _timed("up", "--lab", UP, "--json")
        if told["changed"]:
            _note(f"up on the healthy lab had something to do: {told['actions']}")
        validate = _validate()
        down, _ = _timed("down", "--lab", UP, "--json")
    finally:
        bench_plain.clear(UP)
    return {"up": seconds, "stages": stages, "up again": again, "validate": validate, "down": down}


def _validate() -> float | None:
    began = time.monotonic()
    result = run(_words("validate", "--lab", UP, "--json"), timeout=COMMAND_SECONDS, check=False, env=_env())
    seconds = time.monotonic() - began
    if result.rc == BUG:
        _note(f"validate: n/a, it does not run: {result.stderr.strip().splitlines()[-1:]}")
        return None
    if result.rc == FAILED:
        failed = [check for check in json.loads(result.stdout)["checks"] if check["status"] == "failed"]
        _note(f"validate: {len(failed)} checks failed: {[check['id'] for check in failed]}")
    return seconds


def _brief(figures: dict[str, Any]) -> str:
    plain = figures.get("plain")
    words = [f"plain {plain['total']:.1f} s"] if plain else []
    words += [f"{name} {figures[name]:.2f} s" for name in bench_table.GOALS if figures.get(name) is not None]
    return ", ".join(words)


# -- the tool's own start -------------------------------------------------------------------


def _bench_start(arguments: argparse.Namespace) -> dict[str, Any]:
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "labctl --version": _words("--version"),
        "labctl ls": _words("ls"),
        "import labctl.lab.up": [sys.executable, "-c", "import labctl.lab.up"],
    }
    figures: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(arguments.rounds):
        for name, argv in commands.items():
            began = time.monotonic()
            run(argv, timeout=COMMAND_SECONDS, env=_env())
            figures[name].append(time.monotonic() - began)
    print(bench_table.own_start(figures))
    return {"host": _host(), "start": figures}


# -- shared disks ---------------------------------------------------------------------------


def _bench_storage(arguments: argparse.Namespace) -> dict[str, Any]:
    loads = [bench_table.busy()]
    disks = bench_storage.disks(arguments.rounds, arguments.family, _timed)
    loads.append(bench_table.busy())
    up = bench_storage.added(arguments.rounds, arguments.family, _timed)
    host = {**_host(), "family": arguments.family, "nodes": 4, "loads": loads}
    print(bench_table.caption(host, arguments.rounds), end="\n\n")
    print(bench_storage.tables(disks, up))
    return {"host": host, "disks": disks, "up": up}


def _bench_snapshot(arguments: argparse.Namespace) -> dict[str, Any]:
    return _rounds(arguments, bench_snapshot.measure, bench_snapshot.table)


def _bench_course(arguments: argparse.Namespace) -> dict[str, Any]:
    return _rounds(arguments, bench_course.measure, bench_course.table)


def _bench_vm(arguments: argparse.Namespace) -> dict[str, Any]:
    return _rounds(arguments, bench_vm.measure, lambda rounds: bench_vm.table(rounds, arguments.nodes))


def _rounds(
    arguments: argparse.Namespace,
    measure: Callable[[int, FamilyName], dict[str, Any]],
    table: Callable[[list[dict[str, Any]]], str],
) -> dict[str, Any]:
    """Whole rounds of one scenario, with how busy the machine was before each."""
    loads: list[float] = []
    rounds: list[dict[str, Any]] = []
    for number in range(arguments.rounds):
        loads.append(bench_table.busy())
        rounds.append(measure(arguments.nodes, arguments.family))
        _note(f"round {number + 1} of {arguments.rounds}: {rounds[-1]}")
    host = {**_host(), "family": arguments.family, "nodes": arguments.nodes, "loads": loads}
    print(bench_table.caption(host, arguments.rounds), end="\n\n")
    print(table(rounds))
    return {"host": host, "rounds": rounds}


# -- common ground --------------------------------------------------------------------------


def _words(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "labctl", *arguments]


def _env() -> dict[str, str]:
    return {"PYTHONPATH": str(ROOT)}


def _timed(*arguments: str) -> tuple[float, Any]:
    """Seconds of a whole labctl process, and its JSON. Raises CommandFailed."""
    began = time.monotonic()
    result = run(_words(*arguments), timeout=COMMAND_SECONDS, env=_env())
    return time.monotonic() - began, json.loads(result.stdout)


def _host() -> dict[str, Any]:
    processor, memory = bench_plain.cpus_and_memory()
    commit = run(["git", "-C", ROOT, "describe", "--always", "--dirty"], timeout=30, check=False)
    return {
        "when": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "labctl": labctl.__version__,
        "commit": commit.stdout.strip() or "no git",
        "cpus": os.cpu_count(),
        "processor": processor,
        "memory_gib": memory,
        "kernel": platform.release(),
    }


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
