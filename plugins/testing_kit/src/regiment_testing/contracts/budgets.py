"""The promises of budgets: how many may run, how many may wait, and whose rule holds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from regiment.contracts import Again, Back, Dead, Done, QueueFull, Rule, Send, Spot, Standing, Terms, Ticket
from regiment_testing.contracts import bench
from regiment_testing.contracts.bench import Consumer, Open, extra, push, until
from regiment_testing.contracts.charged import (
    ACME,
    CRM,
    FAR,
    QUEUE,
    FlowBench,
    able,
    admit,
    also,
    fill,
    numbers,
    rule,
    stands,
    worker,
)
from regiment_testing.contracts.leaving import at_once

SPOTS = pytest.mark.parametrize("spot", [QUEUE, CRM, ACME], ids=["queue", "pool", "lane"])
WHERE: dict[Spot, str] = {
    QUEUE: "queue 'q'",
    CRM: "pool 'crm' of queue 'q'",
    ACME: "lane 'acme' of pool 'crm' of queue 'q'",
}


@extra("flow")
class BudgetContract(FlowBench):
    """Rule.at_once, Rule.waiting, Rule.lanes; L2, L5, L10, L11."""

    @SPOTS
    def test_no_more_run_than_may_at_once(self, counted: Open, spot: Spot) -> None:
        """Over all consumers; when one ends, one goes. Tasks of other spots go meanwhile."""
        connector = counted("lease")
        rule(connector, spot, Rule(at_once=2))
        admit(connector, *[b"%d" % n for n in range(6)])
        one, two = worker(connector), worker(counted("lease"))
        assert [one.payloads(1), two.payloads(10), one.payloads(10)] == [[b"0"], [b"1"], []]
        assert [d.payload for d in two.take(10, Done(1, 1))] == [b"2"]
        admit(connector, b"other", to=("erp", "acme"))
        push(connector, "q", b"plain")
        assert sorted(one.payloads()) == ([] if spot == QUEUE else [b"other", b"plain"])
        assert stands(connector, spot).running == (2 if spot == QUEUE else stands(connector, spot).running) == 2
        assert [d.payload for d in one.take(10, Done(1, 9))] == [b"3"]

    def test_a_budget_of_the_queue_counts_tasks_without_a_ticket(self, counted: Open) -> None:
        """They stand in pool "" and lane ""."""
        connector = counted("lease")
        rule(connector, QUEUE, Rule(at_once=2))
        push(connector, "q", b"a", b"b", b"c")
        consumer = worker(connector)
        assert consumer.payloads() == [b"a", b"b"] and numbers(connector, QUEUE) == [(1, 2)]
        assert [d.payload for d in consumer.take(9, Back(1, 1))] == [b"a"]

    def test_lanes_have_the_rule_of_their_pool_or_their_own(self, counted: Open) -> None:
        """Each lane has the budget for itself; tasks of the pool without a lane have none of it."""
        connector = counted("lease")
        rule(connector, CRM, Rule(lanes=Rule(at_once=1)))
        rule(connector, ("crm", "b"), Rule(at_once=3))
        fill(connector, 5, "a", "b", "c")
        admit(connector, b"x 1", b"x 2", to=CRM)
        admit(connector, b"y 1", b"y 2", to=("erp", "a"))
        got = worker(connector).payloads()
        assert {lane: sum(p.startswith(lane) for p in got) for lane in (b"a", b"b", b"c", b"x", b"y")} == {
            b"a": 1,
            b"b": 3,
            b"c": 1,
            b"x": 2,
            b"y": 2,
        }
        assert stands(connector, ("crm", "a")) == Standing(("crm", "a"), 4, 1, Rule(at_once=1))
        assert stands(connector, ("crm", "b")) == Standing(("crm", "b"), 2, 3, Rule(at_once=3), "code")
        rule(connector, ("crm", "b"), None)
        assert stands(connector, ("crm", "b")).rule == Rule(at_once=1)

    def test_lanes_of_pool_nothing_have_the_rule_of_the_queue(self, counted: Open) -> None:
        """`lanes` of the queue's own rule; no other pool's."""
        connector = counted("lease")
        rule(connector, QUEUE, Rule(lanes=Rule(at_once=1)))
        fill(connector, 3, "a", "b", pool="")
        fill(connector, 3, "c")
        got = worker(connector).payloads()
        assert [sum(p.startswith(lane) for p in got) for lane in (b"a", b"b", b"c")] == [1, 1, 3]

    def test_budgets_of_a_task_all_hold(self, counted: Open) -> None:
        """Of the queue, its pool and its lane: it goes where all three let it."""
        connector = counted("lease")
        rule(connector, QUEUE, Rule(at_once=5))
        rule(connector, CRM, Rule(at_once=3, lanes=Rule(at_once=2)))
        fill(connector, 5, "a", "b")
        fill(connector, 5, "a", pool="erp")
        got = worker(connector).payloads()
        assert len(got) == 5 and numbers(connector, QUEUE, CRM, ("erp", "")) == [(10, 5), (7, 3), (3, 2)]
        assert max(stands(connector, ("crm", lane)).running for lane in "ab") == 2

    # whose rule holds

    def test_a_lowered_rule_ends_nothing(self, counted: Open) -> None:
        """It leases nothing until it is below."""
        connector = counted("lease")
        rule(connector, ACME, Rule(at_once=3))
        admit(connector, *[b"%d" % n for n in range(9)])
        consumer = worker(connector)
        assert len(consumer.take(9)) == 3
        rule(connector, ACME, Rule(at_once=1))
        assert numbers(connector, ACME) == [(6, 3)]
        for n in (1, 2):
            assert not consumer.take(9, Done(n, n)) and stands(connector).running == 3 - n
        assert [d.payload for d in consumer.take(9, Done(3, 3))] == [b"3"]

    @SPOTS
    @pytest.mark.parametrize("to", [Rule(at_once=2), None], ids=["raised", "cleared"])
    def test_a_raised_rule_wakes_who_waits(self, counted: Open, spot: Spot, to: Rule | None) -> None:
        """And holds from the next exchange on."""
        connector, sleeper = counted("lease"), worker(counted("lease"))
        rule(connector, spot, Rule(at_once=1))
        admit(connector, b"a", b"b")
        assert worker(connector).payloads() == [b"a"]
        assert not sleeper.exchange().deliveries
        rule(counted("push"), spot, to)
        assert sleeper.wait(FAR)[1] < FAR / 4
        assert sleeper.payloads() == [b"b"]

    @SPOTS
    def test_an_operator_stands_above_the_code(self, counted: Open, spot: Spot) -> None:
        """Until his rule is taken away; the code may change its own meanwhile, which then holds."""
        connector = counted("lease")
        admit(connector, *[b"%d" % n for n in range(9)])
        consumer = worker(connector)
        rule(connector, spot, Rule(at_once=3), by="release 1")
        assert stands(connector, spot)[3:6] == (Rule(at_once=3), "code", "release 1")
        rule(connector, spot, Rule(at_once=1), operator=True, by="ann, é")
        assert stands(connector, spot)[3:6] == (Rule(at_once=1), "operator", "ann, é")
        rule(connector, spot, Rule(at_once=4), by="release 2")
        assert stands(connector, spot)[3:6] == (Rule(at_once=1), "operator", "ann, é")
        assert len(consumer.payloads()) == 1
        rule(connector, spot, None, operator=True)
        assert stands(connector, spot)[3:6] == (Rule(at_once=4), "code", "release 2")
        assert len(consumer.payloads()) == 3
        rule(connector, spot, None)
        assert stands(connector, spot)[3:6] == (None, "", "")
        assert len(consumer.payloads()) == 5

    def test_an_operator_may_lift_a_limit(self, counted: Open) -> None:
        """His rule holds whole, in place of that of the code: also what it does not limit, and the lanes that it does not name."""
        connector = counted("lease")
        rule(connector, CRM, Rule(at_once=1, lanes=Rule(at_once=1)))
        rule(connector, CRM, Rule(weight=2), operator=True)
        admit(connector, b"a", b"b", b"c")
        assert worker(connector).payloads() == [b"a", b"b", b"c"]
        assert stands(connector).rule is None

    def test_a_rule_is_kept_whole(self, counted: Open) -> None:
        """What it was set to is what is told."""
        connector = counted("push")
        whole = Rule(7, (3, 2.5), 4, 5, 100, Rule(2, (1, 0.5), 2, 3, 9))
        rule(connector, CRM, whole, by="x" * 200)
        found = stands(counted("look"), CRM)
        assert found.rule == whole and found.by == "x" * 200
        assert stands(connector).rule == whole.lanes and stands(connector).source == stands(connector).by == ""

    # room

    @pytest.mark.parametrize("how", ["done", "again", "dead", "released", "closed"])
    def test_an_end_wakes_who_waits_for_room(self, counted: Open, how: str) -> None:
        """Whatever ends a lease; who sleeps for want of room is woken by it."""
        connector = counted("lease")
        rule(connector, CRM, Rule(at_once=1))
        admit(connector, b"a", b"b")
        busy, sleeper = worker(connector), worker(counted("lease"))
        assert busy.payloads() == [b"a"] and not sleeper.exchange().deliveries
        ends: dict[str, Callable[[], Any]] = {
            "done": lambda: busy.exchange(Done(1, 1), limit=0),
            "again": lambda: busy.exchange(Again(1, b"a", FAR), limit=0),
            "dead": lambda: busy.exchange(Dead(1, "id", b"{}"), limit=0),
            "released": lambda: busy.release([(1, 1)], {}),
            "closed": lambda: busy.release([(1, 1)], {}, close=True),
        }
        ends[how]()
        assert sleeper.wait(FAR)[1] < FAR / 4
        assert until(sleeper.payloads) == [b"b"]

    @SPOTS
    def test_who_waits_for_room_sleeps(self, counted: Open, spot: Spot) -> None:
        """Ready tasks that may not go are no reason to wake: no more than a few exchanges in a second, and nothing due."""
        connector = counted("lease")
        rule(connector, spot, Rule(at_once=1))
        admit(connector, b"a", b"b", b"c")
        worker(connector, lease=FAR).take(1)
        sleeper, end, looks = worker(counted("lease")), time.monotonic() + 1.0, 0
        while (left := end - time.monotonic()) > 0:
            taken = sleeper.exchange()
            assert not taken.deliveries and (taken.next_due is None or taken.next_due > FAR / 10)
            sleeper.wait(left)
            looks += 1
        assert looks <= 5

    @SPOTS
    def test_a_consumer_holds_no_more_than_it_has_slots(self, counted: Open, spot: Spot) -> None:
        """Of a spot with `at_once` or `rate`; of the others as many as it asks for (L5)."""
        connector = counted("lease")
        rule(connector, spot, Rule(rate=(1000, 0.001), burst=1000))
        admit(connector, *[b"%d" % n for n in range(20)])
        one, two = Consumer(connector, terms=Terms(slots=2)), Consumer(connector, terms=Terms(slots=3))
        assert (len(one.take(10)), len(two.take(10)), len(one.take(10))) == (2, 3, 0)
        assert len(one.take(10, Done(1, 1))) == 1
        rule(connector, spot, Rule(at_once=100))
        assert (len(one.take(10)), len(two.take(10, Done(1, 2)))) == (0, 2)
        rule(connector, spot, Rule(weight=3))
        assert len(one.take(10)) == 10

    def test_a_consumer_without_a_slot_free_leaves_tasks_to_others(self, counted: Open) -> None:
        """It takes what stands elsewhere; another one is woken for what it had to leave."""
        connector = counted("lease")
        rule(connector, ACME, Rule(at_once=10))
        greedy, sleeper = Consumer(connector), Consumer(counted("lease"))
        assert not sleeper.exchange().deliveries
        admit(connector, b"a", b"b")
        admit(connector, b"c", to=("crm", "other"))
        assert sorted(greedy.payloads(10)) == [b"a", b"c"]
        assert sleeper.wait(FAR)[1] < FAR / 4
        assert sleeper.payloads(10) == [b"b"]

    def test_a_race_never_exceeds_a_budget(self, counted: Open) -> None:
        """Six consumers lease and settle as fast as they can: at no time do more run than may, and all is done."""
        number, most, guard = 120, 3, threading.Lock()
        connector = counted("lease")
        rule(connector, CRM, Rule(at_once=most, lanes=Rule(at_once=2)))
        fill(connector, number // 3, "a", "b", "c")
        running: list[bytes] = []
        seen: list[bytes] = []

        def work(consumer: Consumer) -> None:
            end, settle = time.monotonic() + bench.PATIENCE, []  # type: tuple[float, list[Done]]
            while len(seen) < number and time.monotonic() < end:
                for done in settle:
                    with guard:
                        running.remove(seen_by[consumer.name, done.first])
                got = consumer.take(2, *settle)
                settle = [Done(d.receipt, d.receipt) for d in got]
                with guard:
                    for d in got:
                        seen_by[consumer.name, d.receipt] = d.payload
                        running.append(d.payload)
                        seen.append(d.payload)
                    assert len(running) <= most
                    assert all(sum(p.startswith(lane) for p in running) <= 2 for lane in (b"a", b"b", b"c"))
            consumer.exchange(*settle, limit=0)

        seen_by: dict[tuple[str, int], bytes] = {}
        consumers = [worker(counted("lease")) for _ in range(6)]
        at_once(*[partial(work, consumer) for consumer in consumers])
        assert len(seen) == len(set(seen)) == number and numbers(connector, QUEUE, CRM) == [(0, 0)] * 2

    # what may wait

    @SPOTS
    def test_a_full_spot_takes_all_of_a_push_or_none(self, counted: Open, spot: Spot) -> None:
        """And says which one is full, how many may wait and how many do; ready and delayed ones count, running ones do not."""
        connector = counted("lease")
        rule(connector, spot, Rule(waiting=3))
        admit(connector, b"a", delay=FAR)
        admit(connector, b"b")
        with pytest.raises(QueueFull) as caught:
            admit(connector, b"c", b"d", token="t", ids=["c", "d"])
        assert str(caught.value) == (
            f"{WHERE[spot]} may have 3 tasks waiting; 2 wait there, and 2 more were pushed; nothing was taken"
        )
        assert numbers(connector) == [(2, 0)] * 3
        admit(connector, b"e")
        with pytest.raises(QueueFull, match="3 wait there, and 1 more"):
            admit(connector, b"f")
        assert worker(connector).payloads() == [b"b", b"e"]
        assert admit(connector, b"c", b"d", token="t", ids=["c", "d"]) == []
        assert numbers(connector) == [(3, 2)] * 3

    def test_a_lane_is_full_by_the_rule_of_its_pool(self, counted: Open) -> None:
        """Other lanes are not."""
        connector = counted("lease")
        rule(connector, CRM, Rule(waiting=4, lanes=Rule(waiting=2)))
        fill(connector, 2, "acme")
        with pytest.raises(
            QueueFull, match=r"^lane 'acme' of pool 'crm' of queue 'q' may have 2 tasks waiting; 2 wait"
        ):
            admit(connector, b"x")
        fill(connector, 2, "b")
        with pytest.raises(QueueFull, match=r"^pool 'crm' of queue 'q' may have 4 tasks waiting; 4 wait"):
            admit(connector, b"x", to=("crm", "c"))
        admit(connector, b"x", to=("erp", "acme"))

    def test_a_push_of_several_spots_is_taken_whole_or_not(self, counted: Open) -> None:
        """Tickets of one push may differ; one that finds no room keeps all of them out."""
        connector = counted("push")
        rule(connector, ACME, Rule(waiting=1))
        tickets = [Ticket("erp"), Ticket(*ACME), Ticket(*ACME)]
        with pytest.raises(QueueFull, match="lane 'acme'"):
            able(connector).admit("q", [b"a", b"b", b"c"], tickets, priority=1, token="t")
        assert connector.counts("q").ready == 0
        able(connector).admit("q", [b"a", b"b"], tickets[:2], priority=1, token="t")
        assert numbers(connector, ("erp", ""), ACME) == [(1, 0), (1, 0)]

    def test_what_comes_back_is_never_refused(self, counted: Open) -> None:
        """`waiting` bounds pushes with a ticket alone: no return, retry, revival, promotion, and no push without one (L10)."""
        connector = counted("lease")
        rule(connector, QUEUE, Rule(waiting=1))
        rule(connector, ACME, Rule(waiting=1))
        consumer = worker(connector)
        for n in range(4):
            admit(connector, b"%d" % n)
            consumer.take()
        consumer.exchange(Back(1, 1), Again(2, b"1", FAR), Dead(3, "id", b"{}"), limit=0)
        consumer.release([], {4: b"note"})
        [letter] = connector.dead("q")
        assert connector.revive("q", {letter.id: None}) == 1
        push(connector, "q", b"plain")
        assert numbers(connector) == [(5, 0), (4, 0), (4, 0)]

    @also("effects")
    def test_what_a_step_sends_is_never_refused(self, counted: Open) -> None:
        """Settling never stops; the task is charged to its ticket all the same."""
        connector = counted("lease")
        rule(connector, ACME, Rule(waiting=1, at_once=1))
        admit(connector, b"a")
        consumer = worker(connector)
        consumer.take()
        admit(connector, b"b")
        sends = [Send("q", [b"c", b"d"], tickets=[Ticket(*ACME), Ticket("erp", "x")])]
        taken = consumer.exchange(Done(1, 1), limit=9, effects={1: sends})
        assert sorted(d.payload for d in taken.deliveries) == [b"b", b"d"]
        assert numbers(connector, QUEUE, CRM, ACME, ("erp", "x")) == [(1, 2), (1, 1), (1, 1), (0, 1)]
        assert able(connector).ticket("q", b"c") == Ticket(*ACME)
