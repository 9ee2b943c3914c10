"""The promises of turns: who goes first, whose turn is next, and how long anybody waits for it."""

from __future__ import annotations

import random
from collections import Counter
from math import ceil

import pytest

from regiment.contracts import Again, Back, Done, Park, Rule, Terms, Ticket
from regiment_testing.contracts.bench import LEASE, Consumer, Open, extra, push, take_over, until
from regiment_testing.contracts.charged import (
    ACME,
    CRM,
    FAR,
    FlowBench,
    able,
    admit,
    fill,
    in_order,
    lane_of,
    numbers,
    one_by_one,
    rule,
    some,
    worker,
)


def lanes(payloads: list[bytes]) -> str:
    """The lanes of these tasks, one letter each."""
    return "".join(lane_of(payload) for payload in payloads)


@extra("flow")
class TurningContract(FlowBench):
    """L3: priority, pools in turn, lanes in turn, the oldest of a lane."""

    # lanes and pools

    @in_order
    def test_lanes_take_turns(self, counted: Open) -> None:
        """One task each, in the order in which they came; who has nothing more is left out."""
        connector = counted("lease")
        fill(connector, 4, "a")
        fill(connector, 2, "b")
        fill(connector, 3, "c")
        found = one_by_one(worker(connector))
        assert lanes(found) == "abcabcaca" and sorted(found) == some("a", 4) + some("b", 2) + some("c", 3)

    @in_order
    def test_pools_take_turns_and_in_each_its_lanes(self, counted: Open) -> None:
        """A pool of many lanes has no more than one of few."""
        connector = counted("lease")
        fill(connector, 2, "a", "b", "c", pool="crm")
        fill(connector, 6, "x", pool="erp")
        assert lanes(one_by_one(worker(connector))) == "axbxcxaxbxcx"

    @in_order
    def test_tasks_without_a_lane_take_turns_as_one(self, counted: Open) -> None:
        """Of a pool, and of the queue: pool "" and lane ""."""
        connector = counted("lease")
        push(connector, "q", *some("p", 3))
        fill(connector, 3, "q", pool="")
        admit(connector, *some("n", 3), to=CRM)
        fill(connector, 3, "a")
        assert lanes(one_by_one(worker(connector))) == "pnqapnqapnqa"

    @in_order
    @pytest.mark.parametrize("level", ["lane", "pool"])
    def test_weights_are_tasks_of_a_turn(self, counted: Open, level: str) -> None:
        """Three of 1, 2 and 5: in each eight leases they have 1, 2 and 5, up to one."""
        connector, weights = counted("lease"), {"a": 1, "b": 2, "c": 5}
        for name, weight in weights.items():
            rule(connector, ("crm", name) if level == "lane" else (name, ""), Rule(weight=weight))
        for name in weights:
            fill(connector, 60, name, pool="crm" if level == "lane" else name)
        found = lanes(one_by_one(worker(connector), 64))
        for rounds in range(1, 9):
            had = Counter(found[: 8 * rounds])
            assert all(abs(had[name] - rounds * weight) <= 1 for name, weight in weights.items()), found

    @in_order
    def test_lanes_have_the_weight_that_their_pool_says(self, counted: Open) -> None:
        """Those that have none of their own."""
        connector = counted("lease")
        rule(connector, CRM, Rule(lanes=Rule(weight=2)))
        rule(connector, ("crm", "b"), Rule(weight=1))
        fill(connector, 4, "a", "b", "c")
        assert lanes(one_by_one(worker(connector), 10)) == "aabccaabcc"

    @in_order
    def test_a_turn_goes_on_with_the_next_consumer(self, counted: Open) -> None:
        """It is the queue's, not a worker's; and a repeated request is no new turn."""
        connector = counted("lease")
        rule(connector, ("crm", "a"), Rule(weight=3))
        fill(connector, 9, "a", "b")
        one, two = worker(connector), worker(counted("lease"))
        found: list[bytes] = []
        for _ in range(4):
            for consumer in (one, two):
                found += consumer.payloads(1)
                consumer.repeat()
        assert lanes(found) == "aaabaaab"

    @in_order
    @pytest.mark.parametrize("level", ["lane", "pool"])
    def test_a_batch_is_shared_evenly(self, counted: Open, level: str) -> None:
        """A hundred of four that have enough: 25 each; in each the oldest first."""
        connector = counted("lease")
        for name in "abcd":
            fill(connector, 60, name, pool="crm" if level == "lane" else name)
        consumer = worker(connector)
        for first in (0, 25):
            batch = consumer.payloads(100)
            for name in "abcd":
                assert [p for p in batch if lane_of(p) == name] == some(name, 25, first)

    @in_order
    def test_a_batch_of_few_lanes_is_full(self, counted: Open) -> None:
        """What one has not, the others have: a batch is smaller than asked for only if nothing more may go."""
        connector = counted("lease")
        fill(connector, 50, "a")
        fill(connector, 3, "b", "c")
        assert Counter(lanes(worker(connector).payloads(40))) == {"a": 34, "b": 3, "c": 3}

    @in_order
    def test_a_newcomer_waits_for_one_turn_of_each(self, counted: Open) -> None:
        """However much the others have: a flood of 30 lanes, and then one task of another one."""
        connector, number = counted("lease"), 30
        names = [f"flood{n:02}" for n in range(number)]
        fill(connector, 20, *names)
        consumer = worker(connector)
        assert len(one_by_one(consumer, 77)) == 77
        admit(connector, *some("small", 1), to=("crm", "small"))
        found = [lane_of(payload) for payload in one_by_one(consumer, number + 1)]
        assert found[-1] == "small"

    @in_order
    def test_a_lane_that_may_lease_again_waits_for_one_turn_of_each(self, counted: Open) -> None:
        """Its gate opens, its budget has room: it goes behind those that take turns."""
        connector = counted("lease")
        fill(connector, 9, "a", "b", "c", "d")
        able(connector).gate("q", ("crm", "d"), FAR)
        rule(connector, ("crm", "c"), Rule(at_once=1))
        busy, consumer = worker(connector), worker(connector)
        assert lanes(busy.payloads(3)) == "abc"
        assert lanes(one_by_one(consumer, 4)) == "abab"
        able(connector).gate("q", ("crm", "d"), None)
        busy.exchange(Done(1, 3), limit=0)
        assert sorted(lanes(one_by_one(consumer, 4))) == sorted("abcd")

    @in_order
    @pytest.mark.parametrize("seed", range(4))
    def test_nobody_waits_longer_than_the_bound(self, counted: Open, seed: int) -> None:
        """Random pools, lanes, weights, pushes and batches: a lane that has something is not passed by more than
        the weights of the others, and one batch.
        """
        rnd, connector = random.Random(seed), counted("lease")
        spots = [(pool, lane) for pool in ("p", "r", "") for lane in ("a", "b", "c", "d")[: rnd.randint(1, 4)]]
        weight = {spot: rnd.randint(1, 4) for spot in [*spots, ("p", ""), ("r", ""), ("", "")]}
        for spot, heavy in weight.items():
            rule(connector, spot, Rule(weight=heavy))
        pools = {pool for pool, _ in spots}
        inner = {pool: sum(weight[spot] for spot in spots if spot[0] == pool) for pool in pools}
        outer = sum(weight[pool, ""] for pool in pools)
        consumer, left, passed = worker(connector), Counter[str](), Counter[str]()
        largest = 1
        for n in range(150):
            pool, lane = rnd.choice(spots)
            number = rnd.choice((0, 1, 1, 8))
            admit(
                connector,
                *[b"%s/%s %d.%d" % (pool.encode(), lane.encode(), n, k) for k in range(number)],
                to=(pool, lane),
            )
            left[f"{pool}/{lane}"] += number
            limit = rnd.choice((1, 1, 2, 7))
            largest = max(largest, limit)
            batch = consumer.take(limit)
            assert len(batch) == min(limit, left.total())
            for delivery in batch:
                name = lane_of(delivery.payload)
                left[name] -= 1
                for other in left:
                    passed[other] = passed[other] + 1 if left[other] and other != name else 0
            if batch:
                consumer.exchange(Done(batch[0].receipt, batch[-1].receipt), limit=0)
            for pool, lane in spots:
                # A turn in a batch is longer than a weight, but no longer than the batch.
                longest = ceil(inner[pool] / weight[pool, ""]) * outer * 2 + 2 * largest
                assert passed[f"{pool}/{lane}"] <= longest

    # priorities

    def test_priority_goes_over_lanes_and_pools(self, counted: Open) -> None:
        """Whoever's turn it is: the highest first, then turns among its tasks."""
        connector = counted("lease")
        fill(connector, 2, "a", "b", priority=2)
        fill(connector, 1, "c", priority=1)
        fill(connector, 1, "a", "d", priority=0, pool="erp")
        push(connector, "q", *some("p", 1), priority=1)
        found = lanes(one_by_one(worker(connector)))
        assert [sorted(part) for part in (found[:2], found[2:4], found[4:])] == [["a", "d"], ["c", "p"], list("aabb")]

    def test_what_may_not_go_does_not_hold_up_what_comes_behind(self, counted: Open) -> None:
        """Lower priorities, other pools and other lanes go on."""
        connector = counted("lease")
        rule(connector, ("crm", "a"), Rule(at_once=1))
        able(connector).gate("q", ("shut", ""), FAR)
        fill(connector, 3, "a", priority=0)
        fill(connector, 3, "x", pool="shut", priority=0)
        fill(connector, 2, "b", priority=1)
        fill(connector, 1, "c", priority=2, pool="erp")
        assert [lane_of(p) for p in one_by_one(worker(connector))][:3] == ["a", "a", "a"]
        fill(connector, 3, "a", priority=0)
        busy = worker(connector)
        assert lanes(busy.payloads(1)) == "a"
        able(connector).gate("q", ("crm", "b"), None)
        fill(connector, 2, "b", priority=1)
        fill(connector, 1, "c", priority=2, pool="erp")
        assert lanes(one_by_one(worker(connector))) == "bbc"

    def test_a_budget_goes_to_the_highest_priority_of_its_lane(self, counted: Open) -> None:
        """A lane has one budget for all its priorities."""
        connector = counted("lease")
        rule(connector, ACME, Rule(at_once=1))
        admit(connector, b"low", priority=2)
        admit(connector, b"high", priority=0)
        consumer = worker(connector)
        assert consumer.payloads() == [b"high"]
        assert [d.payload for d in consumer.take(9, Done(1, 1))] == [b"low"]

    # in a lane

    def test_in_a_lane_the_oldest_goes_first(self, counted: Open) -> None:
        """Over many pushes, batches and consumers."""
        connector = counted("lease")
        for n in range(10):
            admit(connector, *some("a", 3, 3 * n))
            admit(connector, *some("b", 2, 2 * n), to=("crm", "b"))
        consumers = [worker(connector), worker(counted("lease"))]
        found = [p for n in range(25) for p in consumers[n % 2].payloads(1 + n % 4)]
        assert [p for p in found if lane_of(p) == "a"] == some("a", 30)
        assert [p for p in found if lane_of(p) == "b"] == some("b", 20)

    def test_what_goes_back_stands_in_front_of_its_lane(self, counted: Open) -> None:
        """In the order that it had; what is tried again, or parked, comes behind when it is due."""
        connector = counted("lease")
        admit(connector, *some("a", 8))
        fill(connector, 2, "b")
        consumer = Consumer(connector, terms=Terms(slots=99, poison_delays=(0.0,)))
        held = {d.payload: d.receipt for d in consumer.take(100)}
        receipts = [held[payload] for payload in some("a", 8)]
        assert receipts == sorted(receipts)
        first, second, third = (Back(receipt, receipt) for receipt in receipts[2:5])
        consumer.exchange(first, second, third, Again(receipts[0], b"again", 0.0), Park(receipts[1], 0.0), limit=0)
        until(lambda: not consumer.exchange(limit=0).deliveries and connector.counts("q").delayed == 0)
        found = consumer.payloads()
        assert found[:3] == some("a", 3, 2) and sorted(found[3:]) == [*some("a", 1, 1), b"again"]
        assert numbers(connector, ACME, ("crm", "b")) == [(0, 8), (0, 2)]

    def test_what_is_released_or_taken_back_stands_in_front_of_its_lane(self, counted: Open) -> None:
        """Of a worker that has ended, and of one that is lost."""
        connector = counted("lease")
        admit(connector, *some("a", 6))
        ended, lost = worker(connector, poison_delays=(0.0,)), worker(connector, lease=LEASE)
        watcher = worker(connector)
        assert ended.payloads(2) + lost.payloads(2) == some("a", 4)
        ended.release([], {1: b"note"}, close=True)
        found = watcher.take(1)
        assert [(d.payload, d.count) for d in found] == [(some("a", 1)[0], 1)]
        assert watcher.payloads(3) == some("a", 1, 1) + some("a", 2, 4)
        assert [(d.payload, d.count) for d in take_over(watcher)] == [(p, 1) for p in some("a", 2, 2)]

    def test_a_batch_ends_before_max_bytes(self, counted: Open) -> None:
        """But has at least one task; what it leaves stays in its place."""
        connector = counted("lease")
        for lane in ("a", "b"):
            admit(connector, *[lane.encode() + b"%d" % n + b"x" * 398 for n in range(3)], to=("crm", lane))
        consumer, found = worker(connector), []  # type: tuple[Consumer, list[bytes]]
        for wanted in (2, 2, 1, 1):
            batch = [d.payload for d in consumer.exchange(limit=100, max_bytes=1000 if wanted == 2 else 10).deliveries]
            assert len(batch) == wanted
            found += batch
        for lane in (b"a", b"b"):
            assert [p[:2] for p in found if p.startswith(lane)] == [lane + b"%d" % n for n in range(3)]

    def test_many_lanes_are_all_served(self, counted: Open) -> None:
        """Five hundred lanes, each with one task; leased in batches, each once, and nothing stays."""
        connector, number = counted("lease"), 500
        for n in range(0, number, 50):
            able(connector).admit(
                "q",
                [b"%d" % k for k in range(n, n + 50)],
                [Ticket("crm", f"lane {k}") for k in range(n, n + 50)],
                priority=1,
                token=f"t{n}",
            )
        consumer, found = worker(connector), []  # type: tuple[Consumer, list[bytes]]
        while batch := consumer.take(64):
            found += [d.payload for d in batch]
            consumer.exchange(Done(batch[0].receipt, batch[-1].receipt), limit=0)
        assert sorted(map(int, found)) == list(range(number))
        assert list(able(connector).standings("q", pool="crm")) == []
