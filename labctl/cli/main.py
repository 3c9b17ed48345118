"""The command line: one app, one table from exceptions to exit codes."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import traceback
from typing import Annotated, NoReturn

import typer
import typer.exceptions

import labctl
from labctl import console
from labctl.cli import course, host, inside, life, logs, look, snapshot, tongue
from labctl.cli.helping import Group
from labctl.errors import (
    BUG,
    INTERRUPTED,
    OK,
    USAGE,
    HostLacks,
    LabError,
    NotPermitted,
    UsageError,
    exit_code,
    is_full,
)

# What Ctrl-C may leave half made.
MAKERS = frozenset({"up", "down", "snapshot"})

_asked_to_stop = threading.Event()

app = typer.Typer(
    name="labctl",
    cls=Group,
    help="A real high-availability cluster lab from one command.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
life.register(app)
look.register(app)
inside.register(app)
logs.register(app)
host.register(app)
snapshot.register(app)
course.register(app)


# The bodies of eager options run in their callbacks; their parameters only declare them.
def _version(wanted: bool) -> None:
    if wanted:
        console.line(f"labctl {labctl.__version__}")
        raise typer.Exit


@app.callback()
def _top(
    _wants_version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_version)
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show tracebacks and every command that is run.", envvar="LABCTL_DEBUG"),
    ] = False,
) -> None:
    """A real high-availability cluster lab from one command."""
    if debug:
        import logging

        os.environ["LABCTL_DEBUG"] = "1"
        logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")


def main() -> NoReturn:
    """Run labctl and exit with the documented code."""
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else the caller has it ignored
        signal.signal(signal.SIGINT, _interrupt)
    sys.exit(run(sys.argv[1:]))


def _interrupt(*_: object) -> None:
    """SIGTERM ends labctl as Ctrl-C does: in order."""
    _asked_to_stop.set()
    raise KeyboardInterrupt


def run(arguments: list[str]) -> int:
    """Run labctl with these arguments; the exit code. Never raises."""
    tongue.speak()
    try:
        result: object = app(args=arguments, prog_name="labctl", standalone_mode=False)
        if result == INTERRUPTED and _asked_to_stop.is_set():
            _interrupted(arguments)  # typer makes this exit code of a KeyboardInterrupt
        return result if isinstance(result, int) else OK
    except typer.Exit as asked:
        return asked.exit_code
    except typer.exceptions.TyperException as error:
        if message := error.format_message():  # none after the help that a group prints without a word
            tongue.error(UsageError(message, mend="labctl --help"))
        return USAGE
    except (KeyboardInterrupt, typer.Abort):
        _interrupted(arguments)
    except BrokenPipeError:
        # The reader has gone (labctl … | head); nothing is wrong, and nothing can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except LabError as error:
        if os.environ.get("LABCTL_DEBUG"):
            console.bug(traceback.format_exc())
        tongue.error(error)
        return exit_code(error)
    except OSError as error:
        known = _from_os(error)
        if known is None:
            return _bug(error)
        tongue.error(known)
        return exit_code(known)
    except Exception as error:  # noqa: BLE001 (the one place where a bug becomes exit code 70)
        return _bug(error)


def _from_os(error: OSError) -> LabError | None:
    """What the kernel refused for a reason that the user can mend."""
    where = f" ({error.filename})" if error.filename else ""
    if is_full(error):
        return HostLacks(
            f"There is no room left on the disk{where}.",
            mend="labctl down --all, free some room, or LABCTL_STATE=/other/disk labctl up",
        )
    if error.errno == errno.EROFS:
        return HostLacks(f"The file system is read-only{where}.", mend="LABCTL_STATE=/other/folder labctl up")
    if error.errno in (errno.EACCES, errno.EPERM):
        return NotPermitted(f"{error.strerror}{where}.", mend="sudo labctl …")
    return None


def _bug(error: Exception) -> int:
    console.bug(traceback.format_exc())
    console.bug(tongue.say("bug", kind=type(error).__name__))
    return BUG


def how_to_go_on(arguments: list[str]) -> str:
    """What is told when a command was interrupted: the way on where it may have left something half made."""
    command = next((word for word in arguments if not word.startswith("-")), "")
    return tongue.say("interrupted-half" if command in MAKERS else "interrupted")


def _interrupted(arguments: list[str]) -> NoReturn:
    """Say how to go on, and end at once."""
    console.note(how_to_go_on(arguments))
    # Threads may still wait for a node's answer; nobody waits for them any more.
    sys.stdout.flush()
    os._exit(INTERRUPTED)
