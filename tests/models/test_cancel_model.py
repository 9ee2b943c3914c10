"""O1: a notice is taken off after the settlement of an end; each other reading has a shortest way to run what was cancelled."""

from __future__ import annotations

from models.cancel_model import LATE, STAYS, Model
from models.checker import Found, explore


def explored(clears: str) -> Found:
    model = Model(clears)
    return explore(model.first, model.steps, model.wrong, model.ended)


def test_a_notice_that_goes_before_the_settlement_lets_the_task_run_after_a_death() -> None:
    found = explored("before")
    assert found.problem == LATE
    assert found.trace == ("post", "lease", "met", "clear", "death", "lease", "start")


def test_a_notice_that_goes_with_a_retry_lets_the_retry_run() -> None:
    found = explored("any")
    assert found.problem == LATE
    assert found.trace[-4:] == ("settle", "clear", "lease", "start")


def test_a_notice_that_goes_only_where_it_was_met_stays_for_what_ended_meanwhile() -> None:
    assert explored("met").problem == STAYS


def test_a_notice_that_goes_after_the_settlement_of_an_end_is_met_and_goes() -> None:
    found = explored("settled")
    assert not found.problem, found
