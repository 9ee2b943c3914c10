"""The examination of a killer: it strikes late tasks and no others, once, and never after the end.

class TestMine(KillerContract):
    @pytest.fixture
    def killer(self): return MyKiller()
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import pytest

from regiment.contracts import Killer, Place, Reading
from regiment_runner.shared import page
from regiment_testing.contracts.examination import Examination
from regiment_testing.contracts.striking import Bed

LATE = 1_000_000_000


class Watched:
    """A worker as its supervisor sees it; it does nothing but note strikes."""

    def __init__(self, *readings: Reading) -> None:
        self.now, self.obeys = list(readings), True
        self.softly: list[tuple[int, int]] = []
        self.condemned: list[tuple[int, int]] = []
        self.killed: list[tuple[int, int, str]] = []

    def readings(self) -> Iterable[Reading]:
        """The readings that it was given."""
        return list(self.now)

    def soft(self, slot: int, number: int) -> None:
        """Note it; the page remembers the number."""
        self.softly.append((slot, number))
        self.now = [reading._replace(struck=number) if reading.slot == slot else reading for reading in self.now]

    def condemn(self, slot: int, number: int) -> bool:
        """Note it."""
        self.condemned.append((slot, number))
        return self.obeys

    def condemn_all(self, late: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
        """Note them."""
        return [one for one in late if self.condemn(*one)]

    def kill(self, slot: int, number: int, reason: str) -> None:
        """Note it."""
        self.killed.append((slot, number, reason))


def reading(slot: int = 0, number: int = 7, soft: int = 0, hard: int = 0, struck: int = 0) -> Reading:
    """A slot with a task that started one second before the limits begin to count."""
    return Reading(slot, number, page.STARTED, 1, soft, hard, struck)


class KillerContract(Examination):
    """Subclass it, give the fixture `killer`, and every promise of `regiment.contracts.Killer` is examined.

    `strikes` is the number of strikes that are sent as tasks end (row 11 of the fault matrix).
    """

    strikes = 200

    @pytest.fixture
    def killer(self) -> Killer:
        raise NotImplementedError("give the fixture `killer`: the one to examine")

    @pytest.fixture
    def bed(self, killer: Killer, tmp_path: Path) -> Iterator[Callable[[Place], Bed]]:
        """Makes a test bed for a place; restores the signal handler."""
        before = signal.getsignal(page.SOFT_SIGNAL)
        made: list[Bed] = []

        def make(place: Place) -> Bed:
            made.append(Bed(tmp_path / f"page{len(made)}", killer, place))
            return made[-1]

        yield make
        signal.signal(page.SOFT_SIGNAL, before)

    def test_it_has_the_verbs_of_the_contract(self, killer: Killer) -> None:
        """It declares at least one place where it can soften or end a task."""
        assert isinstance(killer, Killer)
        assert killer.softens | killer.ends, "it can do nothing"
        assert killer.softens | killer.ends <= set(get_args(Place))

    # In the supervisor

    def test_what_is_not_late_is_left_alone(self, killer: Killer) -> None:
        """Its next look is no later than the first deadline that it watches."""
        for one in (reading(soft=LATE), reading(hard=LATE), reading(soft=LATE, hard=LATE + 1)):
            view = Watched(one)
            wake = killer.watch(view, LATE - 1)
            assert not (view.softly or view.condemned or view.killed)
            minded = [one.soft] * bool(killer.softens) + [one.hard] * bool(killer.ends)
            due = min(filter(None, minded), default=None)
            assert due is None or (wake is not None and LATE - 1 < wake <= due)

    def test_without_a_deadline_it_names_no_time(self, killer: Killer) -> None:
        """Then the supervisor sleeps."""
        assert killer.watch(Watched(), LATE) is None

    def test_a_soft_limit_strikes_softly(self, killer: Killer) -> None:
        """A soft limit kills nothing."""
        if not killer.softens:
            pytest.skip("it has no soft strike")
        view = Watched(reading(soft=LATE))
        killer.watch(view, LATE)
        assert view.softly == [(0, 7)]
        assert not view.killed

    def test_the_earliest_deadline_of_all_slots_is_when_it_looks_again(self, killer: Killer) -> None:
        """One late slot must not wait for another one."""
        if not killer.softens:
            pytest.skip("it has no soft strike")
        view = Watched(reading(0, 7, soft=LATE + 50), reading(1, 8, soft=LATE + 20))
        assert killer.watch(view, LATE) == LATE + 20

    def test_the_hard_limit_condemns_and_then_kills_once(self, killer: Killer) -> None:
        """R16: it names the slot first, then kills, with a reason in words."""
        if not killer.ends:
            pytest.skip("it ends nothing")
        view = Watched(reading(soft=LATE - 5, hard=LATE, struck=7))
        killer.watch(view, LATE + 1)
        assert view.condemned == [(0, 7)]
        assert [kill[:2] for kill in view.killed] == [(0, 7)]
        assert view.killed[0][2], "the reason, in words"

    def test_all_that_are_late_in_one_look_are_named_for_the_one_kill(self, killer: Killer) -> None:
        """The killer cannot know which task is guilty: the first by number is as likely an innocent one."""
        if not killer.ends:
            pytest.skip("it ends nothing")
        view = Watched(*(reading(slot, 7 + slot, hard=LATE) for slot in range(3)))
        killer.watch(view, LATE + 1)
        assert [kill[:2] for kill in view.killed] == [(0, 7), (1, 8), (2, 9)]

    def test_a_worker_that_went_on_while_it_was_condemned_is_not_killed(self, killer: Killer) -> None:
        """R16: a strike for one task does not hit the next one."""
        if not killer.ends:
            pytest.skip("it ends nothing")
        view = Watched(reading(hard=LATE))
        view.obeys = False
        killer.watch(view, LATE + 1)
        assert view.condemned and not view.killed

    def test_a_killer_that_ends_nothing_kills_nothing(self, killer: Killer) -> None:
        """However late the task is."""
        if killer.ends:
            pytest.skip("it ends tasks")
        view = Watched(reading(soft=LATE, hard=LATE))
        for late in range(10):
            killer.watch(view, LATE * (late + 1))
        assert not view.condemned and not view.killed

    # In the worker

    def test_a_guard_writes_the_limits_and_lets_through_what_the_task_raises(
        self, killer: Killer, bed: Callable[[Place], Bed]
    ) -> None:
        """The supervisor sees the deadline, and the attempt receives the exception."""
        for place in killer.softens - {"loop"}:
            one = bed(place)
            one.page.start(0, 3, b"", page.now())
            with pytest.raises(ZeroDivisionError), killer.guard(0, 30.0, None):
                assert one.page.words[one.at + page.SOFT] > page.now() + 25e9
                raise ZeroDivisionError

    def test_a_strike_for_an_earlier_task_hits_nobody(self, killer: Killer, bed: Callable[[Place], Bed]) -> None:
        """A strike names its task."""
        for place in killer.softens & {"main"}:
            one = bed(place)
            for number in (1, 2, 3):
                one.page.start(0, number, b"", page.now())
                with killer.guard(0, 30.0, None):
                    one.strike(number - 1)
                    time.sleep(0.01)

    def test_a_strike_after_the_end_of_a_task_hits_no_handler(
        self, killer: Killer, bed: Callable[[Place], Bed]
    ) -> None:
        """R12: neither between the end of the task and the leaving of the guard, nor after it."""
        for place in killer.softens:
            one = bed(place)
            if place == "loop":
                asyncio.run(one.astruck_too_late(5))
            elif place == "main":
                one.struck_too_late(5)
            else:
                wrong: list[BaseException] = []

                def work(one: Bed = one, wrong: list[BaseException] = wrong) -> None:
                    try:
                        one.struck_too_late(5)
                    except BaseException as error:
                        wrong.append(error)

                thread = threading.Thread(target=work)
                thread.start()
                while thread.is_alive():
                    time.sleep(0.001)  # the main thread receives the signals
                assert not wrong

    def test_a_strike_as_the_task_ends_has_one_outcome_and_lands_inside_or_not_at_all(
        self, killer: Killer, bed: Callable[[Place], Bed]
    ) -> None:
        """R12: exactly one of success and timeout, and never an exception in a handler."""
        if not killer.softens:
            pytest.skip("it has no soft strike")
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            for place in killer.softens:
                one = bed(place)
                if place == "loop":
                    counted: Any = asyncio.run(one.astruck_tasks(self.strikes, 0.001))
                else:
                    counted = one.struck_tasks(self.strikes, 0.0005)
                successes, timeouts, wrong = counted
                assert not wrong, wrong[:10]
                assert successes + timeouts == self.strikes
                assert successes and timeouts, f"{successes} successes, {timeouts} timeouts: no race was run"
        finally:
            sys.setswitchinterval(interval)
