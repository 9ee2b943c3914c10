"""Parts of Sergeant's inside that a project cannot have here: asking for one is an error that says what to write."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from regiment import RegimentError


class Refused(RegimentError, AttributeError):
    """What Sergeant has and regiment does not, and what to do instead."""


def refusing(module: str, instead: str) -> Callable[[str], NoReturn]:
    """The `__getattr__` of a module of which nothing can be had."""

    def get(name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise Refused(f"sergeant.{module}.{name} cannot be had here; {instead}")

    return get
