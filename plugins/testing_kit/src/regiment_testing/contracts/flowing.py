"""The promises of what is counted: what waits and what runs, in the very steps that change it."""

from __future__ import annotations

from typing import Any

import pytest

from regiment.contracts import (
    LONGEST_NAME,
    Again,
    Back,
    Dead,
    Done,
    Flowing,
    Park,
    Rule,
    Settlement,
    Standing,
    Terms,
    Ticket,
)
from regiment_testing.contracts.bench import LEASE, Consumer, Open, extra, push, take_over, until
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
from regiment_testing.contracts.hand import able as hand
from regiment_testing.contracts.hand import payloads, places

ENDS: list[tuple[Settlement, int]] = [
    (Done(1, 1), 0),
    (Back(1, 1), 1),
    (Again(1, b"again", FAR), 1),
    (Again(1, b"again", FAR, 3), 1),
    (Park(1, FAR), 1),
    (Dead(1, "id", b"{}"), 0),
]
"""Settlements, and how many tasks wait after them."""


@extra("flow")
class FlowingContract(FlowBench):
    """L1, L7, L12; admit, flow, standings, recount, ticket."""

    def test_it_has_the_verbs_of_the_extra_flow(self, open: Open) -> None:
        """It has all verbs that budgets are set and looked at with."""
        assert isinstance(open("push"), Flowing)

    def test_what_waits_and_what_runs_is_counted_in_the_step_that_changes_it(self, counted: Open) -> None:
        """Of the queue, of a pool, and of a lane; a lane of one name in two pools is two lanes; delayed ones wait."""
        connector = counted("lease")
        assert admit(connector, b"a", b"b") == []
        admit(connector, b"c", to=("erp", "acme"))
        admit(connector, b"d", to=CRM)
        admit(connector, b"later", delay=FAR)
        push(connector, "q", b"e")
        assert numbers(connector) == [(6, 0), (4, 0), (3, 0)]
        assert numbers(connector, ("erp", ""), ("erp", "acme"), ("", "acme")) == [(1, 0), (1, 0), (0, 0)]
        consumer = worker(connector)
        assert len(consumer.take(5)) == 5
        assert numbers(connector) == [(1, 5), (1, 3), (1, 2)]
        assert numbers(connector, ("erp", ""), ("erp", "acme")) == [(0, 1), (0, 1)]
        consumer.exchange(Done(1, 5), limit=0)
        assert numbers(connector) == [(1, 0), (1, 0), (1, 0)]

    @pytest.mark.parametrize("settlement", ENDS, ids=lambda end: type(end[0]).__name__)
    def test_every_settlement_is_counted(self, counted: Open, settlement: tuple[Settlement, int]) -> None:
        """Whatever ends a lease takes one off what runs, in that step; what comes back waits again."""
        connector = counted("lease")
        admit(connector, b"a")
        consumer = worker(connector)
        consumer.take()
        assert numbers(connector) == [(0, 1)] * 3
        consumer.exchange(settlement[0], limit=0)
        assert numbers(connector) == [(settlement[1], 0)] * 3

    def test_a_release_is_counted(self, counted: Open) -> None:
        """What it settles, what it gives back, and what it puts off; a repeat counts nothing."""
        connector, keeper = counted("lease"), counted("keep")
        admit(connector, b"a", b"b", b"c", b"d", b"e")
        consumer = worker(connector, poison_delays=(FAR,))
        consumer.take(5)
        keeper.release("q", consumer.name, [(1, 1)], {}, only=(2, 2))
        assert numbers(connector) == [(1, 3)] * 3
        for _ in range(2):
            keeper.release("q", consumer.name, [(3, 3)], {4: b"note"}, close=True)
            assert numbers(connector) == [(3, 0)] * 3
        assert (connector.counts("q").ready, connector.counts("q").delayed) == (2, 1)

    def test_what_is_taken_back_is_counted(self, counted: Open) -> None:
        """The slot of a lost host is free in the step that returns its task; what it sends later counts nothing."""
        connector = counted("lease")
        rule(connector, ACME, Rule(at_once=1))
        admit(connector, b"a", b"b")
        lost, watcher = worker(connector, lease=LEASE), worker(connector)
        assert lost.payloads(2) == [b"a"]
        [delivery] = take_over(watcher)
        assert (delivery.payload, delivery.count) == (b"a", 1)
        assert numbers(connector) == [(1, 1)] * 3
        lost.release([(1, 1)], {}, close=True)
        assert numbers(connector) == [(1, 1)] * 3

    def test_a_repeated_turn_counts_once(self, counted: Open) -> None:
        """After a lost answer, also through a new connection."""
        connector = counted("lease")
        admit(connector, b"a", b"b", b"c")
        consumer = worker(connector)
        consumer.take(2)
        taken = consumer.exchange(Done(1, 1))
        for again in (consumer.repeat(), consumer.repeat(counted("lease"))):
            assert [d.payload for d in again.deliveries] == [d.payload for d in taken.deliveries] == [b"c"]
            assert numbers(connector) == [(0, 2)] * 3

    def test_who_holds_nothing_gives_back_what_is_counted(self, counted: Open) -> None:
        """And has it again in the same step, if there is room."""
        connector = counted("lease")
        rule(connector, ACME, Rule(at_once=2))
        admit(connector, b"a", b"b", b"c")
        consumer = worker(connector)
        assert len(consumer.take(3)) == 2
        taken = consumer.exchange(limit=1, holds_nothing=True)
        assert [d.payload for d in taken.deliveries] == [b"a"]
        assert numbers(connector) == [(2, 1)] * 3

    def test_a_purge_ends_what_waits_and_leaves_what_runs(self, counted: Open) -> None:
        """Counts and lanes: what is pushed afterwards goes as ever."""
        connector = counted("lease")
        admit(connector, b"a", b"b", b"c")
        admit(connector, b"later", delay=FAR)
        push(connector, "q", b"plain")
        consumer = worker(connector)
        consumer.take()
        assert connector.purge("q") == 4
        assert numbers(connector) == [(0, 1)] * 3
        admit(connector, b"d")
        assert consumer.payloads() == [b"d"]

    @also("steer")
    def test_what_is_steered_is_counted(self, counted: Open) -> None:
        """Dropped, put off, made ready and moved to another priority: of ready ones and of delayed ones."""
        connector = counted("lease")
        admit(connector, b"a", b"b", b"c", b"d")
        admit(connector, b"e", b"f", delay=FAR)
        operator = hand(connector)
        assert len(operator.steer("q", places(connector, b"a"), drop=True)) == 1
        assert len(operator.steer("q", places(connector, b"e", state="delayed"), drop=True)) == 1
        assert numbers(connector) == [(4, 0)] * 3
        assert len(operator.steer("q", places(connector, b"b"), priority=0)) == 1
        assert len(operator.steer("q", places(connector, b"c"), delay=FAR)) == 1
        assert len(operator.steer("q", places(connector, b"f", state="delayed"), delay=0)) == 1
        assert numbers(connector) == [(4, 0)] * 3
        assert worker(connector).payloads() == [b"b", b"d", b"f"]
        assert numbers(connector) == [(1, 3)] * 3

    def test_a_ticket_lives_with_its_task(self, counted: Open) -> None:
        """Through a return, a retry, parking, taking back, a dead letter and its revival."""
        connector = counted("lease")
        admit(connector, b"a")
        consumer = worker(connector)

        def again(*settlements: Settlement) -> int:
            consumer.exchange(*settlements, limit=0)
            [delivery] = until(lambda: consumer.take(1))
            assert numbers(connector) == [(0, 1)] * 3
            return delivery.receipt

        receipt = again()
        receipt = again(Back(receipt, receipt))
        receipt = again(Again(receipt, b"b", 0.0))
        receipt = again(Again(receipt, b"c", 0.1, 2))
        receipt = again(Park(receipt, 0.1))
        consumer.release([], {receipt: b"note"})
        receipt = again()
        consumer.exchange(Dead(receipt, "id", b"{}"), limit=0)
        assert numbers(connector) == [(0, 0)] * 3
        assert able(connector).ticket("q", b"c") is None
        [letter] = connector.dead("q")
        assert connector.revive("q", {letter.id: b"d"}) == 1
        assert numbers(connector) == [(1, 0)] * 3
        assert able(connector).ticket("q", b"d") == Ticket(*ACME, id="a")
        again()
        assert able(connector).ticket("q", b"d") == Ticket(*ACME, id="a")

    def test_the_ticket_of_a_task_is_told(self, counted: Open) -> None:
        """Whole, as it was given; None for a task without one, and for none."""
        connector = counted("push")
        ticket = Ticket("crm", "acme", "key", 60.0, "later", 5.0, "some id")
        able(connector).admit("q", [b"a"], [ticket], priority=1, delay=FAR, token="t")
        push(connector, "q", b"b")
        look = counted("look")
        assert [able(look).ticket("q", payload) for payload in (b"a", b"b", b"c")] == [ticket, None, None]
        assert able(look).ticket("nowhere", b"a") is None

    def test_verbs_that_look_see_what_stands_in_lanes(self, counted: Open) -> None:
        """Also where it may not go: as ready, in each lane in the order in which it would run."""
        connector = counted("lease")
        rule(connector, ("crm", "b"), Rule(at_once=1))
        able(connector).gate("q", ("crm", "c"), FAR)
        fill(connector, 3, "a", "b", "c")
        push(connector, "q", b"plain")
        consumer = worker(connector)
        held = consumer.payloads(3)
        look = counted("look")
        seen = [task.payload for task in look.peek("q", "ready", 100)]
        assert len(seen) == look.counts("q").ready == 7 and look.counts("q").leased == 3
        for lane in (b"a", b"b", b"c"):
            mine = [payload for payload in seen if payload.startswith(lane)]
            assert mine == [b"%s %03d" % (lane, n) for n in range(3)][3 - len(mine) :]
        assert sorted(seen + held) == sorted({*seen, *held}) and len(look.peek("q", "ready", 4)) == 4
        assert sorted(task.payload for task in look.peek("q", "leased")) == sorted(held)

    @also("steer")
    def test_a_look_goes_through_all_lanes(self, counted: Open) -> None:
        """Each task is seen once, in steps of any size."""
        connector = counted("lease")
        fill(connector, 7, "a", "b", "c", "d")
        admit(connector, b"first", b"second", priority=0)
        push(connector, "q", b"plain")
        whole = payloads(connector)
        assert len(whole) == len(set(whole)) == 31 and set(whole[:2]) == {b"first", b"second"}
        for limit in (1, 4):
            assert payloads(counted("look"), limit=limit) == whole

    def test_tasks_without_a_ticket_go_on_beside_those_that_have_one(self, counted: Open) -> None:
        """Those that were there before the first ticket, too, and first; none of either is lost."""
        connector = counted("lease")
        push(connector, "q", b"1", b"2", b"3")
        consumer = Consumer(connector)
        assert consumer.payloads(1) == [b"1"]
        admit(connector, b"a", b"b")
        push(connector, "q", b"4")
        consumer.exchange(Back(1, 1), limit=0)
        assert numbers(connector) == [(6, 0), (2, 0), (2, 0)]
        found = [payload for _ in range(6) for payload in consumer.payloads(1)]
        assert found[0] == b"1" and [p for p in found if p.isdigit()] == [b"1", b"2", b"3", b"4"]
        assert [p for p in found if not p.isdigit()] == [b"a", b"b"]

    def test_a_delayed_task_stands_in_no_lane_until_it_is_due(self, counted: Open) -> None:
        """It holds up nobody behind it; then it goes to the tail of its lane."""
        connector = counted("lease")
        admit(connector, b"late", delay=0.2)
        admit(connector, b"a", b"b")
        consumer = worker(connector)
        assert consumer.payloads(1) == [b"a"]
        until(lambda: not consumer.exchange(limit=0).deliveries and connector.counts("q").delayed == 0)
        assert numbers(connector) == [(2, 1)] * 3
        admit(connector, b"c")
        assert consumer.payloads() == [b"b", b"late", b"c"]

    def test_a_task_that_becomes_due_ends_a_wait(self, counted: Open) -> None:
        """And is told by `next_due` before."""
        connector = counted("lease")
        admit(connector, b"late", delay=0.3)
        consumer = worker(connector)
        due = consumer.exchange().next_due
        assert due is not None and due <= 0.4
        assert until(lambda: consumer.wait(5.0) and consumer.payloads()) == [b"late"]

    def test_a_push_with_a_ticket_ends_a_wait(self, counted: Open) -> None:
        """As one without."""
        consumer = worker(counted("lease"))
        assert not consumer.exchange().deliveries
        admit(counted("push"), b"a")
        assert consumer.wait(FAR)[1] < FAR / 4
        assert consumer.payloads() == [b"a"]

    # looking at how it stands

    def test_nothing_idle_is_kept(self, counted: Open) -> None:
        """When the last task of a lane is gone, so is the lane; rules stay (L7)."""
        connector = counted("lease")
        rule(connector, ("erp", "kept"), Rule(at_once=7))
        rule(connector, CRM, Rule(lanes=Rule(at_once=5)))
        fill(connector, 3, "a", "b", "c")
        admit(connector, b"x", to=("erp", "gone"), unique="key")
        consumer = worker(connector)
        consumer.take(100)
        consumer.exchange(Done(1, 100), limit=0)
        flowing = able(connector)
        assert [s.spot for s in flowing.standings("q")] == [CRM]
        assert list(flowing.standings("q", pool="crm")) == []
        assert [s.spot for s in flowing.standings("q", pool="erp")] == [("erp", "kept")]
        rule(connector, CRM, None)
        rule(connector, ("erp", "kept"), None)
        assert list(flowing.standings("q")) == list(flowing.standings("q", pool="erp")) == []

    def test_standings_name_what_there_is_in_pages(self, counted: Open) -> None:
        """The queue and its pools, or the lanes of one pool, sorted; the next page from behind `after` on."""
        connector = counted("lease")
        fill(connector, 2, "b", "a", "c")
        admit(connector, b"x", to=("erp", ""))
        rule(connector, ("web", ""), Rule(weight=2), by="ann")
        able(connector).gate("q", ("shut", ""), FAR)
        worker(connector).take(1)
        flowing = able(counted("look"))
        wanted = [QUEUE, CRM, ("erp", ""), ("shut", ""), ("web", "")]
        found = list(flowing.standings("q"))
        assert [s.spot for s in found] == wanted and list(flowing.flow("q", wanted))[4] == found[4]
        assert (found[0].waiting, found[0].running) == (6, 1) and (found[4].rule, found[4].by) == (
            Rule(weight=2),
            "ann",
        )
        assert [s.spot for s in flowing.standings("q", 2)] == wanted[:2]
        assert [s.spot for s in flowing.standings("q", 2, after=CRM)] == wanted[2:4]
        assert [s.spot for s in flowing.standings("q", pool="crm")] == [("crm", lane) for lane in "abc"]
        assert [s.spot for s in flowing.standings("q", 1, pool="crm", after=("crm", "a"))] == [("crm", "b")]
        assert list(flowing.standings("q", pool="none")) == list(flowing.standings("nowhere")) == []

    def test_a_spot_that_nobody_knows_has_nothing(self, counted: Open) -> None:
        """Nor has a queue; spots are answered in the order asked for."""
        connector = counted("push")
        admit(connector, b"a")
        spots = [("x", "y"), ACME, ("x", "")]
        found = list(able(counted("look")).flow("q", spots))
        assert found == [Standing(("x", "y")), Standing(ACME, 1), Standing(("x", ""))]
        assert list(able(connector).flow("nowhere", [QUEUE, ACME])) == [Standing(QUEUE), Standing(ACME)]
        assert list(able(connector).recount("nowhere")) == []

    # what is refused

    @pytest.mark.parametrize("name", ["é: {x}*", 'a"b', "\n", "x" * LONGEST_NAME, ":", "a:b", "a\x1fb", "%s"])
    def test_names_may_be_odd(self, counted: Open, name: str) -> None:
        """Each is a name of its own, as pool, as lane and as key; also as long as may be."""
        connector = counted("lease")
        spots = [(name, name), (name, ""), ("", name), (name + ":" if len(name) < 60 else "y", "")]
        rule(connector, (name, name), Rule(at_once=1))
        for n, spot in enumerate(spots):
            admit(connector, b"%d" % n, to=spot)
        assert [m.did for m in admit(connector, b"u", b"v", to=(name, name), unique=name)] == ["kept"]
        assert numbers(connector, *spots) == [(2, 0), (3, 0), (1, 0), (1, 0)]
        assert sorted(worker(connector).payloads()) == [b"0", b"1", b"2", b"3"]
        assert numbers(connector, *spots) == [(1, 1), (1, 2), (0, 1), (0, 1)]
        assert stands(connector, (name, name)).rule == Rule(at_once=1)

    def test_tickets_that_are_none_are_refused(self, counted: Open) -> None:
        """Names that are too long, words and numbers that mean nothing, too few tickets: nothing is taken."""
        flowing, long = able(counted("push")), "é" * (LONGEST_NAME // 2) + "x"
        wrong: list[tuple[Any, str]] = [
            (Ticket(long), "name of a pool has 65 bytes"),
            (Ticket("a", long), "name of a lane has 65 bytes"),
            (Ticket(unique=long), "name of a unique key has 65 bytes"),
            (Ticket(unique="a", clash="no"), "clash is 'no'; expected"),  # type: ignore[arg-type]
            (Ticket(unique="a", until="end"), "until is 'end'; expected"),  # type: ignore[arg-type]
            (Ticket(unique="a", until=0.0), "until is 0.0; expected"),
            (Ticket(unique="a", longest=-1), "longest is -1; expected"),
        ]
        for ticket, words in wrong:
            with pytest.raises(ValueError, match=words):
                flowing.admit("q", [b"good", b"bad"], [Ticket(), ticket], priority=1, token="t")
        with pytest.raises(ValueError, match="1 tickets for 2 payloads"):
            flowing.admit("q", [b"a", b"b"], [Ticket()], priority=1, token="t")
        with pytest.raises(ValueError, match="1 ids for 2 payloads"):
            flowing.admit("q", [b"a", b"b"], [Ticket()] * 2, priority=1, token="t", ids=["a"])
        assert flowing.counts("q").ready == 0

    def test_rules_that_are_none_are_refused(self, counted: Open) -> None:
        """And change nothing."""
        flowing, long = able(counted("push")), "x" * (LONGEST_NAME + 1)
        wrong: list[tuple[Any, Rule, str]] = [
            ((long, ""), Rule(), "name of a pool has 65 bytes"),
            (("a", long), Rule(), "name of a lane has 65 bytes"),
            (CRM, Rule(at_once=-1), "expected at_once and waiting from 0 on"),
            (CRM, Rule(weight=0), "weight and burst from 1 on"),
            (CRM, Rule(lanes=Rule(burst=0)), "weight and burst from 1 on"),
            (CRM, Rule(rate=(0, 1.0)), "rate is"),
            (CRM, Rule(rate=(1, 0.0)), "rate is"),
            (ACME, Rule(lanes=Rule()), "a lane has no lanes"),
            (CRM, Rule(lanes=Rule(lanes=Rule())), "a lane has no lanes"),
        ]
        for spot, bad, words in wrong:
            with pytest.raises(ValueError, match=words):
                flowing.rule("q", spot, bad)
        with pytest.raises(ValueError, match="by has 201 bytes; expected at most 200"):
            flowing.rule("q", CRM, Rule(), by="x" * 201)
        with pytest.raises(ValueError, match="name of a pool has 65 bytes"):
            flowing.gate("q", (long, ""), 1.0)
        assert list(flowing.standings("q")) == []

    def test_a_rule_without_limits_limits_nothing(self, counted: Open) -> None:
        """None and 0 are no limit."""
        connector = counted("lease")
        rule(connector, ACME, Rule(at_once=0, waiting=0))
        admit(connector, *[b"%d" % n for n in range(5)])
        assert len(Consumer(connector, terms=Terms(slots=1)).payloads()) == 5
