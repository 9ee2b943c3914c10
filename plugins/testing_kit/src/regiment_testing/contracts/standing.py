"""The promises of looks at budgets, of what is kept of them, and of what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from regiment.contracts import (
    LONGEST_NAME,
    Done,
    Rule,
    Standing,
    Terms,
    Ticket,
)
from regiment_testing.contracts.bench import Consumer, Open, extra
from regiment_testing.contracts.charged import (
    ACME,
    CRM,
    FAR,
    QUEUE,
    FlowBench,
    able,
    admit,
    fill,
    numbers,
    rule,
    stands,
    worker,
)


@extra("flow")
class StandingContract(FlowBench):
    """flow, standings; L7; names, tickets and rules."""

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
