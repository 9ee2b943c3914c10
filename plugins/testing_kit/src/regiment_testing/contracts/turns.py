"""The promises about requests that are late, repeated, or from an unknown consumer: turns, fences, tombstones."""

from __future__ import annotations

import time

import pytest

from regiment.contracts import Done, Fenced, Terms
from regiment_testing.contracts.bench import LEASE, Bench, Consumer, Open, fresh, push, take_over


class TurnContract(Bench):
    """R1 to R6 of the lease."""

    def test_a_repeated_turn_gives_the_same_answer(self, open: Open) -> None:
        """R4: after a lost reply the same batch, receipts and no other task, also through a new connection."""
        worker = Consumer(open("lease"))
        push(open("push"), "q", b"1", b"2", b"3")
        first = worker.exchange(Done(77, 77), limit=2)
        for again in (worker.repeat(), worker.repeat(open("lease"))):
            assert [d[:4] for d in again.deliveries] == [d[:4] for d in first.deliveries]
            assert list(again.lost) == list(first.lost) == [77]
        assert worker.payloads() == [b"3"]

    def test_a_repeated_empty_turn_stays_empty(self, open: Open) -> None:
        """R4: tasks that were pushed meanwhile come with the next turn."""
        worker = Consumer(open("lease"))
        assert not worker.exchange().deliveries
        push(open("push"), "q", b"1")
        assert not worker.repeat().deliveries
        assert worker.payloads() == [b"1"]

    def test_a_repeated_turn_settles_nothing_twice(self, open: Open) -> None:
        """R4: the settlements of the turn are done already, and are not lost."""
        worker = Consumer(open("lease"))
        push(open("push"), "q", b"1", b"2")
        worker.take()
        assert not worker.exchange(Done(1, 1)).lost
        again = worker.repeat()
        assert not again.lost
        assert [d.payload for d in again.deliveries] == [b"2"]

    @pytest.mark.parametrize("turn", [0, 1, 4, 100])
    def test_a_turn_out_of_order_is_refused_without_effect(self, open: Open, turn: int) -> None:
        """R4: last or last + 1; everything else comes from another worker or from long ago."""
        connector = open("lease")
        worker = Consumer(connector)
        push(connector, "q", b"1", b"2", b"3")
        worker.take()
        worker.take()
        with pytest.raises(Fenced):
            connector.exchange("q", worker.name, turn, 10, [Done(1, 2)], 1, 1000)
        counts = connector.counts("q")
        assert (counts.ready, counts.leased) == (1, 2)
        assert worker.payloads() == [b"3"]

    def test_an_unknown_consumer_is_refused_without_effect(self, open: Open) -> None:
        """A consumer that never joined leases nothing."""
        connector = open("lease")
        push(connector, "q", b"1")
        with pytest.raises(Fenced):
            connector.exchange("q", fresh(), 1, 1, [], 1, 1000)
        assert connector.counts("q").ready == 1

    def test_renew_names_the_unknown_and_renews_the_others(self, open: Open) -> None:
        """A keeper renews all its consumers with one request."""
        connector = open("lease")
        worker = Consumer(connector)
        assert list(open("keep").renew([("q", "nobody"), ("q", worker.name), ("nowhere", "x")], 30)) == [
            ("q", "nobody"),
            ("nowhere", "x"),
        ]

    def test_joining_twice_changes_nothing(self, open: Open) -> None:
        """R5: a repeated join of a living consumer keeps its turn and its deliveries."""
        connector = open("lease")
        worker = Consumer(connector)
        push(connector, "q", b"1", b"2")
        worker.take()
        connector.join("q", worker.name, Terms())
        assert connector.counts("q").leased == 1
        assert worker.payloads() == [b"2"]

    def test_a_closed_consumer_is_refused_everything(self, open: Open) -> None:
        """R5: it can neither lease, settle, renew nor join again."""
        connector = open("lease")
        worker = Consumer(connector)
        push(connector, "q", b"1")
        worker.release([], {}, close=True)
        with pytest.raises(Fenced):
            worker.exchange()
        with pytest.raises(Fenced):
            connector.join("q", worker.name, Terms())
        assert list(connector.renew([("q", worker.name)], 30)) == [("q", worker.name)]
        assert connector.counts("q").ready == 1

    def test_closing_an_unknown_consumer_keeps_its_late_join_out(self, open: Open) -> None:
        """R5: the worker died before its join arrived."""
        connector, name = open("lease"), fresh()
        connector.release("q", name, [], {}, close=True)
        connector.release("q", name, [], {}, close=True)
        with pytest.raises(Fenced):
            connector.join("q", name, Terms())

    def test_a_closed_consumer_may_not_repeat_its_last_turn(self, open: Open) -> None:
        """R4 and R5: a dead worker's repeated request does not lease its batch."""
        connector = open("lease")
        worker = Consumer(connector)
        push(connector, "q", b"1")
        worker.take()
        worker.release([], {}, close=True)
        with pytest.raises(Fenced):
            worker.repeat()
        assert Consumer(connector).payloads() == [b"1"]

    # overdue

    def test_what_an_overdue_consumer_holds_is_taken_over_in_order_and_counted(self, open: Open) -> None:
        """R6: in front of the waiting tasks, each with count + 1."""
        connector, terms = open("lease"), Terms(lease=LEASE)
        push(connector, "q", b"1", b"2", b"3")
        lost, watcher = Consumer(connector, terms=terms), Consumer(connector)
        assert lost.payloads(2) == [b"1", b"2"]
        assert watcher.payloads(1) == [b"3"]
        push(connector, "q", b"4", priority=2)
        assert watcher.payloads(1) == [b"4"]
        taken = take_over(watcher)
        assert [(d.payload, d.count) for d in taken] == [(b"1", 1), (b"2", 1)]

    def test_a_consumer_whose_delivery_was_taken_is_fenced_for_good(self, open: Open) -> None:
        """R6: exchange, renew and join are refused; the new holder's work is untouched."""
        connector = open("lease")
        push(connector, "q", b"1")
        late, watcher = Consumer(connector, terms=Terms(lease=LEASE)), Consumer(connector)
        late.take()
        [delivery] = take_over(watcher)
        with pytest.raises(Fenced):
            late.exchange(Done(1, 1))
        with pytest.raises(Fenced):
            late.repeat()
        with pytest.raises(Fenced):
            connector.join("q", late.name, Terms())
        assert list(connector.renew([("q", late.name)], 30)) == [("q", late.name)]
        late.release([(1, 1)], {}, close=True)
        assert connector.counts("q").leased == 1
        assert not watcher.exchange(Done(delivery.receipt, delivery.receipt)).lost

    def test_many_deliveries_of_an_overdue_consumer_all_return(self, open: Open) -> None:
        """R6: one exchange takes back a bounded number; the rest follows, and nothing is lost or doubled."""
        connector = open("lease")
        payloads = [b"%d" % n for n in range(2500)]
        push(connector, "q", *payloads)
        lost = Consumer(connector, terms=Terms(lease=LEASE))
        assert len(lost.take(2500)) == 2500
        watcher = Consumer(connector)
        seen: list[bytes] = []
        while len(seen) < 2500:
            seen += [d.payload for d in take_over(watcher, 500)]
        assert sorted(seen) == sorted(payloads)
        assert connector.counts("q").leased == 2500

    def test_a_renewed_consumer_keeps_what_it_holds(self, open: Open) -> None:
        """However long it takes: three leases here."""
        connector, keeper = open("lease"), open("keep")
        push(connector, "q", b"1")
        worker, watcher = Consumer(connector, terms=Terms(lease=LEASE)), Consumer(connector)
        worker.take()
        assert list(keeper.renew([("q", worker.name)], 60)) == []
        assert list(keeper.renew([("q", worker.name)], 0.001)) == [], "a renewal never shortens"
        end = time.monotonic() + 3 * LEASE
        while time.monotonic() < end:
            assert not watcher.take()
            time.sleep(LEASE / 10)
        assert not worker.exchange(Done(1, 1)).lost

    def test_an_empty_exchange_tells_when_another_consumer_is_overdue(self, open: Open) -> None:
        """So idle workers wake to take over."""
        connector = open("lease")
        push(connector, "q", b"1")
        Consumer(connector, terms=Terms(lease=20)).take()
        due = Consumer(connector).exchange().next_due
        assert due is not None and 10 < due <= 20

    def test_after_a_gap_nobody_is_overdue(self, open: Open) -> None:
        """R8: if nothing touched the queue for longer than a renewal takes, the store was away, not the worker."""
        connector = open("lease")
        push(connector, "q", b"1")
        worker, watcher = (
            Consumer(connector, terms=Terms(lease=LEASE)),
            Consumer(connector, terms=Terms(lease=LEASE)),
        )
        worker.take()
        time.sleep(LEASE * 2)
        assert not watcher.take()
        assert not worker.exchange(Done(1, 1)).lost

    def test_a_renewal_after_a_gap_moves_the_deadlines_of_all(self, open: Open) -> None:
        """R8: whichever consumer comes first after the outage, its neighbor is not overdue either."""
        connector = open("lease")
        push(connector, "q", b"1")
        terms = Terms(lease=LEASE)
        worker, neighbor = Consumer(connector, terms=terms), Consumer(connector, terms=terms)
        worker.take()
        time.sleep(LEASE * 2)
        assert list(connector.renew([("q", neighbor.name)], LEASE)) == []
        assert not neighbor.take()
        assert not worker.exchange(Done(1, 1)).lost

    def test_who_joins_after_a_gap_is_not_given_the_gap(self, open: Open) -> None:
        """R8: else a consumer that joins after an hour without workers could die unnoticed for an hour."""
        connector, terms = open("lease"), Terms(lease=LEASE)
        Consumer(connector, terms=terms).release([], {}, close=True)
        push(connector, "q", b"1")
        time.sleep(LEASE * 3)
        Consumer(connector, terms=terms).take()
        due = Consumer(connector, terms=terms).exchange().next_due
        assert due is not None and due <= LEASE * 1.5
