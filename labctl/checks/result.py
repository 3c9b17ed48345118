"""A check's result: frozen data with a stable id, so that tools and tests need not read prose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a check went; skipped means that it could not be judged, and the message says why."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class CheckResult:
    """One check of one node, or of the lab as a whole (node is None).

    id: stable, such as "names.resolve".  message: what was found, and what was expected when
    that differs.  hint: a command that shows more or mends it; empty unless failed.
    problems: what the message of a failed one is put together of, none when it is one sentence.
    """

    id: str
    node: str | None
    status: Status
    message: str
    hint: str = ""
    problems: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        return self.status is Status.FAILED


def passed(check: str, node: str | None, message: str) -> CheckResult:
    return CheckResult(check, node, Status.PASSED, message)


def failed(
    check: str, node: str | None, message: str, hint: str, problems: Sequence[str] = ()
) -> CheckResult:
    return CheckResult(check, node, Status.FAILED, message, hint, tuple(problems))


def skipped(check: str, node: str | None, reason: str) -> CheckResult:
    return CheckResult(check, node, Status.SKIPPED, reason)


def judged(check: str, node: str | None, problems: Sequence[str], *, good: str, hint: str) -> CheckResult:
    """Failed with all the problems in one message, passed when there are none."""
    if problems:
        return failed(check, node, "; ".join(problems) + ".", hint, problems)
    return passed(check, node, good)
