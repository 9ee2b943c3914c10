"""The promises of effects: what an attempt leaves behind comes with the settlement that takes its receipt, once, or not."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from regiment.contracts import Again, Back, Dead, Done, Drop, Park, Settlement, StoreUnavailable, Terms
from regiment.errors import Fenced
from regiment_testing.contracts.bench import (
    LEASE,
    MIB,
    PATIENCE,
    Bench,
    Consumer,
    Open,
    extra,
    fresh,
    take_over,
)
from regiment_testing.contracts.leaving import (
    TRACES,
    Left,
    able,
    apply,
    holding,
    keep,
    left_nothing,
    send,
    values,
    waiting_tasks,
)
from regiment_testing.contracts.release import NOTHING
from regiment_testing.faults import Faulty


@extra("effects")
class EffectsContract(Bench):
    """E1, E6: exchange and release with effects."""

    @pytest.mark.parametrize("settlement", [Done(1, 1), Again(1, b"again", 60.0), Dead(1, "id", b"{}")])
    def test_effects_come_with_done_again_and_dead(self, open: Open, settlement: Settlement) -> None:
        """E1: when the exchange returns, the record is there and the task was sent."""
        worker = holding(open("lease"))
        assert not worker.exchange(settlement, limit=0, effects={1: TRACES}).lost
        look = open("look")
        assert values(look, "q", "k") == [b"v"]
        assert waiting_tasks(look, "child") == [b"child"]
        counts = look.counts("q")
        wanted = {Done: (0, 0), Again: (1, 0), Dead: (0, 1)}[type(settlement)]
        assert (counts.delayed, counts.dead) == wanted and counts.leased == 0

    @pytest.mark.parametrize("settlement", [Back(1, 1), Park(1, 60.0)])
    def test_effects_do_not_come_with_back_and_park(self, open: Open, settlement: Settlement) -> None:
        """E1: the attempt has not ended."""
        worker = holding(open("lease"))
        assert not worker.exchange(settlement, limit=0, effects={1: TRACES}).lost
        assert left_nothing(open)

    def test_a_lost_receipt_leaves_nothing_behind_and_the_others_do(self, open: Open) -> None:
        """E1: who settled it before has left its effects."""
        worker = holding(open("lease"), 3)
        worker.exchange(Done(1, 1), limit=0)
        effects: Left = {1: TRACES, 2: [keep("two")], 7: [keep("seven")]}
        assert sorted(worker.exchange(Done(1, 2), Done(7, 7), limit=0, effects=effects).lost) == [1, 7]
        assert left_nothing(open)
        assert values(open("look"), "q", "two", "seven") == [b"v", None]

    def test_a_receipt_that_is_not_settled_leaves_nothing_behind(self, open: Open) -> None:
        """E1: effects belong to a settlement."""
        worker = holding(open("lease"), 2)
        worker.exchange(Done(1, 1), limit=0, effects={2: TRACES})
        assert left_nothing(open)
        assert open("look").counts("q").leased == 1

    def test_the_receipts_of_another_consumer_leave_nothing_behind(self, open: Open) -> None:
        """E1: the same number means another task for another consumer."""
        connector = open("lease")
        holder, other = holding(connector), Consumer(connector)
        assert list(other.exchange(Done(1, 1), limit=0, effects={1: TRACES}).lost) == [1]
        assert left_nothing(open)
        assert not holder.exchange(Done(1, 1), limit=0, effects={1: TRACES}).lost
        assert values(open("look"), "q", "k") == [b"v"]

    def test_one_exchange_takes_effects_of_many_endings(self, open: Open) -> None:
        """E1: for each receipt on its own, in whatever order they are settled."""
        worker = holding(open("lease"), 9)
        worker.exchange(Done(2, 2), limit=0)
        settlements = (Dead(8, "id", b"{}"), Done(5, 7), Park(9, 60.0), Again(1, b"again"), Back(3, 3), Done(4, 4))
        effects: Left = {number: [keep(str(number), b"%d" % number)] for number in range(1, 12)}
        assert not worker.exchange(*settlements, limit=0, effects=effects).lost
        there = values(open("look"), "q", *[str(number) for number in range(1, 12)])
        assert there == [b"1", None, None, b"4", b"5", b"6", b"7", b"8", None, None, None]

    def test_effects_are_applied_in_the_order_of_the_receipts(self, open: Open) -> None:
        """Not in that of the settlements; those of one receipt in the order in which they are given."""
        worker = holding(open("lease"), 3)
        effects: Left = {
            3: [keep("k", b"three"), keep("gone"), Drop(["gone"])],
            1: [keep("k", b"one"), send("q", b"from one")],
            2: [keep("k", b"two"), send("q", b"from two")],
        }
        worker.exchange(Done(3, 3), Done(2, 2), Done(1, 1), limit=0, effects=effects)
        assert values(open("look"), "q", "k", "gone") == [b"three", None]
        assert waiting_tasks(open("look"), "q") == [b"from one", b"from two"]

    def test_a_thousand_receipts_settle_with_their_effects_in_one_exchange(self, open: Open) -> None:
        """A batch is as large without effects."""
        worker = holding(open("lease"), 1000)
        effects: Left = {n: [keep(f"key {n}", b"%d" % n), send("child", b"%d" % n)] for n in range(1, 1001)}
        assert not worker.exchange(Done(1, 1000), limit=0, effects=effects).lost
        look = open("look")
        assert values(look, "q", *[f"key {n}" for n in range(1, 1001)]) == [b"%d" % n for n in range(1, 1001)]
        assert sorted(waiting_tasks(look, "child")) == sorted(b"%d" % n for n in range(1, 1001))

    @pytest.mark.parametrize("delivery", ["at_least_once", "at_most_once"])
    def test_effects_come_also_if_the_worker_holds_nothing_else(self, open: Open, delivery: str) -> None:
        """What the store still lists goes back, and leaves nothing."""
        worker = holding(open("lease"), 3, terms=Terms(delivery=delivery))
        effects: Left = {1: TRACES, 2: [keep("two")]}
        taken = worker.exchange(Done(1, 1), limit=9, holds_nothing=True, effects=effects)
        assert [delivery.payload for delivery in taken.deliveries] == [b"task 2", b"task 3"]
        assert values(open("look"), "q", "k", "two") == [b"v", None]
        assert not worker.exchange(Done(4, 5), limit=0, effects={4: [keep("two")], 5: [send("child", b"5")]}).lost
        assert values(open("look"), "q", "two") == [b"v"]
        assert sorted(waiting_tasks(open("look"), "child")) == [b"5", b"child"]

    def test_effects_may_be_of_megabytes(self, open: Open) -> None:
        """Four megabytes are kept here, and four are sent to another queue."""
        worker, payload = holding(open("lease"), 4), os.urandom(MIB)
        effects: Left = {n: [keep(str(n), payload), send("child", payload)] for n in range(1, 5)}
        assert not worker.exchange(Done(1, 4), limit=0, effects=effects).lost
        assert values(open("look"), "q", "1", "2", "3", "4") == [payload] * 4
        assert Consumer(open("lease"), "child").payloads() == [payload] * 4

    # what is late or repeated

    def test_a_repeated_turn_applies_nothing_again(self, open: Open) -> None:
        """E6: through the same connection or another one, though what it left is gone by then."""
        connector = open("lease")
        worker = holding(connector)
        worker.exchange(Done(1, 1), limit=0, effects={1: TRACES})
        apply(connector, "q", Drop(["k"]))
        assert Consumer(connector, "child").payloads() == [b"child"]
        worker.repeat()
        worker.repeat(open("lease"))
        assert left_nothing(open)

    def test_an_exchange_whose_answer_was_lost_has_left_its_effects_once(self, open: Open) -> None:
        """E6: the repeat hears the same answer."""
        faulty = Faulty(open("lease"))
        worker = holding(faulty, 2)
        faulty.order("exchange", "lost")
        with pytest.raises(StoreUnavailable):
            worker.exchange(Done(1, 2), limit=0, effects={1: TRACES, 2: [send("child", b"other")]})
        assert not worker.repeat().lost
        assert values(open("look"), "q", "k") == [b"v"]
        assert sorted(waiting_tasks(open("look"), "child")) == [b"child", b"other"]

    def test_a_turn_out_of_order_leaves_nothing_behind(self, open: Open) -> None:
        """It is refused without effect."""
        connector = able(open("lease"))
        worker = holding(connector)
        for turn in (0, 3, 50):
            with pytest.raises(Fenced):
                connector.exchange("q", worker.name, turn, 9, [Done(1, 1)], 0, 1000, effects={1: TRACES})
        assert left_nothing(open)
        assert connector.counts("q").leased == 1

    def test_a_closed_or_unknown_consumer_leaves_nothing_behind(self, open: Open) -> None:
        """What it held went back when it was closed."""
        connector = able(open("lease"))
        worker = holding(connector)
        worker.release([], {}, close=True)
        with pytest.raises(Fenced):
            worker.exchange(Done(1, 1), limit=0, effects={1: TRACES})
        with pytest.raises(Fenced):
            connector.exchange("q", fresh(), 1, 9, [Done(1, 1)], 0, 1000, effects={1: TRACES})
        connector.release("q", fresh(), [(1, 1)], {}, effects={1: TRACES})
        worker.release([(1, 1)], {}, close=True, effects={1: TRACES})
        assert left_nothing(open)

    def test_a_fenced_consumer_leaves_nothing_behind(self, open: Open) -> None:
        """Neither its own exchange nor a release for it; those of the new holder's run count."""
        connector = open("lease")
        late, watcher = holding(connector, terms=Terms(lease=LEASE)), Consumer(connector)
        [delivery] = take_over(watcher)
        with pytest.raises(Fenced):
            late.exchange(Done(1, 1), limit=0, effects={1: TRACES})
        late.release([(1, 1)], {}, effects={1: TRACES})
        late.release([(1, 1)], {}, close=True, effects={1: TRACES})
        assert left_nothing(open)
        watcher.exchange(Done(delivery.receipt, delivery.receipt), limit=0, effects={delivery.receipt: TRACES})
        assert not left_nothing(open)

    # release

    def test_a_release_leaves_the_effects_of_what_it_settles(self, open: Open) -> None:
        """E1: of what goes back, nothing."""
        worker = holding(open("lease"), 4)
        effects: Left = {n: [keep(str(n)), send("child", b"%d" % n)] for n in (1, 2, 3, 9)}
        able(open("keep")).release("q", worker.name, [(1, 2), (9, 9)], {3: b"note"}, close=True, effects=effects)
        look = open("look")
        assert values(look, "q", "1", "2", "3", "9") == [b"v", b"v", None, None]
        assert sorted(waiting_tasks(look, "child")) == [b"1", b"2"]
        assert waiting_tasks(look, "q") == [b"task 3", b"task 4"]

    def test_a_repeated_release_leaves_nothing_again(self, open: Open) -> None:
        """R9: a keeper repeats it until it is answered."""
        keeper = Faulty(open("keep"))
        worker = holding(open("lease"), 2)
        order: tuple[Any, ...] = ("q", worker.name, [(1, 1)], {})
        keeper.order("release", "lost")
        with pytest.raises(StoreUnavailable):
            keeper.release(*order, close=True, effects={1: TRACES})
        assert not left_nothing(open)
        apply(open("push"), "q", Drop(["k"]))
        assert Consumer(open("lease"), "child").payloads() == [b"child"]
        keeper.release(*order, close=True, effects={1: TRACES})
        able(open("keep")).release(*order, effects={1: TRACES})
        assert left_nothing(open)

    def test_what_a_release_settled_the_worker_does_not_leave_again(self, open: Open) -> None:
        """E1: the keeper settles for a busy worker, whose own exchange then hears no "lost" and leaves the rest."""
        worker = holding(open("lease"), 3)
        able(open("keep")).release("q", worker.name, [(1, 2)], {}, only=NOTHING, effects={1: TRACES})
        assert waiting_tasks(open("look"), "child") == [b"child"]
        effects: Left = {1: TRACES, 2: [keep("two")], 3: [keep("three")]}
        assert not worker.exchange(Done(1, 3), limit=0, effects=effects).lost
        assert waiting_tasks(open("look"), "child") == [b"child"]
        assert values(open("look"), "q", "k", "two", "three") == [b"v", None, b"v"]

    def test_what_the_worker_settled_a_release_does_not_leave_again(self, open: Open) -> None:
        """E1: the exchange was executed and the worker died before it knew; its keeper names the same receipts."""
        worker = holding(open("lease"), 2)
        worker.exchange(Done(1, 1), limit=0, effects={1: TRACES})
        able(open("keep")).release("q", worker.name, [(1, 1)], {}, close=True, effects={1: TRACES})
        assert waiting_tasks(open("look"), "child") == [b"child"]
        assert waiting_tasks(open("look"), "q") == [b"task 2"]

    def test_the_length_of_a_span_does_not_matter(self, open: Open) -> None:
        """A keeper names all numbers of a page; only three of them have effects."""
        worker = holding(open("lease"), 3)
        start = time.monotonic()
        effects: Left = {n: [send("child", b"%d" % n)] for n in (1, 2, 3)}
        able(open("keep")).release("q", worker.name, [(1, 1_000_000)], {}, close=True, effects=effects)
        assert time.monotonic() - start < PATIENCE / 3
        assert sorted(waiting_tasks(open("look"), "child")) == [b"1", b"2", b"3"]
