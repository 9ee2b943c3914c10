"""The outcomes of an attempt, and who is told of each."""

from __future__ import annotations

from regiment import outcome
from regiment.worker import HOOKS, Worker


def kinds() -> set[str]:
    return {value for name, value in vars(outcome).items() if name.isupper() and isinstance(value, str)}


def test_every_handler_is_a_hook_that_a_worker_may_define() -> None:
    assert set(outcome.HANDLERS) <= kinds() and set(outcome.HANDLERS.values()) <= set(HOOKS)
    assert all(callable(getattr(Worker, hook)) for hook in HOOKS)


def test_what_counts_as_a_run_is_an_outcome_and_a_requeue_is_not_among_it() -> None:
    assert outcome.COUNTED <= kinds() and outcome.REQUEUE not in outcome.COUNTED


def test_an_outcome_shows_its_kind_and_no_value() -> None:
    assert repr(outcome.Outcome(outcome.SUCCESS, value="secret")) == "<Outcome success>"
