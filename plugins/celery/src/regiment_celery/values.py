"""How a call of Celery lies in a message: arguments by name, and what has no name under words that no parameter can have."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from regiment.bounds import seen
from regiment.errors import ArgumentsError
from regiment.pushing import Names

ARGS, BEFORE, LINKS, ERRORS, ERROR = "*", "*before", "*links", "*errors", "*error"
"""Arguments by position; the value of what comes before; what is pushed at the end, good or bad; how another task has failed."""
OURS = (ARGS, BEFORE, LINKS, ERRORS, ERROR)
_NAMED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Failure(NamedTuple):
    """How a task has failed, as its errbacks get it in place of the request: `id`, `task`, `args`."""

    id: str
    task: str
    type: str
    message: str
    traceback: str


class Call(Names):
    """The parameters of a task's function: they are checked where a call is written."""

    def __init__(self, function: Any, what: str, bound: bool) -> None:
        self.what = what
        whole = inspect.signature(function)
        parameters = list(whole.parameters.values())
        if bound:
            if not parameters:
                raise ArgumentsError(f"{what} has bind=True and takes no argument; its first one is the task: self")
            parameters = parameters[1:]
        self.signature = whole.replace(parameters=parameters)
        self.positional = [one.name for one in parameters if one.kind in _NAMED]
        self.star = next((one.name for one in parameters if one.kind == inspect.Parameter.VAR_POSITIONAL), None)
        self.rest = next((one.name for one in parameters if one.kind == inspect.Parameter.VAR_KEYWORD), None)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments as a message has them; `ArgumentsError` for what does not fit."""
        named = dict(self._bound(args, {name: value for name, value in kwargs.items() if name not in OURS}).arguments)
        ours = {name: value for name, value in kwargs.items() if name in OURS}
        if self.star is not None and (more := named.pop(self.star, ())):
            ours[ARGS] = list(more)
        rest = named.pop(self.rest, {}) if self.rest is not None else {}
        if twice := rest.keys() & named.keys():
            raise ArgumentsError(f"{self.what} got two values for {sorted(twice)[0]!r}")
        return {**named, **rest, **ours}

    def _bound(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        try:
            return self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentsError(f"{self.what}: {error}. It takes: {self.signature}") from None

    def check(self, number: int, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """`ArgumentsError` if it cannot be called with `number` values before these."""
        self._bound((*[None] * number, *args), kwargs)

    def call_of(self, kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The call that a message stands for."""
        found = {name: plain(value) for name, value in kwargs.items() if name not in OURS}
        args: list[Any] = [plain(kwargs[BEFORE])] if BEFORE in kwargs else []
        for name in self.positional[len(args) :]:
            if name not in found:
                break
            args.append(found.pop(name))
        return (*args, *kwargs.get(ARGS, ())), found


def unpacked(kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments by position and by name, as far as a message tells without its function."""
    before = [plain(kwargs[BEFORE])] if BEFORE in kwargs else []
    return (*before, *kwargs.get(ARGS, ())), {name: value for name, value in kwargs.items() if name not in OURS}


def name_of(function: Any) -> str:
    """The name that Celery gives to a task: module.function."""
    return f"{function.__module__}.{function.__name__}"


def packed(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """A call of a function that is not known here."""
    for name in kwargs:
        if not isinstance(name, str) or name in OURS:
            raise ArgumentsError(f"kwargs has the name {seen(name)}; expected names of parameters")
    return {**kwargs, **({ARGS: list(args)} if args else {})}


def plain(value: Any) -> Any:
    """The values of a group as the list that Celery gives."""
    return (
        list(value)
        if type(value).__module__ == "regiment_workflows.values" and len(value) >= 0 and not isinstance(value, tuple)
        else value
    )
