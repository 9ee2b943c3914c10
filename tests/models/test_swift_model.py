"""R4 and R6 for the swift exchange of Redis: it compares turn and tasks, and is repeated as an ordinary one."""

from __future__ import annotations

from models.checker import Found, explore
from models.swift_model import LOST, Model


def explored(**variant: object) -> Found:
    model = Model(**variant)  # type: ignore[arg-type]
    return explore(model.first, model.steps, model.wrong, model.ended)


def test_a_swift_exchange_that_compares_the_head_and_repeats_as_an_ordinary_one_loses_nothing() -> None:
    found = explored()
    assert not found.problem, found


def test_without_the_turn_in_the_comparison_a_late_request_settles_what_never_ran() -> None:
    assert explored(compares="tasks").problem == LOST


def test_without_a_comparison_a_late_request_settles_what_never_ran() -> None:
    assert explored(compares="nothing").problem == LOST


def test_a_lost_answer_that_is_asked_for_by_a_swift_exchange_again_never_comes() -> None:
    assert explored(repeats=False).problem
