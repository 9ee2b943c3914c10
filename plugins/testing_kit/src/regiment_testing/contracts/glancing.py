"""The promises of `look` and `counts_many`: the whole of a queue can be seen, in small steps, and nothing changes by it."""

from __future__ import annotations

import time

import pytest

from regiment.contracts import Again, Back, Counts, Done, Park, Terms, steer
from regiment_testing.contracts import hand
from regiment_testing.contracts.bench import Bench, Consumer, Open, extra, push, until
from regiment_testing.contracts.hand import able, numbered, once, payloads, places, walk


@extra("steer")
class GlancingContract(Bench):
    """look, counts_many."""

    def test_it_has_the_verbs_of_the_extra(self, open: Open) -> None:
        """It has all verbs that people steer with."""
        assert isinstance(open("push"), steer.Steered)

    def test_a_look_shows_tasks_in_the_order_in_which_they_would_run(self, open: Open) -> None:
        """Ready ones by priority and age, delayed ones by their time. Looking changes nothing."""
        connector = open("lease")
        push(connector, "q", b"low", priority=2)
        push(connector, "q", b"a", b"b")
        push(connector, "q", b"later", b"too", delay=60)
        push(connector, "q", b"soon", delay=30, priority=2)
        look = open("look")
        for _ in range(2):
            ready = walk(look)
            assert [(t.payload, t.state, t.priority, t.due) for t in ready] == [
                (b"a", "ready", 1, 0.0),
                (b"b", "ready", 1, 0.0),
                (b"low", "ready", 2, 0.0),
            ]
            delayed = walk(look, "delayed")
            assert [(t.payload, t.state, t.priority) for t in delayed] == [
                (b"soon", "delayed", 2),
                (b"later", "delayed", 1),
                (b"too", "delayed", 1),
            ]
            assert 20 < delayed[0].due <= 30 < 50 < delayed[1].due <= 60
        for task in ready + delayed:
            assert (task.count, task.note, task.parked, task.consumer, task.receipt) == (0, None, 0.0, None, None)
        assert len({task.place for task in ready + delayed}) == 6
        assert [t.payload for t in able(look).look("q", "ready", 2).tasks] == [b"a", b"b"]
        assert Consumer(connector).payloads() == [b"a", b"b", b"low"]

    def test_what_a_task_has_been_through_is_seen(self, open: Open) -> None:
        """How often a run of it ended its worker, what was noted then, and how long ago it was first parked."""
        connector = open("lease")
        push(connector, "q", b"suspect", b"parked", b"both")
        worker = Consumer(connector, terms=Terms(poison_delays=(0.0, 60.0)))
        worker.take(3)
        worker.exchange(Park(2, 60), Park(3, 0), limit=0)
        worker.release([], {1: b"evidence"})
        until(lambda: not worker.exchange(limit=0).deliveries and connector.counts("q").ready == 2)
        ready = {task.payload: task for task in walk(connector)}
        assert (ready[b"suspect"].count, ready[b"suspect"].note, ready[b"suspect"].parked) == (1, b"evidence", 0.0)
        assert ready[b"both"].count == 0 and ready[b"both"].note is None and 0 < ready[b"both"].parked < 30
        [parked] = walk(connector, "delayed")
        assert (parked.payload, parked.count) == (b"parked", 0) and 0 < parked.parked < 30 < parked.due <= 60
        worker.take(2)
        worker.release([], {4: b"", 5: b"more"})
        seen = {task.payload: task for task in walk(connector) + walk(connector, "delayed")}
        assert [(seen[p].count, seen[p].note) for p in (b"suspect", b"both")] == [(2, b"evidence"), (1, b"more")]
        assert seen[b"suspect"].state == "delayed" and seen[b"both"].parked > 0

    def test_who_has_a_task_on_lease_is_seen(self, open: Open) -> None:
        """Leased tasks by consumer and receipt."""
        connector = open("lease")
        push(connector, "q", b"a", b"b", b"c", b"d", priority=2)
        push(connector, "q", b"e", delay=60)
        second, first = Consumer(connector, name="w2"), Consumer(connector, name="w1")
        second.take(1)
        first.take(2)
        push(connector, "q", b"urgent", priority=0)
        second.take(1)
        for limit in (1, 100):
            leased = walk(open("look"), "leased", limit)
            assert [(t.payload, t.state, t.priority, t.consumer, t.receipt) for t in leased] == [
                (b"b", "leased", 2, "w1", 1),
                (b"c", "leased", 2, "w1", 2),
                (b"a", "leased", 2, "w2", 1),
                (b"urgent", "leased", 0, "w2", 2),
            ]
        assert payloads(connector) == [b"d"] and payloads(connector, "delayed") == [b"e"]
        first.exchange(Done(1, 1), limit=0)
        first.release([], {})
        assert payloads(connector, "leased") == [b"a", b"urgent"] and payloads(connector) == [b"c", b"d"]

    def test_since_is_right_or_not_known(self, open: Open) -> None:
        """Seconds since a task was pushed, came back or was leased, whichever was last."""
        connector, start = open("lease"), time.monotonic()
        push(connector, "q", b"a", b"b")
        push(connector, "q", b"c", delay=60)
        worker = Consumer(connector)
        time.sleep(0.5)
        pushed = [*walk(connector), *walk(connector, "delayed")]
        assert all(task.since is None or 0.4 < task.since <= time.monotonic() - start for task in pushed)
        leasing = time.monotonic()
        worker.take(2)
        leased = walk(connector, "leased")
        assert all(task.since is None or 0 <= task.since <= time.monotonic() - leasing for task in leased)
        time.sleep(0.3)
        back = time.monotonic()
        worker.exchange(Again(1, b"again", 60.0), limit=0)
        worker.release([], {2: b""})
        returned = [task for task in walk(connector) + walk(connector, "delayed") if task.payload != b"c"]
        assert len(returned) == 2
        assert all(task.since is None or 0 <= task.since <= time.monotonic() - back for task in returned)

    @pytest.mark.parametrize("state", ["ready", "delayed", "leased"])
    def test_a_walk_in_small_steps_sees_every_task_once(self, open: Open, state: hand.State) -> None:
        """Over several priorities; of many with one due time too, and of several consumers."""
        connector = open("lease")
        tasks = numbered(0, 120)
        when = {"at": time.time() + 600} if state == "delayed" else {}
        for n, priority in enumerate((2, 0, 7)):
            push(connector, "q", *tasks[n * 40 : n * 40 + 40], priority=priority, **when)
        if state == "leased":
            for _ in range(3):
                Consumer(connector).take(40)
        whole = walk(connector, state)
        assert once([task.payload for task in whole], tasks) and len(whole) == 120
        for limit in (1, 7, 120):
            assert [task.payload for task in walk(connector, state, limit)] == [task.payload for task in whole]

    def test_what_stays_is_seen_once_while_others_are_pushed_leased_and_settled(self, open: Open) -> None:
        """Ready ones, while others before and behind them come, go and come back between any two looks."""
        connector, stays = open("lease"), numbered(0, 100)
        push(connector, "q", *numbered(0, 300, "first"), priority=0)
        push(connector, "q", *stays)
        worker = Consumer(connector)
        worker.take(20)
        worker.exchange(Back(1, 20), limit=0)

        def between() -> None:
            push(connector, "q", *numbered(0, 2, "more"), priority=0)
            push(connector, "q", *numbered(0, 2, "behind"))
            first, *others = [delivery.receipt for delivery in worker.take(9)]
            worker.exchange(Done(first, first + 4), Again(first + 5, b"again"), Park(first + 6, 0.0), limit=0)
            worker.exchange(Back(first + 7, others[-1]), limit=0)

        able(connector).steer("q", places(connector, *numbered(0, 5, "first")), priority=5)
        seen = [task.payload for task in walk(connector, limit=11, between=between)]
        assert once(seen, stays)
        assert [payload for payload in seen if payload in set(stays)] == stays

    def test_what_stays_is_seen_once_while_others_are_steered(self, open: Open) -> None:
        """Those before, among and behind them are deleted and moved between any two looks."""
        connector = open("lease")
        tasks = numbered(0, 200)
        stays = tasks[1::2]
        push(connector, "q", *tasks)
        goes = iter(places(connector, *(tasks[0::4] + tasks[2::4])))

        def between() -> None:
            able(connector).steer("q", [next(goes, "none"), next(goes, "none")], drop=True)
            able(connector).steer("q", [next(goes, "none")], priority=0)
            able(connector).steer("q", [next(goes, "none")], delay=60)
            able(connector).steer("q", [next(goes, "none")], delay=0)

        assert once([task.payload for task in walk(connector, limit=6, between=between)], stays)
        assert next(goes, None) is None, "all of them were steered meanwhile"

    @pytest.mark.parametrize("state", ["delayed", "leased"])
    def test_what_waits_or_runs_is_seen_once_while_others_come_and_go(self, open: Open, state: hand.State) -> None:
        """Delayed ones, and those on lease."""
        connector, stays = open("lease"), numbered(0, 60)
        holder = Consumer(connector, name="m")
        push(connector, "q", *stays, delay=600 if state == "delayed" else 0.0)
        if state == "leased":
            holder.take(60)
        others = [Consumer(connector, name="a"), Consumer(connector, name="z")]

        def between() -> None:
            push(connector, "q", b"before", delay=300)
            push(connector, "q", b"behind", delay=900)
            push(connector, "q", b"one", b"two", b"three")
            for worker in others:
                first = worker.next
                worker.take(1)
                if first % 2:
                    worker.exchange(Done(first, first), limit=0)
            for before in walk(connector, "delayed", holding=b"before")[:1]:
                able(connector).steer("q", [before.place], drop=True)

        assert once([task.payload for task in walk(connector, state, 7, between=between)], stays)

    def test_one_look_goes_through_a_bounded_number_of_tasks(self, open: Open) -> None:
        """It may find nothing and still not be at the end; the next one goes on behind."""
        connector = open("push")
        number = steer.LOOKED_AT + 100
        tasks = numbered(0, number)
        for n in range(0, number, 1000):
            push(connector, "q", *tasks[n : n + 1000])
        first = able(connector).look("q", "ready", holding=tasks[-1])
        assert not first.tasks and first.after is not None
        assert payloads(connector, holding=tasks[-1]) == tasks[-1:]
        large = able(connector).look("q", "ready", number)
        assert 0 < len(large.tasks) <= steer.LOOKED_AT and large.after is not None
        assert [task.payload for task in walk(connector, limit=steer.LOOKED_AT)] == tasks

    def test_holding_finds_bytes_anywhere_in_a_payload(self, open: Open) -> None:
        """As they are: no pattern, and no letters that count as equal."""
        connector = open("lease")
        odd = [b"", b"\0", b"a\0b", b"\xff\xfe", b"x.y", b"xzy", b"%_*?[a]", b"Name", b"name", b"my name is", b"$&\\"]
        push(connector, "q", *odd)
        push(connector, "q", *odd, delay=60)
        for part in (b"\0", b"\xff", b"\xfe", b".", b"%", b"_", b"*", b"[a]", b"name", b"$", b"\\", b"m"):
            wanted = [payload for payload in odd if part in payload]
            assert payloads(connector, holding=part) == wanted
            assert payloads(connector, "delayed", holding=part) == wanted
            assert payloads(connector, holding=part, limit=1) == wanted
        assert payloads(connector, holding=b"nowhere") == []
        Consumer(connector).take(100)
        assert payloads(connector, "leased", holding=b"name") == [b"name", b"my name is"]

    def test_a_queue_nobody_knows_has_no_tasks_and_does_not_exist_afterwards(self, open: Open) -> None:
        """For one who looks, and for others."""
        look, connector = open("look"), open("push")
        for one in (look, connector, look):
            for state in hand.STATES:
                glance = able(one).look("nowhere", state)
                assert not glance.tasks and glance.after is None
            assert list(able(one).counts_many(["nowhere", "no"])) == [Counts(), Counts()]
            assert list(able(one).acts("nowhere")) == []
            assert list(one.queues()) == []
        assert list(able(connector).steer("nowhere", ["x"], drop=True)) == []
        assert list(connector.queues()) == []

    def test_the_counts_of_many_queues_are_those_of_each(self, open: Open) -> None:
        """In the order asked for; a queue that nobody knows has zeros, and may stand there twice."""
        connector = open("lease")
        push(connector, "one", b"a", b"b", b"c")
        push(connector, "one", b"d", delay=60)
        push(connector, "two", b"a", priority=0)
        worker = Consumer(connector, "one")
        worker.take(2)
        connector.post("two", paused=True)
        names = ["two", "nowhere", "one", "two"]
        found = list(able(open("look")).counts_many(names))
        wanted = [connector.counts(name) for name in names]
        assert [one._replace(oldest=None) for one in found] == [one._replace(oldest=None) for one in wanted]
        assert [one.oldest is None for one in found] == [one.oldest is None for one in wanted]
        assert all(one.oldest is None or 0 <= one.oldest < 30 for one in found)
        assert found[2].leased == 2 and found[0].paused
        assert list(able(connector).counts_many([])) == []
        many = able(connector).counts_many([f"q{n}" for n in range(300)] + ["one"])
        assert len(many) == 301 and many[-1].ready == 1
