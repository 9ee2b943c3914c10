"""The promises of `ledger`: entries go where their task goes, end with it, and are written only by who holds it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, cast

import pytest

from regiment.contracts import (
    LARGEST_LEDGER,
    MOST_ENTRIES,
    Again,
    Back,
    Connector,
    Dead,
    Done,
    Ledgered,
    Park,
    Terms,
    Ticket,
)
from regiment.errors import StoreError
from regiment_testing.contracts.bench import (
    LEASE,
    Bench,
    Consumer,
    Open,
    durable,
    extra,
    fresh,
    marked,
    push,
    take_over,
    together,
    until,
)
from regiment_testing.contracts.hand import steer
from regiment_testing.faults import Faulty

CHARGED: Mapping[str, bytes] = {"charge": b"receipt 7", "é.$x\n": b"\x00\xff"}


def able(connector: Connector) -> Ledgered:
    """The connector, of which these checks are asked because it has the verb."""
    return cast(Ledgered, connector)


def enter(worker: Consumer, receipt: int = 1, entries: Mapping[str, bytes] | None = None) -> dict[str, bytes] | None:
    """Write, or only read; what there is then."""
    verb, more = able(worker.connector).enter, () if entries is None else (entries,)
    found = verb(worker.queue, worker.name, receipt, *more)
    return None if found is None else dict(found)


def holding(open: Open, payload: bytes = b"a", **terms: Any) -> Consumer:
    """A consumer that holds one task, receipt 1, with the entries of CHARGED."""
    connector = open("lease")
    push(connector, "q", payload)
    worker = Consumer(connector, terms=Terms(**terms))
    assert len(worker.take()) == 1
    assert enter(worker, 1, CHARGED) == CHARGED
    return worker


def again(worker: Consumer) -> int:
    """The receipt under which this consumer leases the task that comes next."""
    deliveries = until(worker.take)
    assert len(deliveries) == 1
    return deliveries[0].receipt


@extra("ledger")
class EnteringContract(Bench):
    """enter."""

    def test_it_has_the_verb_of_the_ledger(self, open: Open) -> None:
        """enter."""
        assert isinstance(open("lease"), Ledgered)

    # what is entered

    def test_entries_are_put_over_those_of_the_same_names(self, open: Open) -> None:
        """Others stay; without entries it only reads; the answer is all that are there then."""
        connector = open("lease")
        push(connector, "q", b"a", b"a")
        worker = Consumer(connector)
        worker.take(2)
        assert enter(worker, 1) == {} and enter(worker, 1, {}) == {}
        assert enter(worker, 1, {"a": b"1", "b": b""}) == {"a": b"1", "b": b""}
        assert enter(worker, 1, {"b": b"2", "c": b"3"}) == {"a": b"1", "b": b"2", "c": b"3"}
        assert enter(worker, 1) == {"a": b"1", "b": b"2", "c": b"3"}
        assert enter(worker, 2) == {}, "entries of another task of the same payload"
        assert enter(worker, 2, CHARGED) == CHARGED
        assert enter(worker, 1) == {"a": b"1", "b": b"2", "c": b"3"}

    def test_a_repeated_entry_is_harmless(self, open: Open) -> None:
        """As after a lost answer, or where the request came twice."""
        worker = holding(open)
        faulty: Any = Faulty(worker.connector)
        faulty.order("enter", "twice")
        for _ in range(2):
            assert dict(faulty.enter("q", worker.name, 1, {"charge": b"8"})) == {**CHARGED, "charge": b"8"}

    def test_a_task_has_a_bounded_number_of_entries(self, open: Open) -> None:
        """`MOST_ENTRIES`, counted after the merge: else a ValueError, and nothing is written."""
        worker = holding(open, b"a")
        most = {str(number): b"" for number in range(MOST_ENTRIES - len(CHARGED))}
        assert enter(worker, 1, most) == {**CHARGED, **most}
        for more in ({"more": b""}, {"0": b"changed", "more": b""}):
            with pytest.raises(ValueError):
                enter(worker, 1, more)
        assert enter(worker, 1, {"0": b"new"}) == {**CHARGED, **most, "0": b"new"}

    def test_a_task_has_a_bounded_size_of_entries(self, open: Open) -> None:
        """`LARGEST_LEDGER` bytes of names and values, counted after the merge: else a ValueError, and nothing is written."""
        connector = open("lease")
        push(connector, "q", b"a")
        worker = Consumer(connector)
        worker.take()
        for wrong in ({"é": bytes(LARGEST_LEDGER - 1)}, {"a": b"", "b": bytes(LARGEST_LEDGER - 1)}):
            with pytest.raises(ValueError):
                enter(worker, 1, wrong)
        assert enter(worker) == {}
        largest = {"é": bytes(LARGEST_LEDGER - 3), "a": b""}
        assert enter(worker, 1, largest) == largest
        with pytest.raises(ValueError):
            enter(worker, 1, {"a": b"1"})
        assert enter(worker) == largest
        assert enter(worker, 1, {"é": b"small"}) == {"é": b"small", "a": b""}
        assert enter(worker, 1, {"a": b"1" * 100}) == {"é": b"small", "a": b"1" * 100}

    @durable
    def test_an_entry_outlives_the_process_that_wrote_it(self, open: Open) -> None:
        """As a push does: who leases the task next finds it."""
        connector, name = open("lease"), fresh()
        push(connector, "q", b"a")

        def work() -> None:
            worker = Consumer(open("lease"), name=name)
            worker.take()
            enter(worker, 1, CHARGED)

        together([work])
        open("keep").release("q", name, (), {1: b"killed"}, close=True)
        worker = Consumer(open("lease"))
        assert enter(worker, again(worker)) == CHARGED

    # where entries go (G1)

    def test_entries_go_with_a_task_that_comes_again(self, open: Open) -> None:
        """`Back`, `Again` with another payload, `Park`, and a worker that says that it holds nothing."""
        worker = holding(open)
        worker.exchange(Back(1, 1), limit=0)
        receipt = again(worker)
        assert enter(worker, receipt, {"more": b"1"}) == {**CHARGED, "more": b"1"}
        worker.exchange(Again(receipt, b"b", 0.05, priority=3), limit=0)
        receipt = again(worker)
        assert enter(worker, receipt, {"more": b"2"}) == {**CHARGED, "more": b"2"}
        worker.exchange(Park(receipt, 0.05), limit=0)
        receipt = again(worker)
        assert enter(worker, receipt, {"more": b"3"}) == {**CHARGED, "more": b"3"}
        [delivery] = worker.exchange(holds_nothing=True).deliveries
        assert delivery.payload == b"b"
        assert enter(worker, delivery.receipt) == {**CHARGED, "more": b"3"}

    def test_entries_go_with_a_task_that_is_released(self, open: Open) -> None:
        """A suspect, at once and after a delay, and one that is none."""
        worker = holding(open, poison_delays=(0.0, 0.05))
        receipt = 1
        for suspects in ({}, {receipt: b"first"}, None):
            worker.release((), {receipt: b"second"} if suspects is None else suspects)
            receipt = again(worker)
            assert enter(worker, receipt) == CHARGED
        worker.release((), {receipt: b"last"}, close=True)
        other = Consumer(worker.connector)
        assert enter(other, again(other)) == CHARGED

    def test_entries_go_with_a_task_that_is_taken_back(self, open: Open) -> None:
        """From a consumer that is overdue, by the one that leases it next."""
        holding(open, lease=LEASE)
        watcher = Consumer(open("lease"))
        [delivery] = take_over(watcher)
        assert delivery.count == 1
        assert enter(watcher, delivery.receipt) == CHARGED

    @pytest.mark.parametrize("payload", [None, b"other"], ids=["as it was", "with another payload"])
    def test_entries_go_with_a_letter_and_its_revival(self, open: Open, payload: bytes | None) -> None:
        """Twice; and not with the letter of another task."""
        worker = holding(open)
        push(worker.connector, "q", b"a", ids=["without"])
        bare = again(worker)
        worker.exchange(Dead(bare, "bare", b"{}"), Dead(1, "id", b"{}", b"as buried"), limit=0)
        for receipt in (3, 4):
            [letter] = worker.connector.letters("q", "id")
            assert worker.connector.revive("q", {letter.id: payload}) == 1
            [delivery] = worker.take()
            assert delivery == (receipt, payload or b"as buried", 0, None, 0.0)
            assert enter(worker, receipt) == CHARGED
            worker.exchange(Dead(receipt, "id", b"{}"), limit=0)
        [letter] = worker.connector.letters("q", "bare")
        worker.connector.revive("q", {letter.id: payload})
        assert enter(worker, again(worker)) == {}

    def test_entries_are_no_part_of_a_payload(self, open: Open) -> None:
        """A delivery, a peek and a letter show what was pushed; the counts are those without entries."""
        worker = holding(open, b"payload")
        [seen] = worker.connector.peek("q", "leased")
        assert (seen.payload, worker.connector.counts("q").leased) == (b"payload", 1)
        worker.exchange(Back(1, 1), limit=0)
        [seen] = worker.connector.peek("q", "ready")
        assert seen.payload == b"payload"
        assert list(worker.repeat().deliveries) == []
        [delivery] = worker.exchange(max_bytes=len(b"payload")).deliveries
        assert delivery == (2, b"payload", 0, None, 0.0)
        worker.exchange(Dead(2, "id", b"{}"), limit=0)
        [letter] = worker.connector.dead("q")
        assert letter.payload == b"payload" and letter.reason == b"{}"

    # where they end (G1)

    def test_entries_end_with_their_task(self, open: Open) -> None:
        """`Done` of a worker and of a release, `purge` and `drop`: a task of the same bytes and id begins without."""
        connector = open("lease")
        worker = Consumer(connector, terms=Terms(id_window=0.0))
        for end in ("done", "released", "purged", "dropped"):
            push(connector, "q", b"a", ids=["id"], id_window=0.0)
            receipt = again(worker)
            assert enter(worker, receipt) == {}, f"before {end}"
            enter(worker, receipt, CHARGED)
            if end == "done":
                worker.exchange(Done(receipt, receipt), limit=0)
            elif end == "released":
                worker.release([(receipt, receipt)], {})
            elif end == "purged":
                worker.exchange(Back(receipt, receipt), limit=0)
                assert connector.purge("q") == 1
            else:
                worker.exchange(Dead(receipt, "id", b"{}"), limit=0)
                assert connector.drop("q") == 1
            time.sleep(0.01)
        push(connector, "q", b"a")
        assert enter(worker, again(worker)) == {}

    # who may (G2)

    def test_only_who_holds_a_task_may_enter(self, open: Open) -> None:
        """None for a receipt that was settled, given back or never leased, for another consumer and another queue; nothing is written
        by it, and no queue is made."""
        worker = holding(open)
        other = Consumer(worker.connector)
        for entries in (None, {"late": b"1"}):
            assert enter(worker, 2, entries) is None
            assert enter(other, 1, entries) is None
            assert able(worker.connector).enter("q", "unknown", 1, entries or {}) is None
            assert able(worker.connector).enter("none", worker.name, 1, entries or {}) is None
        assert enter(worker) == CHARGED and list(worker.connector.queues()) == ["q"]
        worker.exchange(Back(1, 1), limit=0)
        assert enter(worker, 1, {"late": b"1"}) is None
        assert enter(other, again(other)) == CHARGED
        assert enter(worker, 1, {"late": b"1"}) is None
        other.exchange(Done(1, 1), limit=0)
        assert enter(other, 1, {"late": b"1"}) is None and enter(other, 1) is None

    def test_who_was_released_closed_or_fenced_enters_nothing(self, open: Open) -> None:
        """A zombie that comes after its task was given to another one."""
        worker = holding(open)
        worker.release((), {})
        assert enter(worker, 1, {"late": b"1"}) is None
        receipt = again(worker)
        worker.release((), {}, close=True)
        assert enter(worker, receipt, {"late": b"2"}) is None
        lost = Consumer(worker.connector, terms=Terms(lease=LEASE))
        receipt = again(lost)
        watcher = Consumer(open("lease"))
        [delivery] = take_over(watcher)
        assert enter(lost, receipt, {"late": b"3"}) is None and enter(lost, receipt) is None
        assert enter(watcher, delivery.receipt) == CHARGED

    def test_a_queue_without_entries_is_as_it_was(self, open: Open) -> None:
        """Reading leaves nothing: the task, its order and the counts stay, and it is settled and leased as ever."""
        connector = open("lease")
        push(connector, "q", b"a", b"b", b"c")
        worker = Consumer(connector)
        worker.take(2)
        before = connector.counts("q")._replace(oldest=None)
        assert enter(worker, 1) == {} and enter(worker, 2) == {}
        assert connector.counts("q")._replace(oldest=None) == before
        worker.exchange(Back(1, 2), limit=0)
        assert worker.payloads() == [b"a", b"b", b"c"]
        assert list(worker.exchange(Done(3, 5)).lost) == []
        assert connector.counts("q").leased == 0

    def test_a_closed_connector_enters_nothing(self, open: Open) -> None:
        """It is a StoreError; opened again, it does."""
        worker = holding(open)
        worker.connector.close()
        with pytest.raises(StoreError):
            enter(worker)
        worker.connector.open("lease")
        assert enter(worker) == CHARGED

    # beside other extras

    def test_entries_go_with_a_task_that_is_steered(self, open: Open) -> None:
        """Another priority and another time carry them; who is dropped by hand leaves none."""
        worker = holding(open)
        worker.exchange(Back(1, 1), limit=0)
        steer(worker.connector, b"a", priority=4)
        steer(worker.connector, b"a", delay=600)
        steer(worker.connector, b"a", state="delayed", delay=0)
        receipt = again(worker)
        assert enter(worker, receipt) == CHARGED
        worker.exchange(Back(receipt, receipt), limit=0)
        steer(worker.connector, b"a", drop=True)
        push(worker.connector, "q", b"a")
        assert enter(worker, again(worker)) == {}

    def test_entries_go_with_a_task_that_is_charged(self, open: Open) -> None:
        """In a lane, leased and given back in every way, with a key; a task that takes its place begins without."""
        connector: Any = open("lease")
        connector.admit("q", [b"a"], [Ticket("crm", "acme", "key", id="a")], priority=1, token=fresh("token"))
        worker = Consumer(connector, terms=Terms(slots=10))
        assert enter(worker, again(worker), CHARGED) == CHARGED
        worker.exchange(Back(1, 1), limit=0)
        receipt = again(worker)
        worker.exchange(Again(receipt, b"b", 0.05), limit=0)
        receipt = again(worker)
        assert enter(worker, receipt) == CHARGED
        worker.exchange(Dead(receipt, "a", b"{}"), limit=0)
        [letter] = connector.dead("q")
        connector.revive("q", {letter.id: None})
        receipt = again(worker)
        assert enter(worker, receipt) == CHARGED
        worker.exchange(Back(receipt, receipt), limit=0)
        again_by_key = Ticket("crm", "acme", "key", clash="replace", id="b")
        connector.admit("q", [b"c"], [again_by_key], priority=1, token=fresh("token"))
        [delivery] = worker.take()
        assert delivery.payload == b"c" and enter(worker, delivery.receipt) == {}, "it took the place of another task"


marked(EnteringContract.test_entries_go_with_a_task_that_is_steered, "steer")
marked(EnteringContract.test_entries_go_with_a_task_that_is_charged, "flow")
