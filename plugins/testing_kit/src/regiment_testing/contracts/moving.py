"""The promises of `steer`: what waits gets another priority or another time, and keeps all else."""

from __future__ import annotations

import time
from typing import Any

from regiment.contracts import Park, Terms
from regiment_testing.contracts import waiting
from regiment_testing.contracts.bench import Bench, Consumer, Open, extra, push, until
from regiment_testing.contracts.hand import able, payloads, steer, walk
from regiment_testing.contracts.waiting import idle, later


@extra("steer")
class MovingContract(Bench):
    """steer, moving."""

    # move

    def test_another_priority_puts_a_task_at_its_tail(self, open: Open) -> None:
        """Upwards and downwards, and behind its own as well."""
        connector = open("lease")
        push(connector, "q", b"high", priority=0)
        push(connector, "q", b"a", b"b", b"c", b"d")
        push(connector, "q", b"low", priority=2)
        steer(connector, b"c", priority=0)
        steer(connector, b"a", priority=2)
        steer(connector, b"b", priority=1)
        steer(connector, b"low", priority=9)
        push(connector, "q", b"behind", priority=0)
        assert [(t.payload, t.priority) for t in walk(connector)] == [
            (b"high", 0),
            (b"c", 0),
            (b"behind", 0),
            (b"d", 1),
            (b"b", 1),
            (b"a", 2),
            (b"low", 9),
        ]
        assert Consumer(connector).payloads() == [b"high", b"c", b"behind", b"d", b"b", b"a", b"low"]

    def test_a_delayed_task_gets_another_priority_and_keeps_its_time(self, open: Open) -> None:
        """It is behind those of its new priority when its time has come."""
        connector = open("lease")
        push(connector, "q", b"first", priority=0)
        push(connector, "q", b"soon", delay=1.0, priority=5)
        push(connector, "q", b"later", delay=60, priority=5)
        steer(connector, b"soon", b"later", state="delayed", priority=0)
        assert payloads(connector, "delayed")[-1:] == [b"later"]
        later = walk(connector, "delayed")[-1]
        assert later.priority == 0 and 30 < later.due <= 60
        push(connector, "q", b"low", priority=3)
        worker = Consumer(connector)
        worker.exchange(limit=0)
        until(lambda: not worker.exchange(limit=0).deliveries and connector.counts("q").ready == 3)
        assert worker.payloads() == [b"first", b"soon", b"low"]

    def test_delay_0_makes_a_task_ready_at_the_tail_of_its_priority(self, open: Open) -> None:
        """One that is delayed, and one that is ready already."""
        connector = open("lease")
        push(connector, "q", b"a", b"b")
        push(connector, "q", b"later", delay=600)
        push(connector, "q", b"low", priority=2)
        push(connector, "q", b"last", delay=600, priority=2)
        steer(connector, b"later", b"last", state="delayed", delay=0)
        steer(connector, b"a", delay=0)
        assert (connector.counts("q").ready, connector.counts("q").delayed) == (5, 0)
        assert payloads(connector) == [b"b", b"later", b"a", b"low", b"last"]
        assert all(task.due == 0.0 for task in walk(connector))
        assert Consumer(connector).payloads() == [b"b", b"later", b"a", b"low", b"last"]

    def test_a_ready_task_can_be_delayed_and_a_delayed_one_moved(self, open: Open) -> None:
        """Counted from now, later and earlier."""
        connector = open("lease")
        push(connector, "q", b"a", b"b", b"c")
        push(connector, "q", b"d", delay=600)
        steer(connector, b"b", delay=300)
        steer(connector, b"c", delay=0.5)
        steer(connector, b"d", state="delayed", delay=100)
        steer(connector, b"b", state="delayed", delay=200)
        delayed = walk(connector, "delayed")
        assert [task.payload for task in delayed][-2:] == [b"d", b"b"]
        assert 50 < delayed[-2].due <= 100 < 150 < delayed[-1].due <= 200
        worker = Consumer(connector)
        assert worker.payloads()[:1] == [b"a"]
        if connector.counts("q").leased == 1:
            until(lambda: worker.payloads() == [b"c"])
        assert (connector.counts("q").leased, connector.counts("q").delayed) == (2, 2)

    def test_priority_and_time_can_be_changed_at_once(self, open: Open) -> None:
        """Of ready and delayed ones."""
        connector = open("lease")
        push(connector, "q", b"ready", b"other")
        push(connector, "q", b"x", b"y", delay=600)
        push(connector, "q", b"high", priority=0)
        steer(connector, b"ready", priority=3, delay=100)
        steer(connector, b"x", state="delayed", priority=0, delay=0)
        steer(connector, b"y", state="delayed", priority=7, delay=200)
        steer(connector, b"other", priority=0, delay=0)
        assert payloads(connector) == [b"high", b"x", b"other"]
        seen = walk(connector, "delayed")
        assert [(task.payload, task.priority) for task in seen] == [(b"ready", 3), (b"y", 7)]
        assert 50 < seen[0].due <= 100 < 150 < seen[1].due <= 200

    def test_count_note_parking_and_id_stay(self, open: Open) -> None:
        """Whatever is changed, and however often."""
        connector = open("lease")
        push(connector, "q", b"a", ids=["a"], id_window=0.2)
        worker = Consumer(connector, terms=Terms(poison_delays=(0.0,)))
        worker.take()
        worker.exchange(Park(1, 0.0))
        worker.release([], {2: b"evidence"})
        time.sleep(0.3)
        changes: list[dict[str, Any]] = [{"priority": 4}, {"delay": 60}, {"priority": 2}, {"delay": 30}, {"delay": 0}]
        for change in changes:
            [task] = walk(connector) + walk(connector, "delayed")
            assert len(able(connector).steer("q", [task.place], **change)) == 1
            [task] = walk(connector) + walk(connector, "delayed")
            assert (task.payload, task.count, task.note) == (b"a", 1, b"evidence") and 0.2 < task.parked < 30
            assert list(push(connector, "q", b"a", ids=["a"], id_window=0.2)) == [0], "its id waits"
        [delivery] = worker.take(5)
        assert (delivery.payload, delivery.count, delivery.note) == (
            b"a",
            1,
            b"evidence",
        ) and 0.2 < delivery.parked < 30

    # who waits

    def test_what_is_made_ready_ends_a_wait(self, open: Open) -> None:
        """At once, not when it had been due."""
        push(open("push"), "q", b"a", delay=600)
        worker, operator = idle(open), open("push")
        timer = later(0.3, lambda: steer(operator, b"a", state="delayed", delay=0))
        queues, seconds = worker.wait(waiting.FAR)
        timer.join()
        assert queues == ["q"] and seconds < waiting.SOON
        assert worker.payloads() == [b"a"]

    def test_what_is_to_be_due_earlier_ends_a_wait_in_time(self, open: Open) -> None:
        """The wait that knew of a later time ends; the next exchange learns the new one."""
        push(open("push"), "q", b"a", delay=600)
        worker, operator = idle(open), open("push")
        timer = later(0.3, lambda: steer(operator, b"a", state="delayed", delay=1.0))
        start = time.monotonic()
        worker.wait(waiting.FAR)
        timer.join()
        while not (found := worker.payloads()) and time.monotonic() - start < waiting.FAR:
            worker.wait(waiting.FAR)
        assert found == [b"a"] and 1.0 < time.monotonic() - start < waiting.SOON
