"""The promises of wait: it ends if there is something to lease, if its descriptor is readable, and for nothing else.

A wait without a wake-up lasts `FAR` seconds; one that took less than half of that was woken.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from regiment.contracts import Back, Dead, Done, Terms
from regiment_testing.contracts.bench import LEASE, Bench, Child, Consumer, Open, push, shared, until

FAR = 20.0
SOON = FAR / 2


def later(seconds: float, act: Callable[[], object]) -> threading.Timer:
    """Call it in another thread after these seconds."""
    timer = threading.Timer(seconds, act)
    timer.start()
    return timer


def idle(open: Open, queue: str = "q") -> Consumer:
    """A consumer whose last exchange came back empty."""
    worker = Consumer(open("lease"), queue)
    assert not worker.exchange().deliveries
    return worker


class WaitingContract(Bench):
    """Idle consumers sleep, and wake."""

    def test_a_push_ends_a_wait(self, open: Open) -> None:
        """The wait names the queue."""
        worker, producer = idle(open), open("push")
        timer = later(0.3, lambda: push(producer, "q", b"a"))
        queues, seconds = worker.wait(FAR)
        timer.join()
        assert queues == ["q"] and 0.2 < seconds < SOON
        assert worker.payloads() == [b"a"]

    def test_a_push_before_the_wait_is_not_missed(self, open: Open) -> None:
        """No push is missed between the empty exchange and the wait."""
        worker = idle(open)
        push(open("push"), "q", b"a")
        queues, seconds = worker.wait(FAR)
        assert queues == ["q"] and seconds < SOON

    def test_a_wait_without_an_event_ends_with_its_seconds(self, open: Open) -> None:
        """Not before, and not much later."""
        _, seconds = idle(open).wait(0.4)
        assert 0.35 < seconds < SOON

    def test_a_due_time_ends_a_wait(self, open: Open) -> None:
        """For a task that was delayed before the exchange."""
        push(open("push"), "q", b"a", delay=0.4)
        worker = idle(open)
        _, seconds = worker.wait(FAR)
        assert seconds < SOON
        assert until(worker.payloads) == [b"a"]

    def test_a_delayed_push_ends_a_wait_that_knows_of_nothing(self, open: Open) -> None:
        """The next exchange learns when to come again."""
        worker = idle(open)
        timer = later(0.2, lambda: push(open("push"), "q", b"a", delay=60))
        _, seconds = worker.wait(FAR)
        timer.join()
        due = worker.exchange().next_due
        assert seconds < SOON
        assert due is not None and 50 < due <= 60

    def test_a_task_pushed_later_and_due_earlier_ends_a_wait(self, open: Open) -> None:
        """The consumer does not sleep until the later time that it knew."""
        producer = open("push")
        push(producer, "q", b"late", delay=60)
        worker = idle(open)
        timer = later(0.2, lambda: push(producer, "q", b"early", delay=0.5))
        start = time.monotonic()
        payloads: list[bytes] = []
        while not payloads and time.monotonic() < start + SOON:
            worker.wait(FAR)
            payloads = worker.payloads()
        timer.join()
        assert payloads == [b"early"]

    def test_a_return_by_release_ends_a_wait(self, open: Open) -> None:
        """Another worker takes a dead worker's tasks at once."""
        push(open("push"), "q", b"a")
        busy = Consumer(open("lease"))
        busy.take()
        worker, keeper = idle(open), open("keep")
        timer = later(0.2, lambda: keeper.release("q", busy.name, [], {}, close=True))
        queues, seconds = worker.wait(FAR)
        timer.join()
        assert queues == ["q"] and seconds < SOON
        assert worker.payloads() == [b"a"]

    def test_a_return_by_back_ends_a_wait(self, open: Open) -> None:
        """Another worker takes a returned task."""
        push(open("push"), "q", b"a")
        busy = Consumer(open("lease"))
        busy.take()
        worker = idle(open)
        timer = later(0.2, lambda: busy.exchange(Back(1, 1), limit=0))
        _, seconds = worker.wait(FAR)
        timer.join()
        assert seconds < SOON
        assert worker.payloads() == [b"a"]

    def test_a_poisoned_return_ends_a_wait_in_time(self, open: Open) -> None:
        """The task comes back with a delay that the waiting consumer did not know."""
        push(open("push"), "q", b"a")
        busy = Consumer(open("lease"), terms=Terms(poison_delays=(0.4,)))
        busy.take()
        worker = idle(open)
        busy.release([], {1: b"note"}, close=True)
        start = time.monotonic()
        payloads: list[bytes] = []
        while not payloads and time.monotonic() < start + SOON:
            worker.wait(FAR)
            payloads = worker.payloads()
        assert payloads == [b"a"]

    def test_an_overdue_consumer_ends_a_wait(self, open: Open) -> None:
        """Idle workers wake to take over, without a janitor: here two that keep the queue's stamp fresh."""
        keeper = open("keep")
        worker = self._idle_beside_a_lost_one(open)
        stop = threading.Event()

        def renew() -> None:
            while not stop.wait(LEASE / 10):
                keeper.renew([("q", worker.name)], 30)

        renewer = threading.Thread(target=renew)
        renewer.start()
        try:
            start = time.monotonic()
            payloads: list[bytes] = []
            while not payloads and time.monotonic() < start + SOON:
                worker.wait(FAR)
                payloads = worker.payloads()
        finally:
            stop.set()
            renewer.join()
        assert payloads == [b"a"]

    @staticmethod
    def _idle_beside_a_lost_one(open: Open) -> Consumer:
        """A consumer whose exchange came back empty, since what there is is leased by one that nobody renews."""
        producer = open("push")
        for lease in (LEASE, 4 * LEASE, SOON / 2):
            push(producer, "q", b"a")
            lost, began = Consumer(open("lease"), terms=Terms(lease=lease)), time.monotonic()
            lost.take()
            worker = Consumer(open("lease"), "q")
            early = worker.exchange().deliveries
            if not early:
                return worker
            assert time.monotonic() - began >= lease, "a lease that had not passed was taken over"
            worker.exchange(
                Done(early[0].receipt, early[-1].receipt), limit=0
            )  # a slow machine: once more, with a longer one
            worker.release([], {})
        raise AssertionError(f"this machine took more than {SOON / 2:g} s for two exchanges")

    def test_a_notice_ends_a_wait(self, open: Open) -> None:
        """So a resumed queue is served at once."""
        connector = open("lease")
        connector.post("q", paused=True)
        push(connector, "q", b"a")
        worker = idle(open)
        timer = later(0.2, lambda: connector.post("q", paused=False))
        _, seconds = worker.wait(FAR)
        timer.join()
        assert seconds < SOON
        assert worker.payloads() == [b"a"]

    def test_a_revived_letter_ends_a_wait(self, open: Open) -> None:
        """A replay is a push."""
        push(open("push"), "q", b"a")
        worker = Consumer(open("lease"))
        worker.take()
        worker.exchange(Dead(1, "id", b"{}"), limit=1)
        other = open("push")
        [letter] = other.dead("q")
        timer = later(0.2, lambda: other.revive("q", {letter.id: None}))
        _, seconds = worker.wait(FAR)
        timer.join()
        assert seconds < SOON

    def test_a_readable_descriptor_ends_a_wait_and_is_not_read(self, open: Open) -> None:
        """The wait sees a signal within a tenth of a second; the worker reads the descriptor."""
        reader, writer = os.pipe()
        try:
            worker = idle(open)
            timer = later(0.2, lambda: os.write(writer, b"!"))
            _, seconds = worker.wait(FAR, reader)
            timer.join()
            assert seconds < SOON
            assert worker.wait(FAR, reader)[1] < SOON, "it is still readable"
            assert os.read(reader, 10) == b"!"
        finally:
            os.close(reader)
            os.close(writer)

    def test_a_wait_on_several_queues_names_the_one_that_is_ready(self, open: Open) -> None:
        """A worker may serve several queues."""
        connector = open("lease")
        workers = [Consumer(connector, queue) for queue in ("one", "two")]
        for worker in workers:
            assert not worker.exchange().deliveries
        push(open("push"), "two", b"a")
        queues = connector.wait([(worker.queue, worker.name) for worker in workers], FAR)
        assert list(queues) == ["two"]
        assert workers[1].payloads() == [b"a"]

    def test_a_wait_holds_no_lease(self, open: Open) -> None:
        """Until an exchange takes it, a task that is pushed during a wait is there for every consumer."""
        worker = idle(open)
        push(open("push"), "q", b"a")
        worker.wait(FAR)
        assert Consumer(open("lease")).payloads() == [b"a"]

    def test_waits_and_pushes_in_turn_never_miss_one(self, open: Open) -> None:
        """A hundred times, with the push at a different moment each time; a lost wake-up would cost FAR seconds."""
        worker, producer = idle(open), open("push")
        start = time.monotonic()
        for n in range(100):
            timer = later((n % 10) / 2000, lambda n=n: push(producer, "q", b"%d" % n))  # type: ignore[misc]
            settle: list[Done] = []
            while True:
                assert worker.wait(FAR)[1] < SOON
                got = worker.take(1, *settle)
                if got:
                    break
            assert got[0].payload == b"%d" % n
            timer.join()
            assert not worker.take(1, Done(got[0].receipt, got[0].receipt))
        assert time.monotonic() - start < 3 * FAR, "a machine with much else to do, and no wake-up is lost"

    @shared
    def test_a_push_in_another_process_ends_a_wait(self, open: Open) -> None:
        """Producers and workers are different processes."""
        worker = idle(open)

        def work() -> None:
            time.sleep(0.3)
            push(open("push"), "q", b"a")

        child = Child(work)
        queues, seconds = worker.wait(FAR)
        child.answer()
        assert queues == ["q"] and seconds < SOON
        assert worker.payloads() == [b"a"]

    @shared
    def test_a_killed_sleeper_does_not_keep_others_from_waking(self, open: Open) -> None:
        """A worker that died in its wait is still registered there."""
        ready, told = os.pipe()

        def work() -> None:
            sleeper = idle(open)
            os.write(told, b"!")
            sleeper.wait(FAR)

        child = Child(work)
        os.read(ready, 1)
        child.kill()
        os.close(ready)
        os.close(told)
        worker = idle(open)
        push(open("push"), "q", b"a")
        _, seconds = worker.wait(FAR)
        assert seconds < SOON
        assert worker.payloads() == [b"a"]
