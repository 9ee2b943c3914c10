"""A tree dozes only where whoever begins to work tells it so; each other reading has a shortest way to sleep through a task."""

from __future__ import annotations

from models.checker import Found, explore
from models.doze_model import UNTOLD, Model


def explored(model: Model) -> Found:
    return explore(model.first, model.steps, model.wrong, model.ended)


def test_a_supervisor_that_does_not_wait_between_its_write_and_its_look_sleeps_through_a_task() -> None:
    found = explored(Model(waits=False))
    assert found.problem == UNTOLD, found


def test_a_worker_that_asks_without_saying_so_starts_after_the_look() -> None:
    """The answer is there, the worker has looked, and is held up before it notes the start."""
    found = explored(Model(tells=False))
    assert found.problem == UNTOLD, found
    assert "it looks" in found.trace and "it starts" not in found.trace


def test_with_the_wait_and_the_word_no_task_runs_under_a_supervisor_that_was_not_told() -> None:
    found = explored(Model())
    assert not found.problem, found
    assert found.states > 100
