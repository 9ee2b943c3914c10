"""The options of a part, held against the signature of its class."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from regiment import masking
from regiment.contracts import Secret
from regiment.errors import nearest


def check_options(what: str, cls: Any, options: Mapping[str, Any]) -> list[str]:
    """Problems of a part's options, held against the signature of its `__init__` and its own `check`."""
    parameters = inspect.signature(cls).parameters
    known: Mapping[str, Any] = options if any(p.kind is p.VAR_KEYWORD for p in parameters.values()) else parameters
    has = f"It has: {', '.join(known) or 'none'}"
    unknown = [option for option in options if option not in known]
    problems = [f'{what} has no option "{option}".{nearest(option, known)} {has}' for option in unknown]
    for name, parameter in parameters.items():
        several = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if parameter.default is parameter.empty and not several and name not in options:
            problems.append(f'{what} needs the option "{name}"')
    hints = _hints(cls)
    for option, value in options.items():
        if not _fits(value, hint := hints.get(option)):
            shown = "…" if is_secret(cls, option) else masking.shown(value)
            problems.append(f"{what}: option {option} is {shown}; expected {_named(hint)}")
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


_ROW, _PLAIN = (list, tuple), (str, int, bool, bytes, type(None), dict)
_ALLOWED: dict[Any, tuple[type, ...]] = {
    **{one: (one,) for one in _PLAIN},
    float: (float, int),
    Mapping: (dict,),
    **dict.fromkeys((*_ROW, Sequence), _ROW),
}
"""What a hint allows. Options that have crossed to another process have lists where there were tuples."""


def _parts(hint: Any) -> Sequence[Any]:
    """The hints of a union, or of what is annotated; empty for any other."""
    if (kind := typing.get_origin(hint)) is typing.Annotated:
        return (hint.__origin__,)
    return typing.get_args(hint) if kind in (typing.Union, types.UnionType) else ()


def _fits(value: Any, hint: Any) -> bool:
    """Whether a hint allows a value, and what is in it; a hint of anything but plain types and containers allows all."""
    if parts := _parts(hint):
        return any(_fits(value, part) for part in parts)
    kind, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
    fits = kind not in _ALLOWED or isinstance(value, _ALLOWED[kind])
    if not fits or kind not in _ALLOWED or not inner:
        return fits
    if isinstance(value, dict):
        return all(_fits(key, inner[0]) and _fits(one, inner[1]) for key, one in value.items())
    row = inner if kind is tuple and inner[-1] is not ... else inner[:1] * len(value)
    return len(row) == len(value) and all(map(_fits, value, row))


def _named(hint: Any) -> str:
    """What a hint allows, for people."""
    if parts := _parts(hint):
        return " or ".join(map(_named, parts))
    return {float: "float or int", type(None): "None"}.get(hint, inspect.formatannotation(hint))


def _secret(hint: Any) -> bool:
    """Whether a hint, or a part of it (`Annotated[str, Secret] | None`), says so."""
    return Secret in getattr(hint, "__metadata__", ()) or any(map(_secret, typing.get_args(hint)))
