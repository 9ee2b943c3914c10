"""How a call of Celery lies in a message, and becomes a call again."""

from __future__ import annotations

from typing import Any

import pytest

from regiment.errors import ArgumentsError
from regiment_celery.values import Call, packed, unpacked


def plain(a: int, b: int = 2) -> Any: ...
def starred(a: int, *rest: int, key: int = 0) -> Any: ...
def only(a: int, b: int, /, c: int = 3, **more: int) -> Any: ...
def bound(self: Any, a: int) -> Any: ...


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "message", "call"),
    [
        (plain, (1,), {}, {"a": 1}, ((1,), {})),
        (plain, (1,), {"b": 5}, {"a": 1, "b": 5}, ((1, 5), {})),
        (plain, (), {"b": 5, "a": 1}, {"a": 1, "b": 5}, ((1, 5), {})),
        (starred, (1, 2, 3), {"key": 4}, {"a": 1, "*": [2, 3], "key": 4}, ((1, 2, 3), {"key": 4})),
        (only, (1, 2), {"x": 9}, {"a": 1, "b": 2, "x": 9}, ((1, 2), {"x": 9})),
    ],
)
def test_a_call_comes_back_from_its_message(function: Any, args: Any, kwargs: Any, message: Any, call: Any) -> None:
    known = Call(function, "task 't'", bound=False)
    assert known.bind(args, kwargs) == message and known.call_of(message) == call


def test_a_call_that_was_sent_by_name_alone_reaches_the_same_function() -> None:
    message = packed((1, 2), {"c": 4})
    assert message == {"*": [1, 2], "c": 4} and unpacked(message) == ((1, 2), {"c": 4})
    assert Call(only, "t", bound=False).call_of(message) == ((1, 2), {"c": 4})
    with pytest.raises(ArgumentsError, match=r"kwargs has the name '\*'; expected names of parameters"):
        packed((), {"*": 1})


def test_the_value_of_what_comes_before_is_the_first_argument() -> None:
    assert Call(plain, "t", bound=False).call_of({"*before": 7, "*": [8]}) == ((7, 8), {})
    assert Call(plain, "t", bound=False).call_of({"*before": 7, "b": 8}) == ((7, 8), {})


def test_a_call_that_does_not_fit_is_refused_with_what_fits() -> None:
    with pytest.raises(ArgumentsError, match=r"task 't': missing a required argument: 'a'. It takes: \(a: 'int'\)"):
        Call(bound, "task 't'", bound=True).bind((), {})
    with pytest.raises(ArgumentsError, match="has bind=True and takes no argument"):
        Call(lambda: None, "task 't'", bound=True)
    with pytest.raises(ArgumentsError, match="got two values for 'a'"):
        Call(only, "task 't'", bound=False).bind((1, 2), {"a": 5})
