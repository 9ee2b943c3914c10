"""The rules hold in every state of their models, and each is needed: without it a shortest trace shows what goes wrong."""

from __future__ import annotations

from typing import Any

import pytest

from models.checker import Found, explore
from models.claim_model import Model

LOST, TWICE = "lost: it never runs", "runs twice"


def explored(**rules: Any) -> Found:
    model = Model(**rules)
    return explore(model.first, model.steps, model.wrong, model.ended)


def test_a_removal_over_whichever_connection_there_is_loses_a_task_whose_claim_was_undone() -> None:
    found = explored(tied=False, workers=1)
    assert found.problem == LOST
    assert found.trace == (
        "0 reads the task",
        "0 claims",
        "server killed and back",
        "0 removes",
        "written down",
        "0 is fenced before it starts it",
    )


def test_a_connection_that_outlives_what_was_undone_ties_nothing() -> None:
    """Why it matters that a member closes its connections before it undoes writes."""
    found = explored(closes=False, workers=1)
    assert found.problem == LOST
    assert len(found.trace) == 6


def test_a_repeat_that_has_merely_read_its_claim_loses_the_task_the_same_way() -> None:
    found = explored(affirmed=False, workers=1, losses=1)
    assert found.problem == LOST
    assert found.trace[2:6] == (
        "0 removes and hears no answer",
        "0 reads its claim",
        "server killed and back",
        "0 removes",
    )


@pytest.mark.parametrize(
    "faults",
    [
        {"kills": 2},
        {"kills": 1, "losses": 1},
        {"kills": 1, "deaths": 1},
        {"kills": 1, "backs": 1},
        {"kills": 3, "losses": 2, "deaths": 1, "workers": 1},
        {"kills": 2, "losses": 1, "backs": 1, "deaths": 1, "workers": 1},
    ],
    ids=lambda faults: "-".join(f"{n}-{name}" for name, n in faults.items()),
)
def test_nothing_is_lost_where_one_connection_ties_what_belongs_together(
    faults: dict[str, int],
) -> None:
    found = explored(**faults)
    assert not found.problem, found
    assert found.states > 1000


@pytest.mark.parametrize("claim_lasts", [False, True])
def test_at_most_once_runs_twice_unless_the_removal_too_is_written_down_before(
    claim_lasts: bool,
) -> None:
    found = explored(once=True, workers=1, claim_lasts=claim_lasts)
    assert found.problem == TWICE
    assert "server killed and back" in found.trace


def test_at_most_once_runs_once_where_the_removal_is_waited_for() -> None:
    """It comes after its claim in the same log, so it answers for both."""
    found = explored(once=True, workers=1, removal_lasts=True, kills=3, losses=2)
    assert not found.problem, found
