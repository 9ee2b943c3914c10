"""The promises of effects: what an attempt leaves behind comes with the settlement that takes its receipt, once, or not."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from threading import Barrier
from typing import Any

import pytest

from regiment.contracts import Again, Back, Connector, Dead, Done, Drop, Park, Settlement, StoreUnavailable, Terms
from regiment.errors import Fenced
from regiment_testing.contracts.bench import (
    LEASE,
    PATIENCE,
    Bench,
    Child,
    Consumer,
    Open,
    extra,
    fresh,
    push,
    shared,
    take_over,
    until,
)
from regiment_testing.contracts.leaving import (
    TRACES,
    Left,
    able,
    apply,
    at_once,
    holding,
    keep,
    left_nothing,
    record,
    send,
    values,
    waiting_tasks,
)
from regiment_testing.contracts.release import NOTHING
from regiment_testing.faults import Faulty


@extra("effects")
class EffectsContract(Bench):
    """E1, E6, E8: exchange and release with effects."""

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
        assert waiting_tasks(open("look"), "child") == [b"child", b"other"]

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
        assert waiting_tasks(look, "child") == [b"1", b"2"]
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
        assert waiting_tasks(open("look"), "child") == [b"1", b"2", b"3"]

    # tasks that are sent

    def test_a_task_that_is_sent_to_its_own_queue_is_leased_by_this_exchange_or_the_next(self, open: Open) -> None:
        """It is not lost between the two: the same consumer does not sleep on it."""
        worker = holding(open("lease"))
        taken = worker.exchange(Done(1, 1), effects={1: [send("q", b"child")]})
        found = [delivery.payload for delivery in taken.deliveries]
        if not found:
            assert worker.wait(2 * PATIENCE)[1] < PATIENCE
            found = until(worker.payloads)
        assert found == [b"child"]
        assert open("look").counts("q").ready == 0

    @pytest.mark.parametrize("queue", ["q", "child"])
    def test_a_task_that_is_sent_ends_a_wait(self, open: Open, queue: str) -> None:
        """In the queue of the settlement and in another one."""
        worker, sleeper = holding(open("lease")), Consumer(open("lease"), queue)
        assert not sleeper.exchange().deliveries
        worker.exchange(Done(1, 1), limit=0, effects={1: [send(queue, b"child")]})
        assert sleeper.wait(2 * PATIENCE)[1] < PATIENCE
        assert until(sleeper.payloads) == [b"child"]

    @pytest.mark.parametrize("queue", ["q", "child"])
    def test_a_task_is_sent_with_priority_and_delay_and_time(self, open: Open, queue: str) -> None:
        """As if it were pushed."""
        connector = open("lease")
        worker = holding(connector)
        push(connector, queue, b"pushed", priority=1)
        effects = [
            send(queue, b"low 1", b"low 2", priority=2),
            send(queue, b"high", priority=0),
            send(queue, b"same"),
            send(queue, b"soon", delay=0.5),
            send(queue, b"far", delay=60),
            send(queue, b"later", at=time.time() + 60),
            send(queue, b"past", at=time.time() - 60),
        ]
        worker.exchange(Done(1, 1), limit=0, effects={1: effects})
        ready = [b"high", b"pushed", b"same", b"past", b"low 1", b"low 2"]
        seen = [payload for payload in waiting_tasks(connector, queue) if payload != b"soon"]
        assert seen == ready
        assert connector.counts(queue).delayed >= 2
        time.sleep(1.0)
        other = Consumer(connector, queue)
        assert sorted(other.payloads()) == sorted([*ready, b"soon"])

    @pytest.mark.parametrize("queue", ["q", "child"])
    def test_a_task_whose_id_is_known_is_not_sent(self, open: Open, queue: str) -> None:
        """It waits, runs or was pushed within the window, there; the others of the same effect are sent."""
        connector = open("lease")
        worker = holding(connector, 2)
        push(connector, queue, b"waits", ids=["waits"])
        push(connector, queue, b"was", ids=["was"])
        other = Consumer(connector, queue)
        assert sorted(other.payloads()) == [b"waits", b"was"]
        other.exchange(Done(2, 2), Back(1, 1), limit=0)
        one = send(queue, b"waits", b"new", b"was", b"newer", ids=["waits", "new", "was", "newer"])
        worker.exchange(Done(1, 1), limit=0, effects={1: [one, send(queue, b"twice", ids=["newer"])]})
        worker.exchange(Done(2, 2), limit=0, effects={2: [one]})
        found = waiting_tasks(connector, queue)
        assert sorted(found) == [b"new", b"newer", b"waits"] and found.index(b"new") < found.index(b"newer")
        assert not list(push(connector, "elsewhere", b"a", ids=["new"]))

    def test_a_paused_queue_settles_with_effects(self, open: Open) -> None:
        """It leases nothing, neither what waited nor what was sent."""
        connector = open("lease")
        worker = holding(connector)
        connector.post("q", paused=True)
        taken = worker.exchange(Done(1, 1), effects={1: [*TRACES, send("q", b"child")]})
        assert not taken.deliveries
        assert not left_nothing(open)
        assert waiting_tasks(connector, "q") == [b"child"]

    # other places

    def test_what_two_connections_send_on_at_once_arrives_once(self, open: Open) -> None:
        """E9: every connection that touches the queue sends on what is left there."""
        rounds, worker, gate = 20, holding(open("lease"), 20), Barrier(4)

        def settle() -> None:
            for n in range(1, rounds + 1):
                effects: Left = {n: [send("child", b"%d" % n), send("other", b"%d" % n)]}
                gate.wait(PATIENCE)
                worker.exchange(Done(n, n), limit=0, effects=effects)

        def renew(keeper: Connector) -> None:
            for _ in range(rounds):
                gate.wait(PATIENCE)
                for _ in range(3):
                    keeper.renew([("q", worker.name)], 60)

        at_once(settle, *[partial(renew, open("keep")) for _ in range(3)])
        for queue in ("child", "other"):
            assert sorted(waiting_tasks(open("look"), queue), key=int) == [b"%d" % n for n in range(1, rounds + 1)]

    @shared
    @pytest.mark.parametrize("verb", ["exchange", "release", "renew"])
    def test_a_step_of_a_killed_process_is_whole_or_not_at_all(self, open: Open, verb: str) -> None:
        """E1 and E8: what it has settled for other queues is sent on by the next one that touches its queue."""
        look, keeper = open("look"), open("lease")
        for n in range(8):
            home, child = f"home{n}", f"child{n}"
            self._killed_in_its_exchange(open, home, child, n)
            other = Consumer(keeper, home)
            touches: dict[str, Callable[[], object]] = {
                "exchange": partial(other.exchange, limit=0),
                "release": partial(keeper.release, home, other.name, [], {}, only=NOTHING),
                "renew": partial(keeper.renew, [(home, other.name)], 60),
            }
            touch = touches[verb]

            def sent_on(touch: Callable[[], object] = touch, home: str = home, child: str = child) -> bool:
                touch()
                return look.counts(child).ready + look.counts(home).leased == 50

            until(sent_on)
            keeper.release(home, "victim", [], {}, close=True)  # nothing of it comes later
            settled = 50 - look.counts(home).ready
            there = values(look, home, *[str(key) for key in range(1, 51)]).count(b"v")
            assert (settled, there) in ((0, 0), (50, 50)), "half a step"
            assert sorted(waiting_tasks(look, child), key=int) == [b"%d" % key for key in range(1, settled + 1)]

    @staticmethod
    def _killed_in_its_exchange(open: Open, home: str, child: str, moment: int) -> None:
        """A process that is killed about `moment` milliseconds after it began to settle 50 tasks."""
        ready, told = os.pipe()

        def work() -> None:
            connector = open("lease")
            worker = holding(connector, 50, home, name="victim")
            effects: Left = {key: [keep(str(key)), send(child, b"%d" % key)] for key in range(1, 51)}
            os.write(told, b"!")
            worker.exchange(Done(1, 50), limit=0, effects=effects)
            os.read(os.pipe()[0], 1)

        process = Child(work)
        os.read(ready, 1)
        time.sleep(moment / 1000)
        process.kill()
        os.close(ready)
        os.close(told)

    @shared
    def test_a_process_that_dies_before_it_knows_has_settled_with_its_effects(self, open: Open) -> None:
        """Its keeper's release then finds nothing to settle, and leaves nothing again."""
        name = fresh("victim")

        def work() -> None:
            faulty = Faulty(open("lease"))
            worker = holding(faulty, 2, name=name)
            faulty.order("exchange", "killed")
            worker.exchange(Done(1, 1), limit=0, effects={1: TRACES})

        with pytest.raises(AssertionError, match="the child died"):
            Child(work).answer()
        able(open("keep")).release("q", name, [(1, 2)], {}, close=True, effects={1: TRACES, 2: [keep("two")]})
        look = open("look")
        assert waiting_tasks(look, "child") == [b"child"]
        assert values(look, "q", "k", "two") == [b"v", b"v"]
        assert record(look, "two") is not None
        assert look.counts("q").leased == 0
