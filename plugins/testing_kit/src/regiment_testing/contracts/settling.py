"""The promises of the settlements: Done, Back, Again, Park, Dead, and lost receipts."""

from __future__ import annotations

import time

import pytest

from regiment.contracts import Again, Back, Dead, Done, Park, Settlement
from regiment_testing.contracts.bench import Bench, Consumer, Open, push


class SettlingContract(Bench):
    """What becomes of a delivery."""

    def test_done_forgets_a_range(self, open: Open) -> None:
        """The range is closed at both ends; receipts outside stay on lease."""
        connector = open("lease")
        push(connector, "q", *[b"%d" % n for n in range(6)])
        worker = Consumer(connector)
        worker.take(6)
        assert not worker.exchange(Done(2, 4), limit=0).lost
        assert [seen.payload for seen in connector.peek("q", "leased")] == [b"0", b"4", b"5"]
        assert connector.counts("q").ready == 0, "what is done came back"

    def test_done_out_of_order(self, open: Open) -> None:
        """As slots finish: each receipt on its own, in any order, over several exchanges."""
        connector = open("lease")
        push(connector, "q", *[b"x"] * 6)
        worker = Consumer(connector)
        worker.take(6)
        assert not worker.exchange(Done(5, 5), Done(2, 2), limit=0).lost
        assert not worker.exchange(Done(6, 6), Done(1, 1), Done(3, 4), limit=0).lost
        assert connector.counts("q").leased == 0

    def test_back_is_as_if_never_leased(self, open: Open) -> None:
        """In front, with priority, order and count unchanged, whichever part of a batch it is."""
        connector = open("lease")
        push(connector, "q", b"a", b"b", b"c", b"d", b"e")
        push(connector, "q", b"high", priority=0)
        worker = Consumer(connector)
        assert worker.payloads(4) == [b"high", b"a", b"b", b"c"]
        worker.exchange(Back(3, 3), limit=0)
        worker.exchange(Back(1, 2), limit=0)
        taken = worker.take(10)
        assert [(d.payload, d.count) for d in taken] == [
            (b"high", 0),
            (b"a", 0),
            (b"b", 0),
            (b"d", 0),
            (b"e", 0),
        ]

    def test_back_and_lease_in_one_step(self, open: Open) -> None:
        """A returned task is in front of the waiting ones, in the same exchange, and has a new receipt."""
        connector = open("lease")
        push(connector, "q", b"a", b"b")
        worker = Consumer(connector)
        worker.take()
        assert [(d.receipt, d.payload) for d in worker.take(2, Back(1, 1))] == [
            (2, b"a"),
            (3, b"b"),
        ]

    def test_back_from_two_consumers_keeps_the_order_of_the_queue(self, open: Open) -> None:
        """Whichever consumer gives back first."""
        connector = open("lease")
        push(connector, "q", *[b"%d" % n for n in range(6)])
        one, two = Consumer(connector), Consumer(connector)
        for worker in (one, two, one, two):
            worker.take(1)
        one.exchange(Back(1, 2), limit=0)
        two.exchange(Back(1, 2), limit=0)
        assert one.payloads() == [b"%d" % n for n in range(6)]

    def test_back_keeps_count_and_note(self, open: Open) -> None:
        """R18: a return is not a new try."""
        connector = open("lease")
        push(connector, "q", b"a")
        worker = Consumer(connector)
        worker.take()
        worker.release([], {1: b"evidence"})
        [delivery] = worker.take()
        worker.exchange(Back(delivery.receipt, delivery.receipt), limit=0)
        [delivery] = worker.take()
        assert (delivery.count, delivery.note) == (1, b"evidence")

    def test_again_replaces_the_payload_and_starts_anew(self, open: Open) -> None:
        """At the tail, with count 0, without a note, never parked."""
        connector = open("lease")
        push(connector, "q", b"a", b"b")
        worker = Consumer(connector)
        worker.take()
        worker.release([], {1: b"evidence"})
        [delivery] = worker.take()
        assert delivery.count == 1
        worker.exchange(Again(delivery.receipt, b"a2"), limit=0)
        assert [(d.payload, d.count, d.note, d.parked) for d in worker.take(5)] == [
            (b"b", 0, None, 0),
            (b"a2", 0, None, 0),
        ]

    def test_again_with_a_delay_waits_for_its_time(self, open: Open) -> None:
        """It is delayed, and then joins the tail."""
        connector = open("lease")
        push(connector, "q", b"a")
        worker = Consumer(connector)
        worker.take()
        taken = worker.exchange(Again(1, b"a2", delay=0.3))
        assert not taken.deliveries
        assert taken.next_due is not None and taken.next_due <= 0.3
        assert connector.counts("q").delayed == 1
        time.sleep(0.4)
        assert worker.payloads() == [b"a2"]

    @pytest.mark.parametrize("delay", [0.0, 0.2])
    def test_again_with_a_priority_changes_it(self, open: Open, delay: float) -> None:
        """Without one it keeps its priority."""
        connector = open("lease")
        push(connector, "q", b"a", b"b", priority=1)
        worker = Consumer(connector)
        worker.take(2)
        worker.exchange(Again(1, b"a2", delay, 2), Again(2, b"b2", delay), limit=0)
        time.sleep(delay * 2)
        push(connector, "q", b"c", priority=1)
        assert sorted(worker.payloads(2)) == [b"b2", b"c"]
        assert worker.payloads() == [b"a2"]

    def test_park_keeps_the_delivery_and_the_time_of_its_first_parking(self, open: Open) -> None:
        """Payload, count and note stay; `parked` counts from the first time."""
        connector = open("lease")
        push(connector, "q", b"a")
        worker = Consumer(connector)
        worker.take()
        worker.release([], {1: b"evidence"})
        [delivery] = worker.take()
        worker.exchange(Park(delivery.receipt, 0.2), limit=0)
        assert worker.take() == []
        time.sleep(0.4)
        [delivery] = worker.take()
        assert (delivery.payload, delivery.count, delivery.note) == (b"a", 1, b"evidence")
        assert delivery.parked >= 0.35
        worker.exchange(Park(delivery.receipt, 0.05), limit=0)
        time.sleep(0.2)
        [delivery] = worker.take()
        assert delivery.parked >= 0.55

    def test_dead_makes_a_letter(self, open: Open) -> None:
        """With the old payload or another one; the task leaves the queue."""
        connector = open("lease")
        push(connector, "q", b"a", b"b", priority=2)
        worker = Consumer(connector)
        worker.take(2)
        before = time.time()
        worker.exchange(Dead(1, "id-a", b'{"why":1}'), Dead(2, "id-b", b"{}", b"other"), limit=0)
        newest, oldest = connector.dead("q")
        assert (oldest.task_id, oldest.payload, oldest.reason, oldest.priority) == (
            "id-a",
            b"a",
            b'{"why":1}',
            2,
        )
        assert (newest.task_id, newest.payload) == ("id-b", b"other")
        assert before - 5 < newest.at < time.time() + 5
        counts = connector.counts("q")
        assert (counts.ready, counts.leased, counts.dead) == (0, 0, 2)

    @pytest.mark.parametrize("settlement", [Done(1, 1), Back(1, 1), Again(1, b"x"), Park(1, 0), Dead(1, "id", b"{}")])
    def test_a_receipt_that_is_not_held_is_lost_and_nothing_is_done(self, open: Open, settlement: Settlement) -> None:
        """It was settled before; the exchange says so, and settles the others."""
        connector = open("lease")
        push(connector, "q", b"a", b"b")
        worker = Consumer(connector)
        worker.take(2)
        worker.exchange(Done(1, 1), limit=0)
        assert list(worker.exchange(settlement, Done(2, 2), limit=0).lost) == [1]
        counts = connector.counts("q")
        assert (counts.ready, counts.delayed, counts.leased, counts.dead) == (0, 0, 0, 0)

    def test_what_is_lost_of_a_range_is_named_one_by_one(self, open: Open) -> None:
        """The rest of the range is settled."""
        connector = open("lease")
        push(connector, "q", *[b"x"] * 5)
        worker = Consumer(connector)
        worker.take(5)
        worker.exchange(Done(2, 2), Done(4, 4), limit=0)
        assert sorted(worker.exchange(Done(1, 7), limit=0).lost) == [2, 4, 6, 7]
        assert connector.counts("q").leased == 0

    def test_the_receipts_of_another_consumer_are_not_mine(self, open: Open) -> None:
        """The same number means another task for another consumer."""
        connector = open("lease")
        push(connector, "q", b"a")
        holder, other = Consumer(connector), Consumer(connector)
        holder.take()
        assert list(other.exchange(Done(1, 1), limit=0).lost) == [1]
        assert not holder.exchange(Done(1, 1), limit=0).lost
