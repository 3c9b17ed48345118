"""The one place that knows rich: tables, colour and progress where there is a terminal.

Results go to stdout, progress and errors to stderr.  NO_COLOR is honoured by rich itself;
where there is no terminal every word is a plain line.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from labctl.errors import LabError

_out = Console(highlight=False, soft_wrap=True, emoji=False)
_err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)

MARKS = {"passed": ("✔", "green"), "failed": ("✘", "red"), "skipped": ("-", "yellow")}
# What stands before an error, the command that mends it, and a warning; label() puts other words there.
LABELS = {"error": "error: ", "mend": "mend:  ", "warning": "warning: "}

GOOD = frozenset({"on", "up", "online", "yes", "started", "enabled", "running", "켜짐", "온라인"})
BAD = frozenset(
    {"off", "offline", "missing", "frozen", "no", "disabled", "unclean", "degraded", "failed",
     "꺼짐", "오프라인", "없음", "멈춤", "실패"}
)  # fmt: skip


def line(text: str) -> None:
    """A line of the result."""
    _out.print(text, markup=False)


def command(text: str) -> str:
    """The text with `labctl` as the user called it: ./lab says so in LABCTL_INVOKED_AS."""
    return re.sub(r"\blabctl (?=[a-z-])", os.environ.get("LABCTL_INVOKED_AS", "labctl") + " ", text)


def heading(text: str) -> None:
    _out.print(Text(text, style="bold"))


def document(value: object) -> None:
    """The result as JSON, untouched by colours or widths."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """A word about what goes on; not part of the result."""
    _err.print(Text(text, style="dim"))


def label(words: Mapping[str, str]) -> None:
    """From here on put these words before errors, mends and warnings."""
    LABELS.update(words)


def warning(text: str) -> None:
    _err.print(Text.assemble((LABELS["warning"], "yellow"), text))


def error(problem: LabError) -> None:
    """What happened, what is known, and the command that mends it."""
    _err.print(Text.assemble((LABELS["error"], "bold red"), problem.message))
    if problem.details:
        _err.print(Text(problem.details, style="dim"))
    if problem.mend:
        _err.print(Text.assemble((LABELS["mend"], "bold green"), command(problem.mend)))


def bug(text: str) -> None:
    _err.print(text, markup=False)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
    """A table; words that stand for a good or bad state are coloured."""
    _out.print(_table(columns, rows, title))


def checks(results: Sequence[Any], *, every: bool = False, everywhere: str = "all nodes") -> None:
    """Check results (id, node, status, message, hint), failed ones with their hint.

    What is the same for all nodes stands in one line, which says everywhere, unless every is set.
    """
    by_id: dict[str, list[Any]] = {}
    for result in results:
        by_id.setdefault(result.id, []).append(result)
    for alike in by_id.values():
        if (
            every
            or len(alike) == 1
            or len({result.status for result in alike}) > 1
            or str(alike[0].status) == "failed"
        ):
            _each(alike)
        else:
            same = len({result.message for result in alike}) == 1
            first = alike[0].message if same else f"{alike[0].node}: {alike[0].message} …"
            _check(alike[0], everywhere, first)


def _each(results: Sequence[Any]) -> None:
    for result in results:
        _check(result, result.node or "", result.message)
        if str(result.status) == "failed" and result.hint:
            _out.print(Text(f"    → {command(result.hint)}", style="cyan"))


def _check(result: Any, where: str, words: str) -> None:
    """One line; Hangul is two columns wide."""
    mark, style = MARKS[str(result.status)]
    column = where + " " * (10 - cell_len(where))
    _out.print(Text.assemble((f"{mark} ", style), (f"{result.id:24}", "bold"), f" {column} {words}"))


class Steps:
    """Progress of a long action: the stage and its latest word, with the seconds it has taken."""

    def __init__(self, what: str, *, quiet: bool = False) -> None:
        self._what = what
        self._quiet = quiet
        self._stage = ""
        self._began = time.monotonic()
        self._status = _err.status(what) if _err.is_terminal and not quiet else None

    def __enter__(self) -> Steps:
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status:
            self._status.stop()

    def stage(self, name: str) -> None:
        self._stage = name

    def say(self, text: str) -> None:
        """One word; on a terminal it takes the place of the last one."""
        if self._quiet or not text.strip():
            return
        seconds = time.monotonic() - self._began
        label = f"{self._stage}: " if self._stage else ""
        if self._status:
            self._status.update(escape(f"[{seconds:4.0f} s] {label}{text}"[: max(20, _err.width - 4)]))
        else:
            _err.print(f"[{seconds:6.1f} s] {label}{text}", markup=False)


@contextlib.contextmanager
def watch() -> Iterator[Callable[[Sequence[str], Sequence[Sequence[str]], str], None]]:
    """Show one table that changes in place; on no terminal, tables one after the other."""
    if not _out.is_terminal:
        yield lambda columns, rows, title: table(columns, rows, title=title)
        return
    with Live(console=_out, refresh_per_second=4) as live:
        yield lambda columns, rows, title: live.update(_table(columns, rows, title))


def is_terminal() -> bool:
    """Whether a person reads the result as it comes."""
    return _out.is_terminal


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> Table:
    from rich import box

    made = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column)
    for row in rows:
        made.add_row(*(_coloured(cell) for cell in row))
    return made


def _coloured(cell: str) -> Text:
    word = cell.split(" ", 1)[0].lower()
    return Text(cell, style="green" if word in GOOD else "red" if word in BAD else "")
