"""The outbox of a worker, held against R2 (what is done) and R11 (whose slot is free): whatever ends, in whatever order."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from regiment.contracts import Again, Back, Done, Park
from regiment_runner.worker.outbox import Outbox


class Ended:
    """What an outbox asks of an attempt: nothing."""

    def __init__(self, number: int) -> None:
        self.number = number


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("done"), st.integers(0, 3)),
        st.tuples(st.just("again"), st.integers(0, 3)),
        st.tuples(st.just("back"), st.integers(1, 5)),
        st.tuples(st.just("exchange"), st.booleans()),
        st.tuples(st.just("fenced"), st.just(0)),
    ),
    max_size=60,
)
"""Something ends, so many numbers after the last that did; or the store answers (True: it has lost what waited), or refuses."""


def spans(settlements: list[Any]) -> list[int]:
    """Every number that is settled as done."""
    return [n for one in settlements if isinstance(one, Done) for n in range(one.first, one.last + 1)]


@given(STEPS)
def test_each_end_is_settled_once_as_what_it_was_and_a_slot_is_free_when_its_end_is_answered(steps: Any) -> None:
    outbox: Any = Outbox()
    number, done, waiting, gone = 1, list[int](), list[Ended](), list[Back]()
    for step, value in steps:
        if step == "done":
            number += value
            outbox.done(number, number)
            done.append(number)
        elif step == "again":
            number += value
            waiting.append(Ended(number))
            outbox.pending.append((waiting[-1], Again(number, b"", 0.0, 0)))
        elif step == "back":
            gone.append(Back(number, number + value - 1))
            outbox.backs.append(gone[-1])
            number += value - 1
        elif step == "exchange":
            said = outbox.settlements()
            assert spans(said) == done, "R2: exactly what was told to be done"
            assert [one for one in said if isinstance(one, Back)] == gone
            assert [one[0] for one in said if isinstance(one, Again)] == [one.number for one in waiting]
            lost = {one.number for one in waiting} if value else set()
            answered = outbox.answered(lost)
            assert (answered.free, answered.backs) == (waiting, gone), "R11: whatever was answered, and nothing else"
            assert answered.lost == (waiting if value else [])
            done, waiting, gone = [], [], []
        else:
            assert outbox.fenced() == waiting, "R1: its slots are free"
            done, waiting, gone = [], [], []
            assert not outbox.settlements(), "and nothing is said of what was done"
        number += 1


@given(st.permutations(range(1, 9)))
def test_numbers_that_end_in_any_order_are_done_once_each(numbers: list[int]) -> None:
    outbox = Outbox()
    for number in numbers:
        outbox.done(number, number)
    assert sorted(spans(outbox.settlements())) == list(range(1, 9))


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_a_batch_that_ends_in_order_is_one_span_however_it_is_told(first: int, count: int) -> None:
    outbox = Outbox()
    outbox.done(first, first + count - 1)
    outbox.done(first + count, first + count)
    assert outbox.settlements() == [Done(first, first + count)]


def test_what_has_ended_elsewhere_waits_for_the_driver_and_is_no_settlement_yet() -> None:
    outbox: Any = Outbox()
    outbox.end(Ended(1), Park(1, 1.0))
    assert len(outbox.ended) == 1
    assert not outbox.settlements()


def test_in_a_process_that_a_task_has_forked_every_end_is_the_end_of_the_process() -> None:
    for end in ("outbox.done(1, 1)", "outbox.end(None, None)"):
        script = (
            "from regiment_runner.worker.outbox import Outbox\n"
            f"outbox = Outbox()\noutbox.forked = True\n{end}\nprint('went on')"
        )
        ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stdout) == (1, "")
