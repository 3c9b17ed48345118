"""Facts recorded from a real lab: tests/unit/recorded/NAME.json.

A file holds, by node, {"document": what the probe printed, "clock": [least, most]} or
{"failure": {"state", "reason"}}.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from labctl.probe.facts import NodeFacts, ProbeFailure, parse_node

Table = dict[str, NodeFacts | ProbeFailure]
Edit = Callable[[NodeFacts], NodeFacts]
FOLDER = Path(__file__).parents[1] / "unit" / "recorded"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def raw(name: str) -> dict[str, dict[str, Any]]:
    """The file as it is; a new copy at each call, so that it may be edited."""
    return cast("dict[str, dict[str, Any]]", json.loads((FOLDER / f"{name}.json").read_text()))


def document(name: str, node: str) -> dict[str, Any]:
    """What one node's probe printed."""
    return cast("dict[str, Any]", raw(name)[node]["document"])


def facts(name: str) -> dict[str, NodeFacts | ProbeFailure]:
    """The recorded lab's facts."""
    return {
        node: ProbeFailure(node, **told["failure"])
        if "failure" in told
        else parse_node(told["document"], clock=(told["clock"][0], told["clock"][1]))
        for node, told in raw(name).items()
    }


def edited(edit: Edit, *nodes: str) -> Table:
    """The healthy lab with some nodes' facts changed; all nodes' when none is named."""
    table = facts("healthy")
    for name in nodes or tuple(table):
        own = table[name]
        assert isinstance(own, NodeFacts)
        table[name] = edit(own)
    return table


def part(name: str, **changes: Any) -> Edit:
    """An edit of one of a node's facts that has parts itself."""

    def edit(own: NodeFacts) -> NodeFacts:
        before = getattr(own, name)
        assert before is not None
        return replace(own, **{name: replace(before, **changes)})

    return edit


def view(**changes: Any) -> Edit:
    """An edit of what a node sees of the cluster."""
    return part("cluster", **changes)
