"""The command line: one app, one table from exceptions to exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer
import typer.exceptions

import labctl
from labctl import console
from labctl.cli import host, inside, life
from labctl.errors import BUG, INTERRUPTED, OK, USAGE, LabError, exit_code

app = typer.Typer(
    name="labctl",
    help="A real high-availability cluster lab from one command.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
life.register(app)
inside.register(app)
host.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        console.line(f"labctl {labctl.__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_version)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and every command that is run.", envvar="LABCTL_DEBUG")
    ] = False,
) -> None:
    """A real high-availability cluster lab from one command."""
    if debug:
        import logging

        os.environ["LABCTL_DEBUG"] = "1"
        logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")


def main() -> None:
    """Run labctl and exit with the documented code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run labctl with these arguments; the exit code. Never raises."""
    try:
        result = app(args=arguments, prog_name="labctl", standalone_mode=False)
        return result if isinstance(result, int) else OK
    except typer.Exit as asked:
        return asked.exit_code
    except typer.exceptions.TyperException as error:
        error.show()
        return USAGE
    except (KeyboardInterrupt, typer.Abort):
        console.note("Interrupted. `labctl up` carries on, `labctl down` clears away.")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (labctl … | head); nothing is wrong, and nothing can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except LabError as error:
        if os.environ.get("LABCTL_DEBUG"):
            console.bug(traceback.format_exc())
        console.error(error)
        return exit_code(error)
    except Exception as error:
        console.bug(traceback.format_exc())
        console.bug(
            f"This is a bug in labctl ({type(error).__name__}). Please report the lines above, the command, "
            "and what `labctl doctor --json` prints."
        )
        return BUG
