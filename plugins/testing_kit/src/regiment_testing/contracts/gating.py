"""The promises of rates and gates: what is closed for a time, and who is told when it is over."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from regiment.contracts import FOREVER, Back, Done, Rule, Spot
from regiment_testing.contracts import bench
from regiment_testing.contracts.bench import LEASE, Consumer, Open, extra, push, until
from regiment_testing.contracts.budgets import SPOTS
from regiment_testing.contracts.charged import (
    ACME,
    CRM,
    FAR,
    QUEUE,
    FlowBench,
    able,
    admit,
    asks,
    empty,
    fill,
    numbers,
    rule,
    stands,
    worker,
)
from regiment_testing.contracts.leaving import at_once

SOON = 0.8
"""Seconds that a gate of these checks is closed."""
LONG = 20.0
"""Seconds that nobody who is told `SOON` or less would wait."""


@extra("flow")
class GatingContract(FlowBench):
    """Rule.rate, Rule.burst, gate; L6, L8."""

    @SPOTS
    def test_a_rate_lets_its_burst_go_and_then_nothing(self, counted: Open, spot: Spot) -> None:
        """Until the next one's time; how long that is, is told."""
        connector = counted("lease")
        rule(connector, spot, Rule(rate=(2, 60.0), burst=3))
        admit(connector, *[b"%d" % n for n in range(9)])
        assert stands(connector, spot).until_rate == 0.0
        consumer = worker(connector)
        assert len(consumer.payloads()) == 3
        due = empty(consumer.exchange(limit=9))
        assert due is not None and LONG < due <= 30.0
        assert LONG < stands(connector, spot).until_rate <= 30.0
        assert not consumer.take(9, Done(1, 2)), "an end gives nothing back"

    def test_what_comes_back_unstarted_gives_its_share_back(self, counted: Open) -> None:
        """`Back` alone: it was never started."""
        connector = counted("lease")
        rule(connector, ACME, Rule(rate=(1, FAR), burst=3))
        admit(connector, *[b"%d" % n for n in range(9)])
        consumer = worker(connector)
        assert len(consumer.payloads()) == 3
        assert [d.payload for d in consumer.take(9, Back(2, 3))] == [b"1", b"2"]
        assert not consumer.take(9)

    @pytest.mark.parametrize("how", ["released", "taken back"])
    def test_what_may_have_run_gives_no_share_back(self, counted: Open, how: str) -> None:
        """A worker that has ended has perhaps called the service already."""
        connector = counted("lease")
        rule(connector, ACME, Rule(rate=(1, FAR), burst=1))
        admit(connector, b"a", b"b")
        lost, watcher = worker(connector, lease=LEASE), worker(connector)
        assert lost.payloads() == [b"a"]
        if how == "released":
            lost.release([], {}, close=True)
        until(lambda: not watcher.take(9) and numbers(connector) == [(2, 0)] * 3)
        assert not watcher.take(9)

    def test_a_rate_is_kept_over_time(self, counted: Open) -> None:
        """In any time no more than it lets go in it and its burst; and no less than half of it, by a consumer that looks."""
        connector, every, burst = counted("lease"), 0.1, 2
        rule(connector, CRM, Rule(rate=(10, 10 * every), burst=burst))
        fill(connector, 30, "a", "b")
        consumer, times = worker(connector), []  # type: tuple[Consumer, list[float]]
        start = time.monotonic()
        while len(times) < 10:
            assert time.monotonic() < start + bench.PATIENCE
            before = time.monotonic()
            times += [before] * len(consumer.take(5))
            time.sleep(0.01)
        for first, begin in enumerate(times):
            for last in range(first + burst, len(times)):
                took = times[last] - begin + 0.05  # from before the first request to before the last one
                assert last - first + 1 <= burst + took / every + 1

    def test_a_lease_that_comes_late_puts_off_none_that_follow(self, counted: Open) -> None:
        """The next one is due a step after it was due, not after it was leased; so a rate is kept by workers that are late."""
        connector, step = counted("lease"), 1.0
        rule(connector, CRM, Rule(rate=(1, step)))
        fill(connector, 9, "a", "b")
        consumer = worker(connector)
        assert len(consumer.payloads()) == 1
        time.sleep(step + 0.4)
        assert len(consumer.payloads()) == 1
        assert stands(connector, CRM).until_rate < step - 0.3

    def test_a_pause_saves_no_more_than_the_burst(self, counted: Open) -> None:
        """However long nothing went."""
        connector = counted("lease")
        rule(connector, ACME, Rule(rate=(1000, 1000 * FAR), burst=2))
        admit(connector, *[b"%d" % n for n in range(9)])
        time.sleep(0.2)
        assert len(worker(connector).payloads()) == 2

    def test_lanes_have_each_the_rate_of_their_pool(self, counted: Open) -> None:
        """One lane's leases take nothing of another's; each takes of its pool's own."""
        connector = counted("lease")
        rule(connector, CRM, Rule(rate=(1, FAR), burst=5, lanes=Rule(rate=(1, FAR), burst=2)))
        fill(connector, 4, "a", "b", "c")
        got = worker(connector).payloads()
        assert len(got) == 5 and max(sum(p.startswith(lane) for p in got) for lane in (b"a", b"b", b"c")) == 2

    def test_a_raised_rate_wakes_who_waits(self, counted: Open) -> None:
        """And one that is taken away."""
        connector, sleeper = counted("lease"), worker(counted("lease"))
        rule(connector, ACME, Rule(rate=(1, FAR)))
        admit(connector, b"a", b"b", b"c")
        assert sleeper.payloads() == [b"a"]
        assert not sleeper.exchange().deliveries
        rule(connector, ACME, None)
        assert sleeper.wait(FAR)[1] < FAR / 4
        assert sleeper.payloads() == [b"b", b"c"]

    # gates

    @SPOTS
    def test_a_gate_opens_by_itself_when_its_time_is_over(self, counted: Open, spot: Spot) -> None:
        """Until then nothing of its spot is leased; how long that is, is told. What runs goes on."""
        connector = counted("lease")
        admit(connector, b"a", b"b")
        consumer = worker(connector)
        consumer.take()
        start = time.monotonic()
        able(connector).gate("q", spot, SOON)
        assert 0 < stands(connector, spot).gate <= SOON and stands(connector, spot).running == 1
        admit(connector, b"other", to=("erp", "acme"))
        others = consumer.payloads()
        assert others == ([] if spot == QUEUE else [b"other"])
        due = empty(consumer.exchange())
        assert due is not None and 0 < due <= SOON
        assert until(lambda: consumer.wait(5.0) and consumer.payloads(1)) == [b"b"]
        assert time.monotonic() - start >= SOON - 0.05
        assert stands(connector, spot).gate == 0.0
        assert consumer.payloads() == ([b"other"] if spot == QUEUE else [])

    @SPOTS
    def test_a_gate_that_waits_for_somebody_is_opened(self, counted: Open, spot: Spot) -> None:
        """Nothing is due until then; opening it wakes who waits."""
        connector, sleeper = counted("lease"), worker(counted("lease"))
        admit(connector, b"a")
        able(connector).gate("q", spot, FOREVER)
        assert stands(connector, spot).gate == FOREVER
        assert [s.spot for s in able(connector).standings("q") if s.gate] == [spot][: spot != ACME]
        assert empty(sleeper.exchange()) is None
        assert sleeper.wait(0.2)[0] == []
        able(counted("push")).gate("q", spot, None)
        assert sleeper.wait(FAR)[1] < FAR / 4
        assert sleeper.payloads() == [b"a"] and stands(connector, spot).gate == 0.0

    def test_a_later_closing_counts_anew(self, counted: Open) -> None:
        """Shorter or longer; 0 opens. One that waits for somebody is opened by none of them but by None and 0."""
        connector = counted("lease")
        admit(connector, b"a")
        flowing, consumer = able(connector), worker(connector)
        flowing.gate("q", CRM, FAR)
        flowing.gate("q", CRM, LONG)
        assert LONG / 2 < stands(connector, CRM).gate <= LONG
        flowing.gate("q", CRM, FAR)
        assert LONG < stands(connector, CRM).gate <= FAR
        flowing.gate("q", CRM, FOREVER)
        flowing.gate("q", CRM, 0.01)
        time.sleep(0.1)
        assert stands(connector, CRM).gate == FOREVER and not consumer.take()
        flowing.gate("q", CRM, 0)
        assert stands(connector, CRM).gate == 0.0
        flowing.gate("q", CRM, 0.05)
        assert asks(consumer) == [b"a"]

    def test_a_gate_may_be_closed_before_there_is_a_task(self, counted: Open) -> None:
        """And of a spot that nobody knows; a push does not open it."""
        connector = counted("lease")
        able(connector).gate("q", ACME, FOREVER)
        admit(connector, b"a")
        admit(connector, b"b", to=("crm", "b"))
        consumer = worker(connector)
        assert consumer.payloads() == [b"b"]
        connector.purge("q")
        assert stands(connector).gate == FOREVER
        able(connector).gate("q", ACME, None)
        assert list(able(connector).standings("q", pool="crm"))[1:] == []

    def test_a_paused_queue_leases_nothing_and_counts_on(self, counted: Open) -> None:
        """And goes on as it was left, also with gates that have opened meanwhile."""
        connector = counted("lease")
        admit(connector, b"a", b"b")
        able(connector).gate("q", ACME, 0.05)
        connector.post("q", paused=True)
        consumer = worker(connector)
        time.sleep(0.1)
        assert not consumer.take(9) and numbers(connector) == [(2, 0)] * 3
        connector.post("q", paused=False)
        assert consumer.payloads() == [b"a", b"b"]

    # who is told

    def test_one_of_those_who_wait_is_told_when_a_gate_opens(self, counted: Open) -> None:
        """The others sleep; when he leases, the next one is told (L8)."""
        connector = counted("lease")
        rule(connector, CRM, Rule(rate=(1, 5.0)))
        admit(connector, b"a", b"b", b"c")
        assert worker(connector, lease=FAR).payloads() == [b"a"]
        sleepers = [worker(counted("lease"), lease=FAR) for _ in range(4)]
        told = [due is not None and due <= 5.0 for due in (empty(one.exchange()) for one in sleepers)]
        assert told == [True, False, False, False]

    def test_who_was_told_hands_over_when_he_leases(self, counted: Open) -> None:
        """Somebody else who waits is woken, asks, and is told; so nobody sleeps beside what may go."""
        connector = counted("lease")
        able(connector).gate("q", CRM, 5.0)
        admit(connector, b"a")
        first, second = worker(counted("lease"), lease=FAR), worker(counted("lease"), lease=FAR)
        due = empty(first.exchange())
        assert due is not None and due <= 5.0
        push(connector, "q", b"plain")
        assert first.payloads() == [b"plain"]
        for _ in range(2):  # the push has perhaps woken him, and he was too early
            due = empty(second.exchange())
            if due is not None and due <= 5.0:
                break
            assert second.wait(FAR)[1] < FAR / 4
        assert due is not None and due <= 5.0

    def test_a_task_that_is_pushed_behind_a_gate_goes_when_it_opens(self, counted: Open) -> None:
        """Who sleeps since before the push is told of the time by then, though nothing may go yet."""
        connector, sleeper = counted("lease"), worker(counted("lease"))
        able(connector).gate("q", CRM, SOON)
        assert not sleeper.exchange().deliveries
        admit(connector, b"a")
        end, left = time.monotonic() + LONG, LONG
        while (left := end - time.monotonic()) > 0:
            sleeper.wait(left)
            if found := sleeper.payloads():
                break
        assert found == [b"a"] and time.monotonic() < end

    def test_one_who_was_told_and_has_ended_is_replaced(self, counted: Open) -> None:
        """By the next one who asks."""
        connector = counted("lease")
        able(connector).gate("q", CRM, 5.0)
        admit(connector, b"a")
        first, second = worker(counted("lease"), lease=FAR), worker(counted("lease"), lease=FAR)
        due = empty(first.exchange())
        assert due is not None and due <= 5.0
        first.connector.close()
        counted("keep").release("q", first.name, [], {}, close=True)
        due = empty(second.exchange())
        assert due is not None and due <= 5.0

    def test_a_rate_wakes_no_herd(self, counted: Open) -> None:
        """Sixteen idle consumers at a rate: all is done in its time, by few exchanges for each task."""
        number, consumers, connector = 8, 16, counted("lease")
        rule(connector, CRM, Rule(rate=(20, 2.0)))
        waiting = [worker(counted("lease")) for _ in range(consumers)]
        fill(connector, number, "a")
        seen: list[bytes] = []
        looks, over = [0], threading.Event()

        def work(consumer: Consumer) -> None:
            settle: list[Done] = []
            end = time.monotonic() + bench.PATIENCE
            while not over.is_set() and time.monotonic() < end:
                taken = consumer.exchange(*settle)
                looks[0] += 1
                settle = [Done(d.receipt, d.receipt) for d in taken.deliveries]
                seen.extend(d.payload for d in taken.deliveries)
                if len(seen) == number:
                    over.set()
                if not taken.deliveries:
                    due = bench.PATIENCE if taken.next_due is None else taken.next_due
                    consumer.wait(min(due, 3.0))
            consumer.exchange(*settle, limit=0)

        at_once(*[partial(work, consumer) for consumer in waiting])
        assert len(seen) == len(set(seen)) == number
        assert looks[0] <= 3 * consumers + 6 * number, "each token has woken them all"
