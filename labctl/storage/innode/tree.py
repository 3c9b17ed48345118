"""targetcli's tree: what every node of it can do.  After targetcli-fb and configshell-fb.

A node is a view of one part of the configuration document; it is made anew for every command.
"""

from __future__ import annotations

import inspect
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple


class CliError(Exception):
    """What targetcli says when it does not do something."""


class Parameter(NamedTuple):
    """A setting of a group: its type as targetcli calls it and what it is for; None: it cannot be changed."""

    kind: str
    about: str
    set: Callable[[str], None] | None
    get: Callable[[], str]


class Shell:
    """What nodes work on: the configuration in hand, and the words said so far."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.path = "/"
        self.said: list[str] = []
        self.ended = False

    def say(self, text: str) -> None:
        self.said.append(text)


class Node:
    """One node. Commands are the methods do_…: their arguments are the command's parameters."""

    def __init__(self, name: str, parent: Node | None, shell: Shell) -> None:
        self.name = name
        self.parent = parent
        self.shell = shell

    # -- what a kind of node says of itself ----------------------------------------------------

    def children(self) -> Sequence[Node]:
        return ()

    def summary(self) -> tuple[str, bool | None]:
        """A description and whether the thing is healthy (None: it says nothing about that)."""
        return "", None

    def groups(self) -> Mapping[str, Mapping[str, Parameter]]:
        """Settings by group, for get and set."""
        return {}

    def facts(self) -> Mapping[str, Any]:
        """What `info` shows."""
        return {}

    # -- the tree ------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        if self.parent is None:
            return "/"
        return f"{self.parent.path.rstrip('/')}/{self.name}"

    @property
    def root(self) -> Node:
        return self.parent.root if self.parent else self

    def child(self, name: str) -> Node:
        for child in self.children():
            if child.name == name:
                return child
        raise CliError(f"No such path {self.path.rstrip('/')}/{name}")

    def find(self, path: str) -> Node:
        """The node at a path, absolute or from here. Raises CliError."""
        node = self.root if path.startswith("/") else self
        for part in path.split("/"):
            if part == "..":
                node = node.parent or node
            elif part not in ("", "."):
                node = node.child(part)
        return node

    def commands(self) -> list[str]:
        return sorted(name[3:] for name in dir(self) if name.startswith("do_"))

    def execute(self, command: str, words: Sequence[str], keys: Mapping[str, str]) -> None:
        """Call a command. Raises CliError in targetcli's words for what does not fit it."""
        if command not in self.commands():
            raise CliError(f"Command not found {command}")
        method = getattr(self, f"do_{command}")
        self._check(method, words, keys)
        method(*words, **keys)

    def _check(self, method: Callable[..., None], words: Sequence[str], keys: Mapping[str, str]) -> None:
        spec = inspect.getfullargspec(method)
        names = spec.args[1:]
        needed = names[: len(names) - len(spec.defaults or ())]
        missing = [name for name in needed[len(words) :] if name not in keys]
        if len(missing) == 1:
            raise CliError(f"Missing required parameter {missing[0]}")
        if missing:
            raise CliError(f"Missing required parameters {', '.join(repr(name) for name in sorted(missing))}")
        strange = sorted(set(keys) - set(names))
        if strange and spec.varkw is None:
            raise CliError(f"Unexpected keyword parameter '{strange[0]}'.")
        if double := [name for name in names[: len(words)] if name in keys]:
            raise CliError(f"Duplicate parameter {double[0]}.")
        if len(words) > len(names) and spec.varargs is None:
            raise CliError(f"Got {len(words)} positionnal parameters, expected at most {len(names)}.")

    # -- commands of all nodes -------------------------------------------------------------------

    def do_ls(self, path: str = ".", depth: str = "0") -> None:
        """Display the tree of nodes below a path, to a depth (0: all of it)."""
        try:
            levels = int(depth)
        except ValueError:
            raise CliError("The tree depth must be a number.") from None
        self.shell.say("\n".join(draw(self.find(path), levels or -1)))

    def do_cd(self, path: str = "/") -> None:
        """Change the current path."""
        self.shell.path = self.find(path).path

    def do_pwd(self) -> None:
        """Display the current path."""
        self.shell.say(self.path)

    def do_status(self) -> None:
        """Display the current node's status summary."""
        self.shell.say(f"Status for {self.path}: {self.summary()[0]}")

    def do_info(self) -> None:
        """Display what is known of this node."""
        for name, value in sorted(self.facts().items()):
            self.shell.say(f"{name}: {value}")

    def do_refresh(self) -> None:
        """Read the configuration again; here every command does."""

    def do_exit(self) -> None:
        """Leave targetcli."""
        self.shell.ended = True

    def do_help(self, topic: str = "") -> None:
        """Display the manual page for a topic, or list available topics."""
        if topic and topic not in self.commands():
            raise CliError(f"Cannot find help topic {topic}.")
        if not topic:
            self.shell.say("AVAILABLE COMMANDS\n==================")
            self.shell.say("The following commands are available in the current path:\n")
        for name in [topic] if topic else self.commands():
            method = getattr(self, f"do_{name}")
            self.shell.say(
                f"  - {name} {_syntax(method)}".rstrip() if not topic else f"{name} {_syntax(method)}"
            )
            if topic:
                self.shell.say(inspect.getdoc(method) or "")

    def do_get(self, group: str = "", *names: str) -> None:
        """Display settings of a group; without a name all of them, without a group the groups."""
        params = self._group(group)
        for name in names or params:
            if name not in params:
                raise CliError(f"No parameter '{name}' in group '{group}'.")
            readonly = " [ro]" if params[name].set is None else ""
            self.shell.say(f"{name}={params[name].get()}{readonly}")

    def do_set(self, group: str = "", **values: str) -> None:
        """Change settings of a group: set GROUP NAME=VALUE."""
        params = self._group(group)
        if group and not values:
            for name, about in params.items():
                self.shell.say(
                    f"{name}={about.kind}\n{'-' * (len(name) + len(about.kind) + 1)}\n{about.about}\n"
                )
        for name, value in values.items():
            if name not in params:
                raise CliError(f"Unknown parameter {name} in group '{group}'.")
            change = params[name].set
            if change is None:
                raise CliError(f"Parameter {name} is read-only.")
            try:
                change(value)
            except ValueError as error:
                raise CliError(f"Not setting {name}! {error}") from None
            self.shell.say(f"Parameter {name} is now '{params[name].get()}'.")

    def _group(self, group: str) -> Mapping[str, Parameter]:
        groups = self.groups()
        if not group:
            title = "AVAILABLE CONFIGURATION GROUPS"
            self.shell.say(f"{title}\n{'=' * len(title)}\n{' '.join(groups)}\n")
            return {}
        if group not in groups:
            raise CliError(f"Unknown configuration group: {group}")
        return groups[group]


def _syntax(method: Callable[..., None]) -> str:
    spec = inspect.getfullargspec(method)
    names = spec.args[1:]
    optional = names[len(names) - len(spec.defaults or ()) :]
    return " ".join([f"[{name}]" if name in optional else name for name in names])


def truth(value: str, fallback: bool) -> bool:
    """A parameter that is true or false; "" for its default. Raises CliError."""
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    if value:
        raise CliError(f"Syntax error, '{value}' is not true|false.")
    return fallback


def draw(node: Node, depth: int) -> list[str]:
    """The tree as targetcli draws it, as wide as the terminal; depth -1: all of it."""
    width = shutil.get_terminal_size((80, 24)).columns
    return list(_lines(node, depth, [], width))


def _lines(node: Node, depth: int, margin: list[bool], width: int) -> list[str]:
    about, healthy = node.summary()
    about = about or {True: "OK", False: "ERROR", None: "..."}[healthy]
    pipes = "".join("| " if pipe else "  " for pipe in margin[:-1])
    left = f"{'  ' if margin else ''}{pipes}o- {node.name} "
    line = left + "." * (width - 3 - len(left) - len(about)) + f" [{about}]"
    found = [line]
    if depth != 0:
        children = sorted(node.children(), key=lambda child: _order(child.name))
        for number, child in enumerate(children):
            found += _lines(child, depth - 1, [*margin, number < len(children) - 1], width)
    return found


def _order(name: str) -> tuple[str, int]:
    """lun2 comes before lun10."""
    match = re.fullmatch(r"(.*?)(\d+)", name)
    return (match[1], int(match[2])) if match else (name, 0)
