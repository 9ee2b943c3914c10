"""R19: a verdict needs to know who is guilty; each weaker reading has a shortest way to condemn an innocent, or to no end."""

from __future__ import annotations

from typing import Any

import pytest

from models.checker import Found, explore
from models.verdict_model import ENDLESS, INNOCENT, Model


def explored(**rules: Any) -> Found:
    model = Model(**rules)
    return explore(model.first, model.steps, model.wrong, model.ended)


def test_to_condemn_the_first_that_is_late_condemns_an_innocent() -> None:
    found = explored(verdict="first", tasks=2)
    assert found.problem == INNOCENT
    assert found.trace[-2:] == ("the limit of 1 passes", "the supervisor looks")


def test_no_verdict_only_where_several_are_late_in_one_look_condemns_who_is_late_alone() -> None:
    found = explored(verdict="late", tasks=2)
    assert found.problem == INNOCENT
    assert found.trace[-2:] == ("the limit of 1 passes", "the supervisor looks")


def test_suspects_that_do_not_run_alone_are_suspects_for_ever() -> None:
    assert explored(alone=False, tasks=2).problem == ENDLESS


@pytest.mark.parametrize("tasks", [1, 2, 3, 4, 5])
def test_whoever_ran_is_a_suspect_and_runs_once_more_alone_finds_the_guilty_one(tasks: int) -> None:
    found = explored(tasks=tasks)
    assert not found.problem, found
