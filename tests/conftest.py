"""What holds for all tests: everything below tests/lab makes real labs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

LAB_TESTS = Path(__file__).parent / "lab"
SKIP = "LABCTL_SKIP_LAB_TESTS"


def pytest_configure() -> None:
    """What tests start would inherit the language of who runs them, and tests read English.

    A shell that starts us in the background has SIGINT ignored, which would be inherited, too.
    """
    os.environ["LC_ALL"] = "C.UTF-8"
    os.environ.pop("LABCTL_LANG", None)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the real tests; skip them only for a reason that somebody gave.

    The lab that many share comes last: it costs a tenth of two processors as long as it is there.
    """
    reason = os.environ.get(SKIP)
    for item in items:
        if item.path.is_relative_to(LAB_TESTS):
            item.add_marker(pytest.mark.lab)
            if reason:
                item.add_marker(pytest.mark.skip(reason=f"{SKIP}: {reason}"))
    shared = {item.path for item in items if "_main" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: (item.path.is_relative_to(LAB_TESTS), item.path in shared))
