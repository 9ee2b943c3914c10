"""Shared by all examinations: a check runs, or is not claimed, or is excused; none is dropped in silence."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, ClassVar

import pytest

HOME = __name__.rpartition(".")[0]
"""The package of the checks: a `test_…` defined in one of its modules is a promise of a contract."""


class Excused(UserWarning):
    """A promise that a plugin is known to break; pytest prints it in the summary of every run."""


class Examination:
    """Base of all contracts.

    `excused` maps the name of a check to the reason why this part does not keep that promise: the check still runs, its
    failure is expected, every run prints the reason in its summary, and an excused promise that holds is a failure.
    """

    excused: ClassVar[Mapping[str, str]] = {}
    _agreed: ClassVar[Mapping[str, Any]] = {}
    """Check -> what the attribute of that name must be: the check, its excused copy, or None if the check is skipped.
    """

    def __init_subclass__(cls, **more: Any) -> None:
        """Refuse a subclass that drops or replaces a check, or excuses one without a reason."""
        super().__init_subclass__(**more)
        if cls.__module__.startswith(HOME):
            return  # a part of a contract, which does not claim anything yet
        checks = {name: check for base in reversed(cls.__mro__) for name, check in _checks_of(base)}
        for name in cls.excused:
            if name not in checks:
                raise TypeError(f"{cls.__name__}.excused names {name!r}, which is no check of the contract")
            if not str(cls.excused[name] or "").strip():
                raise TypeError(f"{cls.__name__}.excused[{name!r}] gives no reason; say why it is not promised")
        agreed: dict[str, Any] = {}
        for name, check in checks.items():
            found = getattr(cls, name)
            if found is not check and found is not cls._agreed.get(name, check):
                raise TypeError(
                    f"{cls.__name__}.{name} replaces a check of the contract; give it a name of its own, "
                    f"or say why the promise is not kept: excused = {{{name!r}: reason}}"
                )
            if not cls._asks(check):
                agreed[name] = None
            elif name in cls.excused:
                agreed[name] = _expected_to_fail(check, cls.excused[name])
            else:
                agreed[name] = check
            if found is not agreed[name]:
                setattr(cls, name, agreed[name])
        cls._agreed = agreed

    @classmethod
    def _asks(cls, check: Callable[..., Any]) -> bool:
        """True if the claims of this part include the promise of a check."""
        return True

    @pytest.fixture(autouse=True)
    def _say_what_is_excused(self, request: pytest.FixtureRequest) -> None:
        """Tell an excuse in each run, in the summary of the warnings."""
        name = getattr(request.node, "originalname", None) or request.node.name
        reason = self.excused.get(name)
        if reason is not None:
            warnings.warn(f"{type(self).__name__}.{name} is excused: {reason}", Excused, stacklevel=2)

    def test_no_check_was_dropped(self) -> None:
        """Every promise of the contract is still the check that it was when the class was made."""
        for name, agreed in type(self)._agreed.items():
            assert getattr(type(self), name, None) is agreed, f"{name} was replaced or deleted"


def _checks_of(base: type) -> list[tuple[str, Any]]:
    if not base.__module__.startswith(HOME):
        return []
    return [(name, value) for name, value in vars(base).items() if name.startswith("test_")]


def _expected_to_fail(check: Any, reason: str) -> Any:
    """A copy of the check with the mark; the original stays unchanged for other parts."""
    copy: Any = FunctionType(check.__code__, check.__globals__, check.__name__, check.__defaults__, check.__closure__)
    copy.__dict__.update(check.__dict__)
    copy.__doc__, copy.__annotations__ = check.__doc__, check.__annotations__
    marks = list(getattr(check, "pytestmark", ()))
    copy.pytestmark = list(marks)
    several = any(mark.name == "parametrize" for mark in marks)  # some values may pass
    return pytest.mark.xfail(reason=reason, strict=not several)(copy)
