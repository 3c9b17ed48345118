"""Waiting is a deadline and a condition, never a bare sleep."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import tenacity

from labctl.errors import TimedOut

T = TypeVar("T")


def wait_until(
    what: str,
    condition: Callable[[], T],
    *,
    timeout: float,
    every: float = 0.1,
    last_seen: Callable[[], str] | None = None,
    mend: str = "",
) -> T:
    """Call condition until it returns something true; return that.

    what: completes the sentence "waited for …".  timeout, every: seconds.
    last_seen: what to show when the time is over.  Raises TimedOut.
    Exceptions of condition are not swallowed: a condition that may fail says so itself.
    """
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_delay(timeout),
        wait=tenacity.wait_fixed(every),
        retry=tenacity.retry_if_result(lambda value: not value),
    )
    try:
        return retrying(condition)
    except tenacity.RetryError:
        raise TimedOut(
            f"Waited {timeout:.0f} s for {what}, in vain.",
            details=f"Last seen: {last_seen()}" if last_seen else "",
            mend=mend,
        ) from None
