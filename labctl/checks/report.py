"""Results as documents: JSON for programs (the contract of `validate --json`), JUnit for CI."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

from labctl.checks.result import CheckResult, Status


def as_json(results: Iterable[CheckResult]) -> dict[str, Any]:
    """{"passed", "failed", "skipped": counts, "checks": [{"id", "node", "status", "message", "hint"}]}."""
    listed = list(results)
    counts = Counter(result.status for result in listed)
    return {
        "passed": counts[Status.PASSED],
        "failed": counts[Status.FAILED],
        "skipped": counts[Status.SKIPPED],
        "checks": [
            {
                "id": result.id,
                "node": result.node,
                "status": result.status.value,
                "message": result.message,
                "hint": result.hint,
            }
            for result in listed
        ],
    }


def write_junit(results: Sequence[CheckResult], path: Path, suite: str) -> None:
    """Write a JUnit file; a case per result, the node (or "lab") as its class. Raises OSError."""
    written = TestSuite(suite)
    for result in results:
        case = TestCase(result.id, classname=f"{suite}.{result.node or 'lab'}")
        if result.failed:
            failure = Failure(result.message, type_=result.id)
            failure.text = f"{result.message}\n{result.hint}"
            case.result = [failure]
        elif result.status is Status.SKIPPED:
            case.result = [Skipped(result.message)]
        written.add_testcase(case)
    document = JUnitXml()
    document.add_testsuite(written)
    document.write(str(path), pretty=True)
