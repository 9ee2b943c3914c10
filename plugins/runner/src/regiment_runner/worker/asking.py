"""What an exception is, asked so that it cannot refuse: its metaclass and its properties are the user's code, too."""

from __future__ import annotations

from typing import TypeGuard, TypeVar

T = TypeVar("T", bound=BaseException)
_mro, _name = type.__dict__["__mro__"].__get__, type.__dict__["__name__"].__get__


def name_of(error: BaseException) -> str:
    """The name of its class, as the interpreter knows it; never raises."""
    name: str = _name(type(error))
    return name


def is_a(error: BaseException | None, wanted: type[T] | tuple[type[T], ...]) -> TypeGuard[T]:
    """True if it is an instance of a wanted class. Where a class raises instead of an answer, ancestry decides."""
    try:
        return isinstance(error, wanted)
    except BaseException:
        known: tuple[type, ...] = wanted if isinstance(wanted, tuple) else (wanted,)
        return any(one is cls for one in _mro(type(error)) for cls in known)


def alone_in(error: BaseException) -> BaseException | None:
    """The only exception of a group; None for a group of several, and for what is no group."""
    try:
        held = BaseExceptionGroup.exceptions.__get__(error)
    except TypeError:
        return None
    return held[0] if len(held) == 1 else None
