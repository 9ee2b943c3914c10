"""The source on the embedded store: leasing, starting and settling, one rule at a time and without processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from regiment import Queue, Requeue, Respawn
from regiment.build import make_connector
from regiment.errors import StoreUnavailable
from regiment_cli.targets import application
from regiment_killers.process import Process
from regiment_runner.parts import terms_of
from regiment_runner.shared import page
from regiment_runner.shared.page import Page
from regiment_runner.worker.lease import Lease
from regiment_runner.worker.runtime import Runtime
from regiment_runner.worker.source import Source

ran: list[int] = []


def work(n: int, again: bool = False, respawn: bool = False) -> None:
    ran.append(n)
    if respawn:
        raise Respawn
    if again and ran.count(n) == 1:
        raise Requeue


class Bench:
    """One worker's source in this process, with a page and a real store."""

    def __init__(self, folder: Path, slots: int = 1, **settings: Any) -> None:
        ran.clear()
        self.queue = Queue("q", connector=f"sqlite:///{folder}/q.db", **settings)
        self.task = self.queue.task(work)
        self.sheet = Page(folder / "w1.page", create=True)
        self.words = self.sheet.words
        self.connector = make_connector(self.queue.config)()
        self.connector.open("lease")
        runtime = Runtime(application(self.queue), self.queue.broker.codec, self.sheet, Process())
        self.lease = Lease(self.connector, "q", terms_of(self.queue.config))
        self.wake = os.eventfd(0, os.EFD_NONBLOCK)
        self.source = Source(runtime, self.lease, slots, self.wake)

    def push(self, *numbers: int, **kwargs: Any) -> None:
        self.task.push_many({"n": n, **kwargs} for n in numbers)

    def run(self, most: int = 100) -> list[int]:
        """Run what there is, at most so many; the numbers that ran."""
        before = len(ran)
        for _ in range(most):
            attempt = self.source.take(block=False)
            if attempt is None:
                break
            attempt.run()
        return ran[before:]

    def counts(self) -> tuple[int, int]:
        found = self.connector.counts("q")
        return found.ready, found.leased

    def close(self) -> None:
        self.connector.close()
        self.queue.broker.close()
        os.close(self.wake)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**settings: Any) -> Bench:
        made.append(Bench(tmp_path, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_batch_runs_in_order_and_is_settled_with_the_next_exchange(
    bench: Callable[..., Bench],
) -> None:
    one = bench(tasks_per_transaction=10)
    one.push(*range(25))
    assert one.run(25) == list(range(25))
    assert one.counts() == (0, 5), "the exchange that leased the last five settled the twenty before"
    assert one.run() == []
    assert one.counts() == (0, 0)
    one.words[page.ORDERS] = page.STOP
    assert one.source.take() is None and one.source.ended
    assert one.counts() == (0, 0)


def test_what_is_done_is_settled_when_the_oldest_is_settle_within_old(
    bench: Callable[..., Bench],
) -> None:
    one = bench(tasks_per_transaction=10, settle_within=0.05)
    one.push(1, 2, 3)
    assert one.run() == [1, 2, 3]
    time.sleep(0.06)  # the period itself
    one.run()
    assert one.counts() == (0, 0)


def test_what_was_revoked_does_not_start_and_stands_in_front_again(
    bench: Callable[..., Bench],
) -> None:
    """R13, R14."""
    one = bench(tasks_per_transaction=5)
    one.push(*range(10))
    assert one.run(2) == [0, 1]
    one.sheet.revoke(3, 5)
    waiting = one.source.take(block=False)
    assert waiting is not None
    waiting.run()
    assert ran == [0, 1, 2], "they came back in front, and were leased again under other numbers"
    assert waiting.number > 5
    assert one.run() == list(range(3, 10))


def test_nothing_starts_when_the_lease_has_passed_until_the_store_has_renewed_it(
    bench: Callable[..., Bench],
) -> None:
    """R7."""
    one = bench(tasks_per_transaction=5, lease=30.0)
    one.push(*range(5))
    assert one.run(1) == [0]
    one.words[page.LEASE_UNTIL] = page.now() - 1
    one.source.look_by = 0
    assert one.run(1) == [1]
    assert one.words[page.LEASE_UNTIL] > page.now()


def test_a_worker_whose_keeper_has_not_begun_renews_by_itself_while_a_third_of_the_lease_is_left(
    bench: Callable[..., Bench],
) -> None:
    one = bench(tasks_per_transaction=5, lease=30.0)
    one.push(*range(10))
    asked: list[float] = []
    renew = one.lease.renew
    one.lease.renew = lambda: not asked.append(1) and renew()  # type: ignore[method-assign, func-returns-value]
    assert one.run(1) == [0]
    assert not asked
    one.words[page.LEASE_UNTIL] = page.now() + int(9e9)
    one.source.look_by = 0
    assert one.run(3) == [1, 2, 3]
    assert one.words[page.LEASE_UNTIL] > page.now() + int(29e9)
    assert len(asked) == 1


def test_a_store_that_does_not_answer_keeps_nobody_from_what_is_leased_until_the_lease_has_passed(
    bench: Callable[..., Bench],
) -> None:
    one = bench(tasks_per_transaction=5, lease=30.0)
    one.push(*range(5))
    assert one.run(1) == [0]
    asked: list[float] = []

    def away() -> bool:
        asked.append(1)
        raise StoreUnavailable("away")

    one.lease.renew = away  # type: ignore[method-assign]
    one.words[page.LEASE_UNTIL] = page.now() + int(9e9)
    one.source.look_by = 0
    assert one.run(3) == [1, 2, 3]
    assert len(asked) == 1, "once, and not before each task"


def test_a_worker_that_was_taken_for_dead_starts_nothing_and_goes_on_under_a_new_name_and_new_numbers(
    bench: Callable[..., Bench],
) -> None:
    """R1."""
    one = bench(tasks_per_transaction=5)
    one.push(*range(5))
    assert one.run(2) == [0, 1]
    old, last = one.lease.consumer, one.lease.next - 1
    one.connector.release("q", old, (), {}, close=True)
    one.words[page.LEASE_UNTIL] = page.now() - 1
    one.source.look_by = 0
    assert one.run() == [0, 1, 2, 3, 4], "what it had not settled came back, and nothing else ran"
    assert one.lease.consumer != old
    ((_, join),) = one.sheet.joins()
    assert (join.consumer, join.first) == (one.lease.consumer, last + 1)


def test_a_settlement_other_than_done_is_answered_before_its_slot_starts_anything(
    bench: Callable[..., Bench],
) -> None:
    """R11."""
    one = bench(tasks_per_transaction=3)
    one.push(1, again=True)
    one.push(2, 3)
    assert one.run(1) == [1]
    assert one.sheet.slot_word(0) == (1, page.ENDED)
    attempt = one.source.take(block=False)
    assert attempt is not None
    assert one.sheet.slot_word(0) == (2, page.STARTED)
    assert one.connector.counts("q").leased == 2, "the requeue was executed before"
    attempt.run()
    assert one.run() == [3, 1]


def test_an_order_to_stop_gives_the_rest_of_the_batch_back_in_order(
    bench: Callable[..., Bench],
) -> None:
    one = bench(tasks_per_transaction=5)
    one.push(*range(8))
    one.run(2)
    one.words[page.ORDERS] = page.STOP
    assert one.source.take() is None
    assert one.counts() == (6, 0)
    decode = one.queue.broker.codec.decode
    assert [decode(seen.payload, "q").kwargs["n"] for seen in one.connector.peek("q", "ready")] == [*range(2, 8)]


def test_an_order_that_comes_while_the_store_is_asked_is_not_slept_over(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bench(recheck=60)
    asked = one.connector.exchange

    def ordered(*args: Any, **kwargs: Any) -> Any:
        one.words[page.ORDERS] = page.STOP  # and its wake-up was used up by a sleep before
        return asked(*args, **kwargs)

    monkeypatch.setattr(one.connector, "exchange", ordered)
    started = time.monotonic()
    assert one.source.take() is None and one.source.ended
    assert time.monotonic() - started < 30


def test_a_worker_is_recycled_after_max_tasks_per_run_and_leases_no_more_than_it_may_run(
    bench: Callable[..., Bench],
) -> None:
    one = bench(tasks_per_transaction=10, max_tasks_per_run=3)
    one.push(*range(10))
    assert one.run() == [0, 1, 2]
    assert one.source.ended and one.source.respawn
    assert one.counts() == (7, 0)


def test_after_a_task_asked_for_another_process_nothing_of_its_batch_starts(
    bench: Callable[..., Bench],
) -> None:
    one = bench(tasks_per_transaction=5)
    one.push(1, respawn=True)
    one.push(2, 3)
    assert one.run() == [1]
    assert one.source.ended and one.source.respawn
    assert one.counts() == (3, 0)


def test_without_block_a_full_source_says_that_there_is_none_now(
    bench: Callable[..., Bench],
) -> None:
    one = bench(slots=2, tasks_per_transaction=4)
    one.push(*range(4))
    first, second = one.source.take(block=False), one.source.take(block=False)
    assert first is not None and second is not None and first.slot != second.slot
    assert one.source.take(block=False) is None
    assert not one.source.ended
    first.run()
    third = one.source.take(block=False)
    assert third is not None and third.slot == first.slot
    second.run()
    third.run()
