"""Errors that a user sees, and the one table that turns them into exit codes.

An error says what happened, why, and the command that mends it.  Library
exceptions become one of these inside the module that calls the library.
"""

from __future__ import annotations

import errno

OK = 0
FAILED = 1
USAGE = 2
BAD_FILE = 65
HOST_LACKS = 69
BUG = 70
BUSY = 75
NOT_PERMITTED = 77
INTERRUPTED = 130


class LabError(Exception):
    """Something the user can understand and, mostly, mend.

    message: one sentence, what happened.
    details: what else is known (an output, a list of places); may be long.
    mend: the command or the step that puts it right.
    """

    exit_code = FAILED

    def __init__(self, message: str, *, details: str = "", mend: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.mend = mend

    def __str__(self) -> str:
        parts = [self.message]
        if self.details:
            parts.append(self.details)
        if self.mend:
            parts.append(f"Mend: {self.mend}")
        return "\n".join(parts)


class ActionFailed(LabError):
    """The lab was asked for something and did not do it."""


class CommandFailed(ActionFailed):
    """An external command ended badly; the details hold argv, exit code and stderr."""


class TimedOut(ActionFailed):
    """A wait reached its deadline; the message says what for, the details what was last seen."""


class UsageError(LabError):
    """The command line names something that does not exist or does not fit."""

    exit_code = USAGE


class BadFile(LabError):
    """A lab or course file is wrong; the details name file, line and key."""

    exit_code = BAD_FILE


class HostLacks(LabError):
    """The host has not got what this needs: a program, a feature, room, a free port."""

    exit_code = HOST_LACKS


class Busy(LabError):
    """Another labctl holds this lab."""

    exit_code = BUSY


class NotPermitted(LabError):
    """This needs rights that the caller has not got."""

    exit_code = NOT_PERMITTED


def exit_code(error: BaseException) -> int:
    """The exit code of any exception: the documented table, in one place."""
    if isinstance(error, LabError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return BUG


def is_full(error: BaseException) -> bool:
    """Whether this is what a full disk, or a full quota, makes of a write."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
