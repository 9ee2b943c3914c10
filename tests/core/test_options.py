"""Options of parts: held against the annotations of the class, containers and what is in them included."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import pytest

from regiment.contracts import Secret
from regiment.options import check_options


class Part:
    """A part with an option of each kind."""

    def __init__(
        self,
        names: list[str] = [],
        hosts: Sequence[str] = (),
        pair: tuple[str, int] = ("a", 1),
        many: tuple[int, ...] = (),
        weights: Mapping[str, float] = {},
        deep: dict[str, list[int | None]] | None = None,
        key: Annotated[list[str] | None, Secret] = None,
        number: float = 1.0,
        bare: list = [],  # type: ignore[type-arg]
        call: Callable[[], int] | None = None,
        anything: Any = None,
    ) -> None: ...


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"names": [1, 2]}, "option names is [1, 2]; expected list[str]"),
        ({"names": "abc"}, "option names is 'abc'; expected list[str]"),
        ({"names": ["a", None]}, "expected list[str]"),
        ({"hosts": "abc"}, "expected collections.abc.Sequence[str]"),
        ({"hosts": (b"a",)}, "expected collections.abc.Sequence[str]"),
        ({"pair": ["a", "b"]}, "expected tuple[str, int]"),
        ({"pair": ["a"]}, "expected tuple[str, int]"),
        ({"many": [1, "2"]}, "expected tuple[int, ...]"),
        ({"weights": {"a": "heavy"}}, "expected collections.abc.Mapping[str, float]"),
        ({"weights": {1: 1.0}}, "expected collections.abc.Mapping[str, float]"),
        ({"weights": [("a", 1.0)]}, "expected collections.abc.Mapping[str, float]"),
        ({"deep": {"a": [1, "b"]}}, "expected dict[str, list[int | None]] or None"),
        ({"key": ["a", 7]}, "option key is …; expected list[str] or None"),
        ({"number": "soon"}, "option number is 'soon'; expected float or int"),
        ({"bare": "abc"}, "option bare is 'abc'; expected list"),
    ],
)
def test_an_option_that_does_not_fit_its_annotation_is_refused_in_words(options: dict[str, Any], expected: str) -> None:
    (problem,) = check_options("part 'p'", Part, options)
    assert expected in problem, problem


def test_an_option_that_fits_its_annotation_is_taken_and_what_no_annotation_says_is_not_judged() -> None:
    good: list[dict[str, Any]] = [
        {"names": [], "hosts": ["a"], "pair": ("a", 1), "many": (1, 2), "weights": {"a": 1, "b": 2.5}},
        {"names": ("a", "b"), "pair": ["a", 1], "many": [], "deep": {"a": [1, None]}, "key": ["a"]},
        {"deep": None, "key": None, "bare": [1, "a"], "call": "no function", "anything": object()},
    ]
    assert [check_options("part 'p'", Part, options) for options in good] == [[], [], []]
