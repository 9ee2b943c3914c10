"""W5, W6, W9, W10: how a flow ends, is cancelled and retried; each weaker reading has a shortest way to break it."""

from __future__ import annotations

from typing import Any

import pytest

from models.checker import Found, explore
from models.flow_model import DEAD_STEP, FORGOTTEN, LATE_END, LOST_CANCEL, Model


def explored(**rules: Any) -> Found:
    model = Model(**rules)
    return explore(model.first, model.steps, model.wrong, model.ended)


def test_a_first_ending_that_stays_hides_that_a_retried_flow_has_succeeded() -> None:
    """W6."""
    assert explored(success_overrides=False, retries=1).problem == FORGOTTEN


def test_a_retry_that_drops_the_record_loses_a_failure() -> None:
    """W10: the program dies after it; or another member fails before it."""
    assert explored(drops="first", retries=1, deaths=1).problem == DEAD_STEP
    assert explored(drops="last", fails=2, retries=1).problem == DEAD_STEP


def test_a_failure_that_only_the_latch_tells_is_seen_once() -> None:
    """W5."""
    assert explored(failure_keeps=False, drops="first", fails=2, retries=1).problem == DEAD_STEP


def test_a_cancel_that_shuts_nothing_ends_in_success() -> None:
    """W9."""
    assert explored(cancel_shuts=False, fails=0, cancels=1).problem in (LOST_CANCEL, LATE_END)


@pytest.mark.parametrize(
    "events",
    [
        {"fails": 0},
        {},
        {"fails": 2},
        {"fails": 0, "callback_fails": 1},
        {"fails": 0, "cancels": 1},
        {"fails": 0, "cancels": 1, "deaths": 1},
        {"cancels": 1, "deaths": 1},
        {"retries": 1, "deaths": 1},
        {"fails": 2, "retries": 2, "deaths": 1},
        {"retries": 2, "cancels": 1, "callback_fails": 1},
    ],
)
def test_with_the_rules_every_way_ends_as_it_must(events: dict[str, int]) -> None:
    found = explored(**events)
    assert not found.problem, found
