"""The promises of unique keys: one task of a key at a time, what a push says that meets it, and when it is free."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from regiment.contracts import Again, Back, Connector, Dead, Done, Met, Park, Send, Settlement, Ticket
from regiment_testing.contracts import bench
from regiment_testing.contracts.bench import LEASE, Consumer, Open, extra, push, take_over, until
from regiment_testing.contracts.charged import ACME, FAR, FlowBench, able, admit, also, numbers, worker
from regiment_testing.contracts.hand import able as hand
from regiment_testing.contracts.hand import places
from regiment_testing.contracts.leaving import at_once
from regiment_testing.faults import Faulty

UNTILS = pytest.mark.parametrize("until", ["done", "start", FAR])


def keyed(connector: Connector, *payloads: bytes, **more: Any) -> list[Met]:
    """Push with the key "key"."""
    return admit(connector, *payloads, unique="key", **more)


def free(connector: Connector) -> bool:
    """True if nobody has the key; it is not taken by this."""
    met = keyed(connector, b"free?", delay=FAR)
    if not met:
        [place] = places(connector, b"free?", state="delayed")
        assert list(hand(connector).steer("q", [place], drop=True)) == [place]
    return not met


def waiting(connector: Connector) -> list[bytes]:
    """The payloads that wait."""
    return [task.payload for state in ("ready", "delayed") for task in connector.peek("q", state)]


@extra("flow")
class KeyedContract(FlowBench):
    """Ticket.unique, until; Met; U1, U2, U4."""

    # what a push meets

    @UNTILS
    @pytest.mark.parametrize("state", ["ready", "delayed", "leased"])
    def test_a_second_one_is_left_out(self, counted: Open, until: Any, state: str) -> None:
        """And is told who has the key and what that is doing. Until "start" a running one has it no longer."""
        connector = counted("lease")
        assert keyed(connector, b"first", until=until, delay=FAR if state == "delayed" else 0.0) == []
        if state == "leased":
            assert worker(connector).payloads() == [b"first"]
        met = keyed(connector, b"second", until=until)
        if until == "start" and state == "leased":
            assert met == [] and waiting(connector) == [b"second"]
            return
        assert met == [Met(0, "kept", "first", state)]
        assert b"second" not in waiting(connector) and connector.counts("q").leased == (state == "leased")

    def test_keys_are_of_a_queue_and_of_nothing_else(self, counted: Open) -> None:
        """Neither pool nor lane nor priority matters; another queue does, and so does another key."""
        connector = counted("lease")
        assert keyed(connector, b"a") == []
        assert [m.did for m in keyed(connector, b"b", to=("erp", "x"), priority=3)] == ["kept"]
        assert keyed(connector, b"c", queue="other") == [] == admit(connector, b"d", unique="key2")
        assert admit(connector, b"e", b"f") == []
        assert sorted(waiting(connector)) == [b"a", b"d", b"e", b"f"]

    def test_a_later_payload_of_a_push_meets_an_earlier_one(self, counted: Open) -> None:
        """Left out or in its place; each is named by its index."""
        connector = counted("lease")
        assert keyed(connector, b"a", b"b", b"c") == [Met(1, "kept", "a", "ready"), Met(2, "kept", "a", "ready")]
        assert worker(connector).payloads() == [b"a"]
        met = admit(connector, b"d", b"e", b"f", unique="new", clash="replace", delay=FAR)
        assert met == [Met(1, "replaced", "d", "delayed"), Met(2, "replaced", "e", "delayed")]
        assert waiting(connector) == [b"f"]

    def test_a_repeated_push_says_what_the_first_said(self, counted: Open) -> None:
        """And changes nothing, whatever has become of the key meanwhile."""
        connector = counted("lease")
        keyed(connector, b"a")
        first = keyed(connector, b"b", b"c", token="t")
        worker(connector).take()
        connector.purge("q")
        assert (
            keyed(connector, b"b", b"c", token="t")
            == first
            == [
                Met(0, "kept", "a", "ready"),
                Met(1, "kept", "a", "ready"),
            ]
        )
        fresh = admit(connector, b"d", token="u", unique="other")
        assert admit(connector, b"d", token="u", unique="other") == fresh == []
        assert waiting(connector) == [b"d"]
        faulty: Any = Faulty(counted("push"))
        faulty.order("admit", "twice")
        assert admit(faulty, b"e", unique="once") == [] and waiting(connector) == [b"d", b"e"]

    def test_an_id_that_is_known_is_left_out_before_its_key_is_asked(self, counted: Open) -> None:
        """As `push` leaves it out: it is known, waits or runs."""
        connector = counted("lease")
        assert keyed(connector, b"a", ids=["1"]) == []
        assert keyed(connector, b"a", ids=["1"]) == [Met(0, "known")]
        assert admit(connector, b"b", b"c", b"d", ids=["2", "1", "2"]) == [Met(1, "known"), Met(2, "known")]
        assert keyed(connector, b"e", ids=["3"]) == [Met(0, "kept", "a", "ready")]
        worker(connector).take()
        connector.purge("q")
        assert admit(connector, b"e", ids=["3"]) == [], "who was left out has left no id"

    # when it is free

    @UNTILS
    @pytest.mark.parametrize("how", ["done", "dead", "released", "purged", "dropped"])
    def test_the_key_ends_with_the_task(self, counted: Open, until: Any, how: str) -> None:
        """In the same step. One that has a time outlives what was done, and not what was taken away."""
        connector = counted("lease")
        waits = how in ("purged", "dropped")
        keyed(connector, b"a", until=until)
        consumer = worker(connector)
        if not waits:
            consumer.take()
        if how == "dropped" and "steer" not in self.capabilities.extras:
            connector.purge("q")
        ends: dict[str, Callable[[], Any]] = {
            "done": lambda: consumer.exchange(Done(1, 1), limit=0),
            "dead": lambda: consumer.exchange(Dead(1, "id", b"{}"), limit=0),
            "released": lambda: consumer.release([(1, 1)], {}),
            "purged": lambda: connector.purge("q"),
            "dropped": lambda: hand(connector).steer("q", places(connector, b"a"), drop=True),
        }
        ends[how]()
        met = keyed(connector, b"b")
        assert met == ([Met(0, "kept", "a", "ended")] if until == FAR and not waits else [])

    @UNTILS
    def test_a_task_that_comes_back_keeps_its_key(self, counted: Open, until: Any) -> None:
        """Through returns, retries, parking and the loss of its worker. Until "start" it has given it up for good."""
        connector = counted("lease")
        keyed(connector, b"a", until=until)
        consumer, receipt = worker(connector, lease=FAR), 0

        def held() -> bool:
            met = keyed(connector, b"b")
            for place in places(connector, b"b") if not met else ():
                hand(connector).steer("q", [place], drop=True)
            return bool(met)

        held_by = held if "steer" in self.capabilities.extras else lambda: until != "start"
        steps: list[Callable[[int], Settlement]] = [
            lambda n: Back(n, n),
            lambda n: Again(n, b"a"),
            lambda n: Again(n, b"a", 0.0, 3),
            lambda n: Park(n, 0.0),
        ]
        for step in steps:
            receipt = bench.until(lambda: consumer.take(1))[0].receipt
            assert held_by() == (until != "start")
            consumer.exchange(step(receipt), limit=0)
            assert held_by() == (until != "start")
        receipt = bench.until(lambda: consumer.take(1))[0].receipt
        consumer.release([], {receipt: b"note"}, close=True)
        lost = worker(connector, lease=LEASE)
        assert lost.payloads() == [b"a"]
        assert [d.payload for d in take_over(worker(connector))] == [b"a"]
        assert held_by() == (until != "start")

    def test_a_key_with_a_time_is_free_when_it_is_over(self, counted: Open) -> None:
        """Also while its task still waits or runs; it counts from the push."""
        connector = counted("lease")
        for state in ("ready", "leased", "ended"):
            connector.purge("q")
            keyed(connector, b"a", until=0.8)
            consumer = worker(connector)
            if state != "ready":
                [delivery] = consumer.take()
            if state == "ended":
                consumer.exchange(Done(delivery.receipt, delivery.receipt), limit=0)
            assert keyed(connector, b"b") == [Met(0, "kept", "a", state)]
            time.sleep(0.9)
            assert keyed(connector, b"c") == []

    def test_sixteen_pushes_of_one_key_make_one_task(self, counted: Open) -> None:
        """All at the same moment, each with a connection of its own; the others are told of the same one."""
        connector, gate = counted("lease"), threading.Barrier(16)

        def work(n: int, pusher: Connector) -> list[Met]:
            gate.wait(bench.PATIENCE)
            return keyed(pusher, b"%d" % n)

        pushers = [counted("push") for _ in range(16)]
        for _ in range(3):
            met = at_once(*[partial(work, n, pusher) for n, pusher in enumerate(pushers)])
            [task] = worker(connector).payloads()
            assert [n for n, found in enumerate(met) if not found] == [int(task)]
            assert [found for found in met if found] == [[Met(0, "kept", task.decode(), "ready")]] * 15
            holder = connector.peek("q", "leased")[0].consumer or ""
            connector.release("q", holder, [(1, 1)], {}, close=True)

    def test_of_one_key_never_two_run(self, counted: Open) -> None:
        """Pushed, leased and settled in a race, until twenty are done."""
        connector, guard = counted("lease"), threading.Lock()
        running, most, done = [0], [0], [0]
        pushers, workers = [counted("push") for _ in range(3)], [worker(counted("lease")) for _ in range(3)]
        end = time.monotonic() + 20.0

        def goes_on() -> bool:
            return done[0] < 20 and time.monotonic() < end

        def pushes(pusher: Connector) -> None:
            while goes_on():
                keyed(pusher, b"x")

        def works(consumer: Consumer) -> None:
            while goes_on():
                for delivery in consumer.take(3):
                    with guard:
                        running[0] += 1
                        most[0] = max(most[0], running[0])
                    time.sleep(0.002)
                    with guard:
                        running[0] -= 1
                        done[0] += 1
                    consumer.exchange(Done(delivery.receipt, delivery.receipt), limit=0)

        at_once(*[partial(pushes, one) for one in pushers], *[partial(works, one) for one in workers])
        assert most[0] == 1 and done[0] >= 20 and numbers(connector)[0][0] <= 1

    # letters, and what a step sends

    def test_a_letter_that_is_revived_takes_its_key_if_it_is_free(self, counted: Open) -> None:
        """Else it stays a letter, and is not counted as revived."""
        connector = counted("lease")
        keyed(connector, b"a")
        consumer = worker(connector)
        consumer.take()
        consumer.exchange(Dead(1, "id", b"{}"), limit=0)
        [letter] = connector.dead("q")
        keyed(connector, b"b")
        assert connector.revive("q", {letter.id: None}) == 0
        assert [found.id for found in connector.dead("q")] == [letter.id] and waiting(connector) == [b"b"]
        connector.purge("q")
        assert connector.revive("q", {letter.id: b"a2"}) == 1
        assert keyed(connector, b"c") == [Met(0, "kept", "a", "ready")] and waiting(connector) == [b"a2"]

    @pytest.mark.parametrize("until", ["start", FAR])
    def test_a_letter_without_a_claim_is_revived_beside_the_key(self, counted: Open, until: Any) -> None:
        """A key until "start", or a time, is not taken again."""
        connector = counted("lease")
        keyed(connector, b"a", until=until)
        consumer = worker(connector)
        consumer.take()
        consumer.exchange(Dead(1, "id", b"{}"), limit=0)
        keyed(connector, b"b", clash="replace")
        [letter] = connector.dead("q")
        assert connector.revive("q", {letter.id: None}) == 1
        assert sorted(waiting(connector)) == [b"a", b"b"]
        assert keyed(connector, b"c") == [Met(0, "kept", "b", "ready")]

    @also("effects")
    def test_what_a_step_sends_meets_keys_as_a_push_does(self, counted: Open) -> None:
        """Left out or in its place; the settled task itself has its key no longer."""
        connector = counted("lease")
        keyed(connector, b"a")
        admit(connector, b"other", unique="other", delay=FAR)
        consumer = worker(connector)
        consumer.take()
        tickets = [
            Ticket(*ACME, "key", id="b"),
            Ticket(*ACME, "key", id="c"),
            Ticket("erp", "x", "other", clash="replace", id="d"),
        ]
        consumer.exchange(Done(1, 1), limit=0, effects={1: [Send("q", [b"b", b"c", b"d"], tickets=tickets)]})
        assert sorted(waiting(connector)) == [b"b", b"d"]
        assert keyed(connector, b"e") == [Met(0, "kept", "b", "ready")]
        assert consumer.payloads() == [b"b", b"d"] and numbers(connector)[2] == (0, 2)

    @also("effects")
    def test_effects_without_a_lease_say_what_was_left_out(self, counted: Open) -> None:
        """By the index over all that was sent to the queue; a repeat says the same."""
        connector: Any = counted("lease")
        keyed(connector, b"a")
        sends = [
            Send("q", [b"b", b"c"], tickets=[Ticket(), Ticket(*ACME, "key")]),
            Send("q", [b"d"], ids=["d"], tickets=[Ticket(*ACME, "fresh")]),
            Send("q", [b"e"], tickets=[Ticket(*ACME, "fresh")]),
        ]
        for _ in range(2):
            applied = connector.apply("q", sends, token="t")
            assert (applied.done, list(applied.left_out)) == (True, [1, 3])
        assert sorted(waiting(connector)) == [b"a", b"b", b"d"]
        with pytest.raises(ValueError, match="1 tickets for 2 payloads"):
            connector.apply("q", [Send("q", [b"x", b"y"], tickets=[Ticket()])], token="u")

    def test_a_push_without_a_ticket_has_no_key(self, counted: Open) -> None:
        """It meets nobody."""
        connector = counted("push")
        keyed(connector, b"a")
        assert list(push(connector, "q", b"b", b"c")) == [] and able(connector).ticket("q", b"b") is None
        assert until(lambda: sorted(waiting(connector)) == [b"a", b"b", b"c"])
