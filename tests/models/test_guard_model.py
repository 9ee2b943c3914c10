"""One who is told when the next task is due is enough, if whoever stops waiting sees to it that another one is told."""

from __future__ import annotations

from models.checker import Found, explore
from models.guard_model import UNGUARDED, Model


def explored(model: Model) -> Found:
    return explore(model.first, model.steps, model.wrong, model.ended)


def test_one_that_was_told_and_takes_another_task_leaves_a_due_time_to_nobody_unless_it_hands_over() -> None:
    found = explored(Model(hands_over=False))
    assert found.problem == UNGUARDED, found


def test_one_that_was_told_and_dies_leaves_a_due_time_to_nobody_unless_its_keeper_passes_it_on() -> None:
    found = explored(Model(passes_on=False))
    assert found.problem == UNGUARDED, found


def test_with_both_somebody_looks_in_time_whatever_is_pushed_taken_and_killed() -> None:
    for tells in (1, 2):
        found = explored(Model(tells=tells))
        assert not found.problem, found
        assert found.states > 1000
