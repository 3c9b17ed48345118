"""Commands whose help is in the learner's language; how every command is added to the app."""

from __future__ import annotations

from collections.abc import Callable
from inspect import cleandoc
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from labctl.cli.tongue import for_a_learner, say, spoken
from labctl.words.help import helped


def add(app: typer.Typer, name: str, command: Callable[..., int], **settings: Any) -> None:
    """Add a command to the app."""
    app.command(name, cls=Command, **settings)(for_a_learner(command))


class Command(TyperCommand):
    """A command whose help is in the learner's language."""

    def get_usage(self, ctx: Any) -> str:
        return _usage(super().get_usage(ctx))

    def get_params(self, ctx: Any) -> list[Any]:
        return [_turned(parameter) for parameter in super().get_params(ctx)]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _turned(self)
        _titles()
        super().format_help(ctx, formatter)


class Group(TyperGroup):
    """A group of commands whose help is in the learner's language."""

    def get_usage(self, ctx: Any) -> str:
        return _usage(super().get_usage(ctx))

    def get_params(self, ctx: Any) -> list[Any]:
        return [_turned(parameter) for parameter in super().get_params(ctx)]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        for each in (self, *self.commands.values()):
            _turned(each)
        _titles()
        super().format_help(ctx, formatter)


def _usage(line: str) -> str:
    return line.replace("Usage: ", say("help-usage"), 1)


def _turned(shown: Any) -> Any:
    """The command or the parameter, with its help, and its default where that is words, in the language."""
    if shown.help:
        shown.help = helped(spoken(), cleandoc(shown.help))
    if isinstance(getattr(shown, "show_default", None), str):
        shown.show_default = helped(spoken(), shown.show_default)
    return shown


def _titles() -> None:
    """The headings of typer's own help."""
    from typer import rich_utils

    rich_utils.ARGUMENTS_PANEL_TITLE = say("help-arguments")
    rich_utils.OPTIONS_PANEL_TITLE = say("help-options")
    rich_utils.COMMANDS_PANEL_TITLE = say("help-commands")
    rich_utils.DEFAULT_STRING = say("help-default")
    rich_utils.ENVVAR_STRING = say("help-variable")
    rich_utils.REQUIRED_LONG_STRING = say("help-required")
