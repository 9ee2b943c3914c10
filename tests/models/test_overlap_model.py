"""Limits of a rolling deploy: what each weaker way to write them comes to, and that the one that is built holds."""

from __future__ import annotations

from typing import Any

import pytest

from models.checker import Found, explore
from models.overlap_model import FREE, MORE, STAYS, Model


def explored(*limits: int, **rules: Any) -> Found:
    model = Model(limits, **rules)
    return explore(model.first, model.steps, model.wrong, model.ended)


def test_where_the_newest_alone_decides_an_old_tree_runs_more_than_it_allows() -> None:
    found = explored(1, FREE, tighter=False, kills=0, stalls=0)
    assert found.problem == MORE and found.trace[-1] == "1 writes 9"


def test_without_a_lock_one_who_is_slow_takes_a_limit_away() -> None:
    assert explored(FREE, 1, locks=False, kills=0, stalls=0).problem == MORE


def test_who_stood_still_and_does_not_read_the_record_again_leaves_the_limit_away_until_somebody_looks() -> None:
    assert explored(FREE, 1, checks=False, looks=False, kills=0).problem == STAYS
    assert not explored(FREE, 1, looks=False, kills=0).problem


def test_who_is_killed_before_it_writes_is_put_right_by_the_next_look_alone() -> None:
    assert explored(1, FREE, looks=False, stalls=0).problem == STAYS


@pytest.mark.parametrize("limits", [(1, FREE), (FREE, 1), (3, 1, 2), (FREE, FREE, 1)])
def test_with_all_three_no_tree_at_work_sees_more_than_it_allows_and_what_counts_is_there_at_the_end(
    limits: tuple[int, ...],
) -> None:
    found = explored(*limits)
    assert not found.problem, found
    assert found.states > 100
