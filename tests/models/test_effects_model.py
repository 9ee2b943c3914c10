"""E1 to E6: what a task leaves behind comes with its settlement, once; each weaker reading has a shortest way to break it."""

from __future__ import annotations

from typing import Any

import pytest

from models.checker import Found, explore
from models.effects_model import AGAIN, EARLY, TWICE, UNSETTLED, Model


def explored(**rules: Any) -> Found:
    model = Model(**rules)
    return explore(model.first, model.steps, model.wrong, model.ended)


def test_a_mark_before_its_record_settles_without_it_where_the_keeper_counts_marks() -> None:
    """E2."""
    found = explored(record_first=False, by_record=False, kills=1)
    assert found.problem == UNSETTLED
    assert found.trace[-3:] == ("killed", "the keeper releases", "released")


def test_a_mark_before_its_record_costs_a_second_run_at_most_where_done_is_what_has_a_record() -> None:
    assert not explored(record_first=False, kills=1).problem


def test_a_keeper_that_knows_of_no_records_settles_without_them() -> None:
    assert explored(keeper_knows=False, kills=1).problem == UNSETTLED


def test_an_annex_that_is_emptied_when_it_is_sent_costs_a_batch() -> None:
    """E4."""
    found = explored(emptied="sent", kills=1)
    assert found.problem == AGAIN
    assert explored(emptied="sent", by_record=False, kills=1).problem == UNSETTLED


def test_what_comes_whether_or_not_its_receipt_is_held_comes_twice() -> None:
    """E1: the keeper settles, then the worker's own exchange says the same."""
    assert explored(held_only=False, looks=1).problem == TWICE


def test_a_record_of_what_has_not_been_marked_done_comes_early_where_every_record_counts() -> None:
    assert explored(held_only=False, every=True, kills=1).problem == EARLY


def test_a_record_that_is_left_out_because_it_has_no_room_is_lost() -> None:
    """E5."""
    assert explored(alone=False, full=1).problem == UNSETTLED


def test_counting_all_below_the_highest_settles_without_a_record_that_is_not_seen_yet() -> None:
    """E3."""
    found = explored(by_record=False, looks=1, unseen=True)
    assert found.problem == UNSETTLED
    assert found.trace[-1] == "released"


@pytest.mark.parametrize(
    "faults",
    [
        {},
        {"kills": 1},
        {"losses": 2, "full": 1},
        {"kills": 1, "losses": 1},
        {"kills": 1, "looks": 1, "unseen": True},
        {"looks": 1, "unseen": True, "losses": 1, "tasks": 3},
        {"kills": 1, "looks": 1, "full": 1},
        {"kills": 2, "losses": 1, "full": 1, "looks": 1, "unseen": True, "tasks": 3},
    ],
    ids=lambda faults: "-".join(f"{n}-{name}" for name, n in faults.items()) or "none",
)
def test_with_the_rules_each_is_settled_once_with_what_one_run_left(faults: dict[str, Any]) -> None:
    found = explored(**faults)
    assert not found.problem, found
