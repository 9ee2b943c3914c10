"""The promises of tasks that a step sends: as if they were pushed, and what is meant for another place arrives once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from threading import Barrier

import pytest

from regiment.contracts import Again, Back, Connector, Dead, Done
from regiment_testing.contracts.bench import (
    PATIENCE,
    Bench,
    Child,
    Consumer,
    Open,
    extra,
    fresh,
    push,
    shared,
    until,
)
from regiment_testing.contracts.leaving import (
    TRACES,
    Left,
    able,
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
class SendingContract(Bench):
    """Send; E8, E9."""

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
        """As if it were pushed; between other queues nothing is ordered (E10)."""
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
        if queue == "q":
            assert seen == ready, "in the order of the effects"
        assert (seen[:2], sorted(seen[2:4]), seen[4:]) == (ready[:2], [b"past", b"same"], ready[4:])
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

    def test_an_id_is_known_for_its_window(self, open: Open) -> None:
        """After that, and when no task of that id waits or runs there, it is sent again; a task that runs keeps it out."""
        connector = open("lease")
        worker, other = holding(connector, 4), Consumer(connector, "child")
        one = [send("child", b"a", ids=["a"], id_window=0.3)]
        worker.exchange(Done(1, 1), limit=0, effects={1: one})
        assert other.payloads() == [b"a"]
        time.sleep(0.6)
        worker.exchange(Done(2, 2), limit=0, effects={2: one})
        assert waiting_tasks(connector, "child") == []
        other.exchange(Done(1, 1), limit=0)
        worker.exchange(Done(3, 3), limit=0, effects={3: one})
        assert waiting_tasks(connector, "child") == [b"a"]

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

    def test_a_task_that_ends_again_leaves_its_effects_again(self, open: Open) -> None:
        """E9: a letter that is revived, a task that is tried again: each settlement is one of its own, also elsewhere."""
        connector = open("lease")
        worker = holding(connector)
        worker.exchange(Dead(1, "id", b"{}"), limit=0, effects={1: [send("child", b"dead")]})
        [letter] = connector.dead("q")
        assert connector.revive("q", {letter.id: None}) == 1
        for receipt, word in ((2, b"again"), (3, b"done")):
            assert [delivery.receipt for delivery in worker.take()] == [receipt]
            end = Again(receipt, b"task 1") if word == b"again" else Done(receipt, receipt)
            worker.exchange(end, limit=0, effects={receipt: [send("child", word)]})
        assert sorted(waiting_tasks(connector, "child")) == [b"again", b"dead", b"done"]

    def test_no_settlement_is_taken_for_another_one(self, open: Open) -> None:
        """E9: neither those of one consumer, by turns and by a release, nor those of one name at two queues."""
        connector, name = able(open("lease")), fresh()
        for queue in ("q", "r"):
            worker = holding(connector, 6, queue, name=name)
            for receipt in (1, 2):
                worker.exchange(Done(receipt, receipt), limit=0, effects={receipt: [send("child", b"%d" % receipt)]})
            for done in ([(3, 3)], [(4, 5)]):
                effects: Left = {n: [send("child", b"%d" % n)] for n in range(done[0][0], done[0][1] + 1)}
                connector.release(queue, name, done, {}, only=NOTHING, effects=effects)
            worker.exchange(Done(6, 6), limit=0, effects={6: [send("child", b"6")]})
        assert sorted(waiting_tasks(connector, "child")) == sorted([b"%d" % n for n in range(1, 7)] * 2)

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
        """E1 and E8: what it has settled for other queues is sent on by whoever touches its queue, soon. All are killed first: a
        connector may give the owner of what is left a moment, and it passes once for all.
        """
        look, keeper = open("look"), open("lease")
        places = [(f"home{n}", f"child{n}") for n in range(8)]
        for n, (home, child) in enumerate(places):
            self._killed_in_its_exchange(open, home, child, n)
        for home, child in places:
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
