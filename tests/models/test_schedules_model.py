"""Firing by a row's version, explored completely; and why an id that is remembered for a time is not enough."""

from __future__ import annotations

import pytest

from models.checker import explore
from models.schedules_model import State, ended, steps, wrong


@pytest.mark.parametrize("deaths", [0, 1, 2])
def test_the_version_of_a_row_fires_each_tick_once_however_late_a_request_comes(deaths: int) -> None:
    found = explore(State(deaths=deaths), steps("turn"), wrong, ended)
    assert not found.problem, found.trace
    assert found.states > 300


def test_an_id_that_is_remembered_for_a_time_fires_a_tick_twice() -> None:
    found = explore(State(), steps("id"), wrong, ended)
    assert "fired twice" in found.problem and len(found.trace) < 12


def test_a_late_push_that_is_void_loses_ticks() -> None:
    found = explore(State(), steps("until"), wrong, ended)
    assert "never fired" in found.problem
