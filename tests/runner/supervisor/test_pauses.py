"""Pauses of the supervisor: they grow, have an end, and never overflow."""

from __future__ import annotations

import pytest

from regiment_runner.supervisor.pauses import FIRST, LONGEST, Pauses, grown


@pytest.mark.parametrize(("before", "middle"), [(0, 1.0), (1, 2.0), (5, 32.0), (6, 60.0), (2000, 60.0), (10**9, 60.0)])
def test_a_pause_doubles_up_to_its_longest_also_after_any_number_of_failures(before: int, middle: float) -> None:
    assert 0.8 * middle <= grown(1.0, 60.0, before) <= 1.2 * middle


def test_refusals_are_counted_until_one_try_goes_well() -> None:
    pauses = Pauses()
    first = [pauses.refused() for _ in range(3)]
    assert pauses.refusals == 3 and FIRST * 0.8 <= first[0] <= FIRST * 1.2 < first[2] <= LONGEST
    pauses.over()
    assert (pauses.refusals, pauses.until) == (0, 0.0)
