"""Who may import whom (DESIGN.md, "Layers"), and the two modules that are the only way to something.

Imports under `if TYPE_CHECKING` and inside functions count, too: what is named is depended on.
"""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Layer: (modules, longest prefix wins; layers they may use beside their own).
GROUND = ("errors", "run", "wait", "places", "packaged")
LAYERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "errors": (("labctl.errors",), ()),
    "run": (("labctl.run",), ("errors",)),
    "wait": (("labctl.wait",), ("errors",)),
    "places": (("labctl.places",), ("errors",)),
    "packaged": (("labctl.packaged",), ("errors",)),
    "console": (("labctl.console",), ("errors",)),
    "description": (
        tuple(f"labctl.lab.{name}" for name in ("model", "sections", "values", "file", "load")),
        ("errors", "packaged"),
    ),
    "engine.base": (("labctl.engine.base",), ("description", "run", "errors")),
    "facts": (("labctl.probe.facts",), ("errors",)),
    "probe.script": (("labctl.probe.script",), ()),
    "host": (("labctl.host",), GROUND),
    "bmc": (("labctl.bmc",), ("engine.base", "errors", "run", "wait")),
    # Its daemon (labd) ties BMCs to an engine and watches the cluster.
    "bubble": (
        ("labctl.bubble",),
        ("bmc", "host", "cluster", "engine", "engine.base", "description", "storage", *GROUND),
    ),
    "image": (("labctl.image",), ("host", *GROUND)),
    "engine": (
        ("labctl.engine",),
        ("engine.base", "libvirt binding", "description", "host", "run", "errors", "wait", "places"),
    ),
    "libvirt binding": (
        ("labctl.engine.libvirt_binding", "labctl.engine.libvirt_host", "labctl.engine.remote"),
        ("host", "run", "wait", "errors"),
    ),
    "vm": (("labctl.vm",), ("libvirt binding", "host", *GROUND)),
    "cluster": (("labctl.cluster",), ("description", "engine.base", "errors", "places")),
    "storage": (
        ("labctl.storage",),
        ("storage.innode", "facts", "description", "engine.base", "host", *GROUND),
    ),
    "storage.innode": (("labctl.storage.innode",), ()),
    "probe": (("labctl.probe",), ("facts", "probe.script", "description", "engine.base", "run", "errors")),
    "checks": (("labctl.checks",), ("facts", "description")),
    "lab": (
        ("labctl.lab",),
        ("description", "engine.base", "engine", "libvirt binding", "storage", "cluster", "bmc", "bubble",
         "image", "probe", "facts", "checks", "vm", "host", *GROUND),
    ),
    "words": (("labctl.words",), ("errors", "places")),
    "exercises": (
        ("labctl.course",),
        ("words", "cluster", "checks", "probe", "facts", "engine.base", "description", *GROUND),
    ),
    "cli": (
        ("labctl.cli", "labctl.__main__"),
        ("console", "words", "exercises", "lab", "description", "engine", "engine.base", "storage", "cluster",
         "bmc", "bubble", "image", "probe", "facts", "checks", "vm", "host", *GROUND),
    ),
}  # fmt: skip

# probe.script and storage.innode are sent to nodes and run there, alone with the standard library.
ONLY_IN = {
    "subprocess": (
        "labctl.run",
        "labctl.probe.script",
        "labctl.storage.innode.command",
        "labctl.storage.lio_target",
    ),
    "rich": ("labctl.console",),
}
OTHER_WAYS_TO_START_A_PROGRAM = {
    "os.system", "os.popen", "os.posix_spawn", "os.posix_spawnp", "os.spawnv", "os.spawnl", "pty.spawn",
    "asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell",
}  # fmt: skip


def module_files() -> dict[str, Path]:
    files = {}
    for path in sorted((ROOT / "labctl").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


MODULES = module_files()


def layer_of(module: str) -> str | None:
    fitting = [
        (len(prefix), layer)
        for layer, (prefixes, _) in LAYERS.items()
        for prefix in prefixes
        if module == prefix or module.startswith(f"{prefix}.")
    ]
    return max(fitting)[1] if fitting else None


def imports(module: str, source: str, *, package: bool = False) -> Iterator[str]:
    """Every module that the source names in an import, as its full name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.split(".")[: len(module.split(".")) - node.level + package]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in MODULES else base


def violations(module: str, source: str, *, package: bool = False) -> list[str]:
    own = layer_of(module)
    allowed = {own, *(LAYERS[own][1] if own else ())}
    found = []
    for target in imports(module, source, package=package):
        top = target.split(".")[0]
        if module not in ONLY_IN.get(top, (module,)):
            found.append(f"{module} imports {target}: only {' and '.join(ONLY_IN[top])} may")
        # The package itself holds nothing but the version.
        if top == "labctl" and target != "labctl" and layer_of(target) not in allowed:
            found.append(f"{module} ({own}) imports {target} ({layer_of(target)})")
    tree = ast.walk(ast.parse(source))
    attributes = (ast.unparse(node) for node in tree if isinstance(node, ast.Attribute))
    started = [name for name in attributes if name in OTHER_WAYS_TO_START_A_PROGRAM]
    return found + [f"{module} uses {name}: programs start in labctl.run" for name in started]


@pytest.mark.parametrize("module", MODULES)
def test_imports_only_what_its_layer_may(module: str) -> None:
    path = MODULES[module]
    assert violations(module, path.read_text(), package=path.name == "__init__.py") == []


def test_every_module_has_a_layer() -> None:
    assert [name for name in MODULES if name != "labctl" and layer_of(name) is None] == []


def test_layers_name_layers_and_have_no_cycle() -> None:
    graph = {layer: set(uses) for layer, (_, uses) in LAYERS.items()}
    assert {use for uses in graph.values() for use in uses} <= set(LAYERS)
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(LAYERS)


def test_nothing_imports_the_command_line() -> None:
    assert [layer for layer, (_, uses) in LAYERS.items() if "cli" in uses] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("labctl.errors", "import labctl.run"),
        ("labctl.checks.quorum", "from labctl import run"),
        ("labctl.lab.model", "from labctl.engine.base import Node"),
        ("labctl.host.doctor", "def late() -> None:\n    from labctl.image import store"),
        ("labctl.bmc.board", "if TYPE_CHECKING:\n    from labctl.lab import apply"),
        ("labctl.cluster.cib", "from ..run import run"),
        ("labctl.host.doctor", "import subprocess"),
        ("labctl.lab.apply", "from rich.table import Table"),
        ("labctl.bubble.labd", "import os\nos.system('true')"),
        ("labctl.course.session", "from labctl.lab import snapshot"),
        ("labctl.course.ask", "from labctl import console"),
        ("labctl.nowhere", "import labctl.errors"),
    ],
)
def test_a_violation_is_seen(module: str, source: str) -> None:
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("labctl.run", "import subprocess\nfrom labctl.errors import CommandFailed"),
        ("labctl.console", "from rich.console import Console"),
        ("labctl.engine.podman", "from labctl.engine.base import Node\nfrom labctl import wait"),
        ("labctl.cli.main", "from labctl.lab import apply\nfrom labctl import __version__"),
    ],
)
def test_what_is_allowed_passes(module: str, source: str) -> None:
    assert violations(module, source) == []
