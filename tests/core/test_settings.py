"""Records with a rule beside each field."""

from __future__ import annotations

import pytest

from regiment import Backoff, Timeouts, WorkerConfig
from regiment.errors import ConfigError
from regiment.settings import Settings, field, rule


class Shelf(Settings):
    width: int = field(rule(lambda value: value > 0, "a width above 0"), default=1)
    label: str = ""
    inner: Backoff = field(rule(lambda value: isinstance(value, Backoff), "Backoff(…)"), default=Backoff())


def test_a_problem_names_the_record_the_field_what_was_seen_and_what_was_expected() -> None:
    assert Shelf(width=-1).check() == ["shelf.width is -1; expected a width above 0"]
    assert Shelf().check() == []


def test_the_problems_of_a_record_in_a_record_are_found_too() -> None:
    assert [one.split(" is ")[0] for one in Shelf(-1, inner=Backoff(first=-1)).check()] == [
        "shelf.width",
        "backoff.first",
    ]


def test_a_field_without_a_default_must_be_given() -> None:
    with pytest.raises(ConfigError, match='WorkerConfig needs the field "name"'):
        WorkerConfig()  # type: ignore[call-arg]


def test_records_are_equal_by_value_and_cannot_be_changed() -> None:
    assert Timeouts(3) == Timeouts(3) != Timeouts(4) and hash(Timeouts(3)) == hash(Timeouts(3))
    assert repr(Timeouts(3)) == "Timeouts(hard=3, soft=None, grace=1.0)"
    with pytest.raises(AttributeError, match=r"Timeouts is frozen; use \.replace\(hard=…\)"):
        Timeouts(3).hard = 4  # type: ignore[misc]
    with pytest.raises(ConfigError, match=r'Timeouts has no field "hrad"\. Did you mean "hard"\?'):
        Timeouts(3).replace(hrad=1)
    with pytest.raises(ConfigError, match=r'Timeouts has no field "xyzzy"\. It has: hard, soft, grace$'):
        Timeouts(3).replace(xyzzy=1)
