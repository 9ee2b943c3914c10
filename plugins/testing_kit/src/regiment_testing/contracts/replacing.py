"""The promises of what takes another one's place: replaced, put off, and successors of what runs."""

from __future__ import annotations

import time
from typing import Any

import pytest

from regiment.contracts import Again, Done, Met, Park, QueueFull, Rule, Ticket
from regiment_testing.contracts import bench
from regiment_testing.contracts.bench import Open, extra
from regiment_testing.contracts.charged import ACME, CRM, FAR, FlowBench, able, admit, numbers, rule, worker
from regiment_testing.contracts.keyed import UNTILS, keyed, waiting

CLASHES = pytest.mark.parametrize("clash", ["keep", "replace", "later"])


@extra("flow")
class ReplacingContract(FlowBench):
    """Ticket.clash, longest; U3."""

    # replacing

    @CLASHES
    @UNTILS
    def test_one_that_is_ready_is_replaced_in_its_place(self, counted: Open, clash: Any, until: Any) -> None:
        """Payload, id and ticket are the new one's; place, priority, pool and lane those of the old one."""
        connector = counted("lease")
        admit(connector, b"before")
        keyed(connector, b"old", until=until)
        admit(connector, b"behind")
        met = keyed(connector, b"new", clash=clash, until=until, to=("erp", "x"), priority=3, delay=5.0)
        if clash == "keep":
            assert met == [Met(0, "kept", "old", "ready")]
            return
        assert met == [Met(0, "replaced", "old", "ready")]
        assert numbers(connector, ACME, ("erp", "x")) == [(3, 0), (0, 0)]
        assert able(connector).ticket("q", b"new") == Ticket(*ACME, "key", until, clash, id="new")
        assert [m.holder for m in keyed(connector, b"more")] == ["new"]
        assert [d.payload for d in worker(connector).take(9)] == [b"before", b"new", b"behind"]

    def test_a_delayed_one_is_replaced_with_the_earlier_time(self, counted: Open) -> None:
        """And with the new priority; a time that has come makes it ready."""
        connector = counted("lease")
        keyed(connector, b"a", delay=100.0)
        assert keyed(connector, b"b", clash="replace", delay=FAR, priority=3) == [Met(0, "replaced", "a", "delayed")]
        [seen] = connector.peek("q", "delayed")
        assert (seen.payload, seen.priority) == (b"b", 3) and 50 < seen.due <= 100
        keyed(connector, b"c", clash="replace", delay=20.0, priority=0)
        [seen] = connector.peek("q", "delayed")
        assert (seen.payload, seen.priority) == (b"c", 0) and 0 < seen.due <= 20
        assert numbers(connector) == [(1, 0)] * 3
        keyed(connector, b"d", clash="replace")
        assert bench.until(lambda: worker(connector).payloads()) == [b"d"]

    def test_a_delayed_one_is_put_off_by_later(self, counted: Open) -> None:
        """The last arguments, so long after the last push (debounce); also earlier, if the new time is."""
        connector = counted("lease")
        for payload, delay in ((b"a", 100.0), (b"b", 200.0), (b"c", FAR), (b"d", 50.0)):
            keyed(connector, payload, clash="later", delay=delay, priority=2)
            [seen] = connector.peek("q", "delayed")
            assert (seen.payload, seen.priority) == (payload, 2) and delay - 20 < seen.due <= delay
        at = time.time() + 300
        keyed(connector, b"e", clash="later", at=at)
        assert 250 < connector.peek("q", "delayed")[0].due <= 301
        keyed(connector, b"f", clash="later", delay=0.2)
        consumer = worker(connector)
        assert bench.until(lambda: (consumer.exchange(limit=0), consumer.payloads())[1]) == [b"f"]

    def test_later_puts_nothing_off_beyond_the_longest(self, counted: Open) -> None:
        """So many seconds after the first push, whatever comes."""
        connector = counted("lease")
        keyed(connector, b"0", clash="later", delay=20.0, longest=40.0)
        for n in range(1, 4):
            keyed(connector, b"%d" % n, clash="later", delay=FAR, longest=40.0)
            [seen] = connector.peek("q", "delayed")
            assert seen.payload == b"%d" % n and 30 < seen.due <= 40
        keyed(connector, b"end", clash="later", delay=FAR, longest=0.001)
        assert bench.until(lambda: worker(connector).payloads()) == [b"end"]
        keyed(connector, b"first", clash="later", delay=FAR, longest=0.001)
        assert waiting(connector) == [b"first"] and connector.counts("q").delayed == 1, "nothing was put off"

    def test_one_that_is_replaced_starts_anew(self, counted: Open) -> None:
        """The new one has not been tried, parked nor suspected; the id of the old one is that of no task any more."""
        connector = counted("lease")
        keyed(connector, b"a", ids=["1"])
        consumer = worker(connector, poison_delays=(0.0,))
        consumer.take()
        consumer.exchange(Park(1, 0.0), limit=0)
        consumer.release([], {bench.until(lambda: consumer.take(1))[0].receipt: b"note"})
        assert keyed(connector, b"b", clash="replace", ids=["2"]) == [Met(0, "replaced", "a", "ready")]
        [delivery] = consumer.take()
        assert delivery[1:] == (b"b", 0, None, 0.0)
        assert admit(connector, b"c", ids=["2"]) == [Met(0, "known")]

    def test_one_that_waits_to_be_tried_again_is_replaced(self, counted: Open) -> None:
        """What matters is that it waits."""
        connector = counted("lease")
        keyed(connector, b"a")
        consumer = worker(connector)
        consumer.take()
        consumer.exchange(Again(1, b"a again", FAR), limit=0)
        assert keyed(connector, b"b", clash="replace", delay=20.0) == [Met(0, "replaced", "a", "delayed")]
        [seen] = connector.peek("q", "delayed")
        assert seen.payload == b"b" and seen.due <= 20.0

    def test_one_that_is_replaced_needs_no_room(self, counted: Open) -> None:
        """A full lane takes the new one; and one that is left out."""
        connector = counted("lease")
        rule(connector, CRM, Rule(waiting=1))
        keyed(connector, b"a")
        assert [m.did for m in keyed(connector, b"b", clash="replace")] == ["replaced"]
        assert [m.did for m in keyed(connector, b"c")] == ["kept"]
        with pytest.raises(QueueFull):
            admit(connector, b"d")

    # successors

    @pytest.mark.parametrize("clash", ["replace", "later"])
    def test_while_it_runs_one_successor_waits(self, counted: Open, clash: Any) -> None:
        """The next push replaces that one, so the last word is never lost and never two wait; "keep" is left out."""
        connector = counted("lease")
        keyed(connector, b"a")
        consumer = worker(connector)
        consumer.take()
        assert keyed(connector, b"b", clash=clash, delay=30.0) == [], "it is a new task"
        assert keyed(connector, b"c", clash=clash, delay=30.0) == [Met(0, "replaced", "b", "delayed")]
        assert keyed(connector, b"d") == [Met(0, "kept", "a", "leased")]
        assert waiting(connector) == [b"c"]
        consumer.exchange(Done(1, 1), limit=0)
        assert keyed(connector, b"e") == [Met(0, "kept", "c", "delayed")], "the successor has the key now"
        assert keyed(connector, b"f", clash="replace") == [Met(0, "replaced", "c", "delayed")]
        assert bench.until(consumer.payloads) == [b"f"]

    def test_a_successor_that_is_leased_has_the_key(self, counted: Open) -> None:
        """The end of the one before ends nothing then."""
        connector = counted("lease")
        keyed(connector, b"a")
        consumer = worker(connector)
        consumer.take()
        keyed(connector, b"b", clash="replace")
        assert consumer.payloads() == [b"b"]
        assert keyed(connector, b"c") == [Met(0, "kept", "b", "leased")]
        consumer.exchange(Done(1, 1), limit=0)
        assert keyed(connector, b"d") == [Met(0, "kept", "b", "leased")]
        consumer.exchange(Done(2, 2), limit=0)
        assert keyed(connector, b"e") == []

    def test_a_successor_until_start_leaves_the_key_to_the_holder(self, counted: Open) -> None:
        """When it is leased it has none."""
        connector = counted("lease")
        keyed(connector, b"a")
        consumer = worker(connector)
        consumer.take()
        keyed(connector, b"b", clash="replace", until="start")
        assert consumer.payloads() == [b"b"]
        assert keyed(connector, b"c") == [Met(0, "kept", "a", "leased")]
        consumer.exchange(Done(1, 1), limit=0)
        assert keyed(connector, b"d") == []

    def test_a_holder_that_comes_back_keeps_the_key_beside_its_successor(self, counted: Open) -> None:
        """Nothing is lost: both wait, and the next push replaces the successor."""
        connector = counted("lease")
        keyed(connector, b"a")
        consumer = worker(connector)
        consumer.take()
        keyed(connector, b"b", clash="replace")
        consumer.exchange(Again(1, b"a", FAR), limit=0)
        assert keyed(connector, b"c") == [Met(0, "kept", "a", "delayed")]
        assert keyed(connector, b"d", clash="replace") == [Met(0, "replaced", "b", "ready")]
        assert sorted(waiting(connector)) == [b"a", b"d"]
        assert consumer.payloads() == [b"d"]

    @pytest.mark.parametrize("clash", ["replace", "later"])
    def test_a_key_that_outlives_its_task_is_taken_over(self, counted: Open, clash: Any) -> None:
        """There is nothing to replace: the new task is taken, and has the key."""
        connector = counted("lease")
        keyed(connector, b"a", until=FAR)
        consumer = worker(connector)
        consumer.take()
        consumer.exchange(Done(1, 1), limit=0)
        assert keyed(connector, b"b", clash=clash) == []
        assert keyed(connector, b"c") == [Met(0, "kept", "b", "ready")]
