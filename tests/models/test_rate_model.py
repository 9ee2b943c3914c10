"""L6: what a rate lets go when each lease comes late, and how each weaker reading goes wrong. Times are quarters of a step of the rate."""

from __future__ import annotations

import itertools

STEP = 4
MADE_UP = 3
LATE = range(4)
PAUSES = (0, 1, 3, 4, 10, 36)
"""How late a lease is: as a busy machine makes it; also longer, for nothing was there to be leased."""


def leases(late: tuple[int, ...], makes_up: int, burst: int = 1, forgets: bool = False) -> list[int]:
    """When tasks are leased, each so late after its rate lets it go. `forgets`: a rate whose time is over is forgotten, and
    one that nobody knows has all that may be made up for.
    """
    tat, now, times = 0, 0, []
    for pause in late:
        now = max(now, tat - (burst - 1) * STEP) + pause
        times.append(now)
        known = now - makes_up if forgets and tat <= now else tat
        tat = max(known, now - makes_up) + STEP
    return times


def test_a_rate_that_makes_up_for_nothing_becomes_slower_by_what_each_is_late() -> None:
    assert leases((1,) * 8, makes_up=0)[-1] == 7 * STEP + 8


def test_a_rate_that_makes_up_for_a_whole_step_lets_two_go_at_once_after_a_pause() -> None:
    assert leases((0, 36, 0), makes_up=STEP)[1:] == [40, 40]


def test_a_rate_that_is_forgotten_when_its_time_is_over_is_four_times_as_fast() -> None:
    assert leases((0,) * 9, makes_up=MADE_UP, forgets=True)[-1] == 8 * STEP / 4


def test_what_is_late_by_up_to_three_quarters_of_a_step_puts_off_nothing_that_follows() -> None:
    for late in itertools.product(LATE, repeat=5):
        assert leases(late, MADE_UP) == [n * STEP + one for n, one in enumerate(late)]


def test_never_more_go_than_the_burst_and_three_quarters_and_what_the_time_lets_go() -> None:
    for burst in (1, 2, 3):
        for late in itertools.product(PAUSES, repeat=5):
            times = leases(late, MADE_UP, burst)
            for first, last in itertools.combinations(range(len(times)), 2):
                assert (last - first + 1) * STEP <= burst * STEP + MADE_UP + times[last] - times[first], (burst, late)


def test_of_a_rate_without_burst_no_two_come_closer_than_a_quarter_of_a_step() -> None:
    for late in itertools.product(PAUSES, repeat=5):
        assert all(b - a >= STEP - MADE_UP for a, b in itertools.pairwise(leases(late, MADE_UP))), late
