"""targetcli in front of tgtd: the course's commands on a node whose kernel has no LIO.

One command as words, or a shell that reads lines.  Each command edits a copy of the configuration
document; then tgtd is brought to it, and only when that worked is it the running configuration.
"""

from __future__ import annotations

import contextlib
import copy
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from . import command, document, reconcile, target, tgt
from .tree import CliError, Node, Shell
from .tree_root import VERSION, Root
from .voice import complain, say

SERVICE = "labctl-tgtd.service"
PROMPT = 30
SAID = "/var/lib/labctl-iscsi/said-targetcli"
NOTICE = (
    "This node's kernel has no LIO target, so this targetcli is labctl's: it drives tgtd, in user space.\n"
    "What differs: LUNs begin at 1 (LUN 0 is tgtd's controller); an ACL shows its initiator all LUNs of the\n"
    "target; CHAP of one ACL is asked of all initiators of the target. What tgtd cannot do is refused."
)
LOOKING = frozenset(
    (
        "",
        "cd",
        "exit",
        "get",
        "help",
        "info",
        "ls",
        "pwd",
        "refresh",
        "saveconfig",
        "sessions",
        "status",
        "version",
    )
)
USAGE = """Usage: targetcli [--version|--help|CMD]
  --version\t\tPrint version
  --help\t\tPrint this information
  CMD\t\t\tRun targetcli shell command and exit
  <nothing>\t\tEnter configuration shell"""


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in ("help", "--help", "-h"):
        complain(USAGE)
        return 255
    if words and words[0] in ("version", "--version", "-v"):
        complain(f"targetcli version {VERSION} (labctl's, in front of tgtd)")
        return 0
    if os.geteuid() != 0:
        complain("Retry as root.")
        return 255
    _introduce()
    if words:
        return _once(" ".join(words))
    return _interactive()


def _introduce() -> None:
    """Say what this is, the first time on this node."""
    with contextlib.suppress(OSError):
        if not Path(SAID).exists():
            complain(NOTICE)
            Path(SAID).parent.mkdir(parents=True, exist_ok=True)
            Path(SAID).touch()


def _once(line: str) -> int:
    try:
        for text in run(line, "/")[0]:
            say(text)
    except CliError as error:
        complain(str(error))
        return 1
    return 0


def _interactive() -> int:
    say(f"targetcli shell version {VERSION} (labctl's, in front of tgtd)")
    say("For help on commands, type 'help'.\n")
    path, ended = "/", False
    _prepare_terminal(lambda: path)
    while not ended:
        try:
            line = input(f"{prompt(path)}> ").strip()
        except EOFError:
            say("exit")
            line = "exit"
        except KeyboardInterrupt:
            say("")
            continue
        try:
            texts, path, ended = run(line, path)
            for text in texts:
                say(text)
        except CliError as error:
            complain(str(error))
    say("Global pref auto_save_on_exit=true")
    return _once("saveconfig")


def prompt(path: str) -> str:
    """The path, in 30 characters, as configshell shortens it."""
    return path if len(path) <= PROMPT else f"{path[: (PROMPT - 3) // 2]}...{path[-((PROMPT - 3) // 2) :]}"


def run(line: str, path: str) -> tuple[list[str], str, bool]:
    """One command line at a path: what it says, the path then, and whether it ends the shell.

    Raises CliError; nothing is changed then.
    """
    where, verb, words, keys = parse(line)
    if verb not in LOOKING:
        _start()  # not under the lock: tgtd's keeper takes that, too
    with document.held():
        try:
            before = document.running()
        except document.BadDocument as error:
            raise CliError(str(error)) from None
        shell = Shell(copy.deepcopy(before))
        node = _nearest(Root(shell), path)
        shell.path = node.path
        chosen = node.find(where) if where else node
        if not line:
            return [], shell.path, False
        try:
            # A path alone goes there, as configshell does.
            chosen.execute(verb or "cd", words if verb else ["."], keys)
            if shell.config != before:
                commit(before, shell.config)
        except OSError as error:
            raise CliError(f"{error.filename or verb}: {error.strerror}") from None
        return shell.said, _nearest(Root(shell), shell.path).path, shell.ended


def _nearest(root: Node, path: str) -> Node:
    """The node at a path, or the last one on the way there that still exists."""
    try:
        return root.find(path)
    except CliError:
        return _nearest(root, path.rpartition("/")[0])


def parse(line: str) -> tuple[str, str, list[str], dict[str, str]]:
    """[PATH] [COMMAND] [WORD]… [NAME=VALUE]…: path, command, words, values by name. Raises CliError."""
    try:
        tokens = shlex.split(line)
    except ValueError as error:
        raise CliError(f"Syntax error: {error}") from None
    where = verb = ""
    if tokens and ("/" in tokens[0] or tokens[0] in (".", "..")):
        where = tokens.pop(0)
    if tokens:
        verb = tokens.pop(0)
    words: list[str] = []
    keys: dict[str, str] = {}
    for token in tokens:
        name, equals, value = token.partition("=")
        if equals and name.replace("_", "").isalnum():
            keys[name] = value
        else:
            words.append(token)
    return where, verb, words, keys


def commit(before: dict[str, object], after: dict[str, object]) -> None:
    """Bring tgtd to a changed configuration, or to the old one again. Raises CliError."""
    try:
        old, new = document.wanted(before), document.wanted(after)
        refused = [problem for problem in new.problems if problem not in old.problems]
        refused += reconcile.refusals(new)
        if refused:
            raise CliError("\n".join(refused))
        # A disk that was missing before is not this command's fault.
        known = {f"{document.fault(disk)}{reconcile.LEFT_OUT}" for goal in old.targets for disk in goal.disks}
        problems = [text for text in target.put_held(after, new) if text not in {*known, *old.problems}]
        if problems:
            target.put_held(before, old)
            raise CliError("\n".join(problems))
    except (document.BadDocument, tgt.TgtError) as error:
        raise CliError(str(error)) from None


def _start() -> None:
    if tgt.answers():
        return
    done = command.run(["systemctl", "start", SERVICE], timeout=60)
    if done.rc != 0 or not tgt.answers(5):
        raise CliError(f"{SERVICE} does not start: {done.err.strip()}\nsystemctl status {SERVICE} tells more")


def _prepare_terminal(here: Callable[[], str]) -> None:
    """Line editing and completion of commands and paths, where a person types."""
    if not sys.stdin.isatty():
        return
    try:
        import readline
    except ImportError:
        return

    def complete(text: str, state: int) -> str | None:
        with contextlib.suppress(CliError, document.BadDocument):
            node = Root(Shell(document.running())).find(here())
            folder, slash, _ = text.rpartition("/")
            verbs = [] if slash else [verb + " " for verb in node.commands() if verb.startswith(text)]
            node = node.find(folder or "/") if slash else node
            names = [f"{folder}{slash}{child.name}/" for child in node.children()]
            names = [name for name in names if name.startswith(text)]
            return [*names, *verbs, None][state]
        return None

    readline.set_completer_delims(" \t\n")
    readline.set_completer(complete)
    readline.parse_and_bind("tab: complete")
