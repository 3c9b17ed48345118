"""Waiting is a deadline and a condition, never a bare sleep."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import tenacity

from labctl.errors import TimedOut

T = TypeVar("T")

# A pause is then about an eighth of the time that was waited.
GROWTH = 1.15

# Set when the user has interrupted: Python tells the main thread alone, the others wait on.
_given_up = threading.Event()


def give_up() -> None:
    """End every wait of this process, in whatever thread, with TimedOut. There is no way back."""
    _given_up.set()


def wait_until(
    what: str,
    condition: Callable[[], T],
    *,
    timeout: float,
    every: float = 0.1,
    at_most: float | None = None,
    last_seen: Callable[[], str] | None = None,
    mend: str = "",
) -> T:
    """Call condition until it returns something true; return that.

    what: completes the sentence "waited for …".  timeout, every: seconds.
    at_most: let the pauses between two calls grow with the time waited, up to this; for conditions that
    cost whoever is waited for.
    last_seen: what to show when the time is over.  Raises TimedOut.
    Exceptions of condition are not swallowed: a condition that may fail says so itself.
    """
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_delay(timeout) | tenacity.stop_when_event_set(_given_up),
        sleep=tenacity.sleep_using_event(_given_up),
        wait=pauses(every, at_most),
        retry=tenacity.retry_if_result(lambda value: not value),
    )
    try:
        return retrying(condition)
    except tenacity.RetryError:
        if _given_up.is_set():
            raise TimedOut(f"The wait for {what} was interrupted.") from None
        raise TimedOut(
            f"Waited {timeout:.0f} s for {what}, in vain.",
            details=f"Last seen: {last_seen()}" if last_seen else "",
            mend=mend,
        ) from None


def pauses(every: float, at_most: float | None) -> tenacity.wait.wait_base:
    """The pauses between calls: always the same, or growing from it up to at_most; seconds."""
    if at_most is None:
        return tenacity.wait_fixed(every)
    return tenacity.wait_exponential(multiplier=every, exp_base=GROWTH, max=at_most)
