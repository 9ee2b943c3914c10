"""The promises of `steer`: it deletes what waits, leaves alone what does not, and either a worker or this verb has a task."""

from __future__ import annotations

import time
from functools import partial
from threading import Barrier
from typing import Any

import pytest

from regiment.contracts import Dead, Done
from regiment.contracts import steer as words
from regiment_testing.contracts import bench
from regiment_testing.contracts.bench import Bench, Consumer, Open, extra, push
from regiment_testing.contracts.hand import WAITING, able, drained, numbered, once, payloads, places, steer, walk
from regiment_testing.contracts.leaving import at_once
from regiment_testing.faults import Faulty


@extra("steer")
class SteeringContract(Bench):
    """steer, deleting; places and races."""

    # delete

    def test_what_is_dropped_is_gone_and_nothing_else(self, open: Open) -> None:
        """Ready and delayed ones; the others keep their order, and no letter is made."""
        connector = open("lease")
        push(connector, "q", b"a", b"b", b"c", b"d", b"e")
        push(connector, "q", b"low", b"lower", priority=4)
        push(connector, "q", b"soon", b"later", delay=60)
        wanted = [*places(connector, b"e", b"low", b"b"), *places(connector, b"soon", state="delayed")]
        assert sorted(able(connector).steer("q", wanted, drop=True)) == sorted(wanted)
        counts = connector.counts("q")
        assert (counts.ready, counts.delayed, counts.leased, counts.dead) == (4, 1, 0, 0)
        assert payloads(connector) == [b"a", b"c", b"d", b"lower"] and payloads(connector, "delayed") == [b"later"]
        push(connector, "q", b"f")
        worker = Consumer(connector)
        assert [d.payload for d in worker.take(2)] + drained(worker) == [b"a", b"c", b"d", b"f", b"lower"]
        worker.release([(1, 3)], {})
        assert worker.payloads() == [b"f", b"lower"]

    def test_the_ids_of_what_was_dropped_are_free(self, open: Open) -> None:
        """As if it had never been pushed; those of the others are not."""
        connector = open("lease")
        push(connector, "q", b"a", b"b", ids=["a", "b"])
        push(connector, "q", b"c", ids=["c"], delay=60)
        steer(connector, b"a", drop=True)
        steer(connector, b"c", drop=True, state="delayed")
        assert list(push(connector, "q", b"a2", b"b2", b"c2", ids=["a", "b", "c"])) == [1]
        assert Consumer(connector).payloads() == [b"b", b"a2", b"c2"]

    def test_a_whole_queue_can_be_dropped_in_one_call(self, open: Open) -> None:
        """More tasks than one step goes through, of both states and of several priorities; also from the tail alone."""
        connector, number = open("lease"), words.STEP + 200
        for priority in (0, 3):
            push(connector, "q", *numbered(0, number, f"p{priority}"), priority=priority)
        push(connector, "q", *numbered(0, number, "later"), delay=600)
        last = places(connector, *numbered(number - 3, number, "p3"))
        assert sorted(able(connector).steer("q", last, drop=True)) == sorted(last)
        rest = [task.place for state in WAITING for task in walk(connector, state, 1000)]
        assert len(rest) == 3 * number - 3
        assert sorted(able(connector).steer("q", rest, drop=True)) == sorted(rest)
        counts = connector.counts("q")
        assert (counts.ready, counts.delayed) == (0, 0)
        push(connector, "q", b"new")
        assert Consumer(connector).payloads() == [b"new"]

    def test_a_task_far_behind_is_reached(self, open: Open) -> None:
        """And those before it stay as they were, on lease and back again."""
        connector, number = open("lease"), 2 * words.STEP + 200
        tasks = numbered(0, number)
        push(connector, "q", *tasks)
        worker = Consumer(connector)
        worker.take(20)
        steer(connector, tasks[number - 100], tasks[600], drop=True)
        worker.release([(1, 10)], {})
        left = [task for n, task in enumerate(tasks) if n >= 10 and n not in (600, number - 100)]
        assert payloads(connector, limit=1000) == left and connector.counts("q").ready == len(left)
        assert drained(worker, 77) == left

    # what is not there

    def test_what_is_on_lease_is_left_alone(self, open: Open) -> None:
        """By the place it had when it was ready, and by that which it has now."""
        connector = open("lease")
        push(connector, "q", b"a", b"b", b"c")
        before = places(connector, b"a", b"b", b"c")
        worker = Consumer(connector)
        worker.take(2)
        held = places(connector, b"a", b"b", state="leased")
        whats: list[dict[str, Any]] = [{"drop": True}, {"priority": 0}, {"delay": 60}]
        for what in whats:
            assert list(able(connector).steer("q", [*before[:2], *held], **what)) == []
        assert list(able(connector).steer("q", [*held, *before], drop=True)) == before[2:]
        assert connector.counts("q").leased == 2
        assert not worker.exchange(Done(1, 2), limit=5).deliveries
        assert connector.counts("q") == connector.counts("q")._replace(ready=0, delayed=0, leased=0, dead=0)

    def test_a_place_never_names_another_task(self, open: Open) -> None:
        """Not one that is pushed after the first was settled, dropped, purged or promoted, nor one of another queue."""
        connector, at = open("lease"), time.time() + 600
        worker = Consumer(connector)
        old: list[str] = []

        def put(**more: Any) -> None:
            push(connector, "q", b"same", b"same", **more)
            old.extend(task.place for task in walk(connector) + walk(connector, "delayed"))

        def drop_all() -> None:
            able(connector).steer("q", old, drop=True)

        for clear in (drop_all, lambda: connector.purge("q"), drop_all):
            for _ in range(2):
                put()
                put(at=at)
                clear()
        for _ in range(2):
            put()
            first = worker.take(9)[0].receipt
            worker.exchange(Done(first, first), Dead(first + 1, "id", b"{}"), limit=0)
            put(at=at)
            able(connector).steer("q", [t.place for t in walk(connector, "delayed")], delay=0)
            assert len(worker.take(9)) == 2
            worker.exchange(Done(1, worker.next - 1), limit=0)
        push(connector, "q", b"same", b"same")
        push(connector, "q", b"same", b"same", at=at)
        push(connector, "other", b"same", b"same")
        push(connector, "other", b"same", b"same", at=at)
        there = [task.place for task in walk(connector) + walk(connector, "delayed")]
        others = [task.place for state in WAITING for task in walk(connector, state, queue="other")]
        assert len({*old, *there, *others}) == len(set(old)) + 8
        assert list(able(connector).steer("q", [*old, *others, "", "none", "0", "é\n"], drop=True)) == []
        assert list(able(connector).steer("other", there, delay=0)) == []
        for queue in ("q", "other"):
            counts = connector.counts(queue)
            assert (counts.ready, counts.delayed) == (2, 2)
        assert list(able(connector).steer("q", [], drop=True)) == []

    def test_a_repeat_is_harmless(self, open: Open) -> None:
        """As after a lost answer, or where the request came twice: nothing is doubled, nothing else is touched."""
        connector = open("lease")
        push(connector, "q", *numbered(0, 40))
        faulty: Any = Faulty(open("push"))
        whats: list[dict[str, Any]] = [{"drop": True}, {"priority": 5}, {"delay": 600}, {"delay": 0}, {"priority": 1}]
        for n, what in enumerate(whats):
            wanted = [task.place for task in walk(connector)[n : n + 5]]
            faulty.order("steer", "twice")
            again = faulty.steer("q", wanted, **what)
            assert set(again) <= set(wanted)
            assert {*faulty.steer("q", wanted, **what)} <= set(wanted)
        ready, delayed = payloads(connector), payloads(connector, "delayed")
        assert once(ready + delayed, numbered(5, 40)) and len(ready + delayed) == 35 and len(delayed) == 5
        assert connector.counts("q").ready == 30
        assert sorted(drained(Consumer(connector))) == sorted(ready)

    def test_it_is_told_what_to_do(self, open: Open) -> None:
        """To delete, or what to change, and not both: else a ValueError, and nothing is done."""
        connector = open("push")
        push(connector, "q", b"a")
        there = places(connector, b"a")
        wrong: list[dict[str, Any]] = [
            {},
            {"drop": False},
            {"drop": True, "priority": 0},
            {"drop": True, "delay": 0},
            {"drop": True, "delay": 1.0, "priority": 1},
        ]
        for what in wrong:
            with pytest.raises(ValueError):
                able(connector).steer("q", there, **what)
        assert places(connector, b"a") == there

    def test_a_paused_queue_can_be_steered(self, open: Open) -> None:
        """And goes on as it was left."""
        connector = open("lease")
        push(connector, "q", b"a", b"b", b"c")
        connector.post("q", paused=True)
        steer(connector, b"a", priority=2)
        steer(connector, b"b", drop=True)
        worker = Consumer(connector)
        assert worker.payloads() == []
        connector.post("q", paused=False)
        assert worker.payloads() == [b"c", b"a"]

    # who is quicker

    @pytest.mark.parametrize("what", ["drop", "priority", "delay"])
    def test_either_a_worker_or_the_hand_has_a_task(self, open: Open, what: str) -> None:
        """Leased and steered in the same moment: by three consumers and by two hands, each with a connection of its own."""
        number, gate = 300, Barrier(5)
        connector = open("lease")
        tasks = numbered(0, number)
        push(connector, "q", *tasks)
        byplace = {task.place: task.payload for task in walk(connector, limit=number)}
        wanted = list(byplace)
        changes: dict[str, dict[str, Any]] = {
            "drop": {"drop": True},
            "priority": {"priority": 7},
            "delay": {"delay": 600},
        }
        change = changes[what]

        def lease(worker: Consumer) -> list[bytes]:
            gate.wait(bench.PATIENCE)
            return drained(worker, 3)

        def touch(operator: Any, forwards: bool) -> list[bytes]:
            order = wanted if forwards else wanted[::-1]
            gate.wait(bench.PATIENCE)
            done = [able(operator).steer("q", order[n : n + 7], **change) for n in range(0, number, 7)]
            return [byplace[place] for part in done for place in part]

        workers = [Consumer(open("lease")) for _ in range(3)]
        hands = [partial(touch, open("push"), forwards) for forwards in (True, False)]
        *leased, one, two = at_once(*[partial(lease, worker) for worker in workers], *hands)
        taken = [payload for part in leased for payload in part]
        left = payloads(connector, "delayed") if what == "delay" else payloads(connector)
        assert len(set(one + two)) == len(one + two), "no two hands have moved one task"
        assert len(set(taken)) == len(taken), "no two consumers have leased one task"
        if what == "drop":
            assert left == [] and sorted(taken + one + two) == tasks
        elif what == "delay":
            assert sorted(left) == sorted(one + two) and sorted(taken + left) == tasks
        else:
            assert once(taken + left, tasks) and len(taken + left) == number
        assert connector.counts("q").leased == len(taken)
