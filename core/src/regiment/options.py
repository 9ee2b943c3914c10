"""The options of a part, held against the signature of its class."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Mapping
from typing import Any

from regiment import masking
from regiment.contracts import Secret
from regiment.errors import nearest


def check_options(what: str, cls: Any, options: Mapping[str, Any]) -> list[str]:
    """Problems of a part's options, held against the signature of its `__init__` and its own `check`."""
    parameters = inspect.signature(cls).parameters
    known: Mapping[str, Any] = options if any(p.kind is p.VAR_KEYWORD for p in parameters.values()) else parameters
    problems = [
        f'{what} has no option "{option}".{nearest(option, known)} It has: {", ".join(known) or "none"}'
        for option in options
        if option not in known
    ]
    for name, parameter in parameters.items():
        several = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if parameter.default is parameter.empty and not several and name not in options:
            problems.append(f'{what} needs the option "{name}"')
    hints = _hints(cls)
    for option, value in options.items():
        expected = _plain_types(hints.get(option))
        if expected and not isinstance(value, expected):
            shown = "…" if is_secret(cls, option) else masking.shown(value)
            names = " or ".join("None" if t is type(None) else t.__name__ for t in expected)
            problems.append(f"{what}: option {option} is {shown}; expected {names}")
    own = getattr(cls, "check", None)
    if not problems and callable(own):
        problems += own(dict(options))
    return problems


def is_secret(cls: Any, option: str) -> bool:
    """Whether the option is annotated `Annotated[…, Secret]`."""
    return _secret(_hints(cls).get(option))


def _hints(cls: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls.__init__, include_extras=True)
    except Exception:  # a name that only type checkers know: nothing can be said about the types then
        return {}


def _plain_types(hint: Any) -> tuple[type, ...]:
    """The plain types a hint allows; empty if it allows anything else besides."""
    while getattr(hint, "__metadata__", None):
        hint = hint.__origin__
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    if any(part not in (str, int, float, bool, bytes, type(None)) for part in parts):
        return ()
    return (*parts, int) if float in parts else parts


def _secret(hint: Any) -> bool:
    """Whether a hint, or a part of it (`Annotated[str, Secret] | None`), says so."""
    return Secret in getattr(hint, "__metadata__", ()) or any(map(_secret, typing.get_args(hint)))
