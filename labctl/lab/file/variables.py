"""Compose's variables in values: $NAME, ${NAME}, ${NAME:-default} and their like; $$ is a dollar."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_VARIABLE: Final = re.compile(
    rf"\$(?:(?P<escaped>\$)|(?P<bare>{_NAME})"
    rf"|\{{(?P<name>{_NAME})(?:(?P<operator>:?[-?+])(?P<word>[^${{}}]*))?\}}|(?P<bad>))"
)


def interpolate(text: str, environment: Mapping[str, str]) -> str:
    """Replace the variables in one value.

    Unlike Compose, a variable that is not set and has no default is refused: an empty
    password or address would only fail later.  Defaults do not nest.  Raises ValueError.
    """
    return _VARIABLE.sub(lambda match: _replacement(match, environment), text) if "$" in text else text


def _replacement(match: re.Match[str], environment: Mapping[str, str]) -> str:
    if match["escaped"]:
        return "$"
    name = match["bare"] or match["name"]
    if name is None:
        raise ValueError("a single $ begins a variable such as ${NAME:-default}; write $$ for a dollar")
    operator, word, value = match["operator"] or "", match["word"] or "", environment.get(name)
    given = value if (value or not operator.startswith(":")) else None
    if operator.endswith("+"):
        return word if given is not None else ""
    if given is not None:
        return given
    if operator.endswith("-"):
        return word
    reason = f": {word}" if word else f"; set it, or write ${{{name}:-default}}"
    raise ValueError(f"the environment variable {name} is not set{reason}")
