"""The extra `flow` of one Redis: the verbs that push with tickets, set rules and gates, and look at how lanes stand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from regiment.contracts import Counts
from regiment.contracts.flow import (
    FOREVER,
    Met,
    Rule,
    Spot,
    Standing,
    Ticket,
    check_rule,
    check_spot,
    check_tickets,
    too_many,
)
from regiment_redis.asking import PRIORITIES, ms
from regiment_redis.link import NoLanes, Scripts
from regiment_redis.looking import Look
from regiment_redis.records import name
from regiment_redis.scripts import Script
from regiment_redis.tickets import charged, rule_of, rule_texts, spot_name, spot_of, ticket_of
from regiment_redis.wire import Part

_ADMIT, _RULE, _GATE = (Script(n, flow=True) for n in ("admit", "rule", "gate"))
_STANDINGS, _RECOUNT = (Script(n, flow=True) for n in ("standings", "recount"))
CHUNK = 500
"""Spots that one request looks at."""


class Budgets:
    """The verbs of `Flowing`. `scripts` calls a script, `stem` gives the first part of a queue's keys, `note` writes a queue
    into the list, `counts` counts one."""

    def __init__(
        self,
        scripts: Scripts,
        stem: Callable[[str], str],
        note: Callable[[str], None],
        counts: Callable[[str], Counts],
    ) -> None:
        self._scripts, self._stem, self._note, self._counts = scripts, stem, note, counts

    def _run(self, script: Script, queue: str, *args: Part, pushing: bool = False) -> Any:
        stem = self._stem(queue)
        reply = self._scripts.run(script, stem, *args, pushing=pushing)
        self._scripts.lanes.add(stem)
        return reply

    def begin(self, queue: str) -> None:
        """Give a queue lanes."""
        self._run(_ADMIT, queue, "", 1, 0, "now", 0, 0)

    def admit(
        self,
        queue: str,
        payloads: Sequence[bytes],
        tickets: Sequence[Ticket],
        priority: int,
        delay: float,
        at: float | None,
        token: str,
        ids: Sequence[str] | None,
        windows: tuple[float, float],
    ) -> list[Met]:
        if priority not in PRIORITIES:
            raise ValueError(f"priority is {priority!r}; the redis connector has 0 to 9")
        check_tickets(payloads, tickets, ids)
        if not payloads:
            return []
        self._note(queue)
        mode, due = ("at", ms(at)) if at is not None else ("in", ms(delay)) if delay > 0 else ("now", 0)
        head = (token, max(ms(windows[1]), 1), priority, mode, due, ms(windows[0]))
        found = self._run(_ADMIT, queue, *head, *charged(payloads, tickets, ids), pushing=True)
        if found and found[0] == b"full":
            _, spot, limit, waits, more = found
            raise too_many(queue, spot_of(spot), int(limit), int(waits), int(more))
        return [_met(*found[i : i + 4]) for i in range(0, len(found), 4)]

    def rule(self, queue: str, spot: Spot, rule: Rule | None, operator: bool, by: str) -> None:
        check_rule(spot, rule, by)
        self._note(queue)
        texts = (b"", b"") if rule is None else rule_texts(rule, by)
        self._run(_RULE, queue, spot_name(spot), "o" if operator else "c", *texts, pushing=True)

    def gate(self, queue: str, spot: Spot, seconds: float | None) -> None:
        check_spot(spot)
        self._note(queue)
        closed = "inf" if seconds == FOREVER else max(ms(seconds or 0.0), 0)
        self._run(_GATE, queue, spot_name(spot), closed, pushing=True)

    def flow(self, queue: str, spots: Sequence[Spot]) -> list[Standing]:
        names: list[Part] = [spot_name(spot) for spot in spots]
        rows: list[Any] = []
        for start in range(0, len(names), CHUNK):
            some = names[start : start + CHUNK]
            rows += self._look(_STANDINGS, queue, "of", *some) or [None] * len(some)
        if None not in rows:
            return [_standing(*row)._replace(spot=spot) for spot, row in zip(spots, rows, strict=True)]
        counts = self._counts(queue) if ("", "") in spots else Counts()
        whole = Standing(("", ""), counts.ready + counts.delayed, counts.leased)
        return [Standing(spot) if spot[0] or spot[1] else whole for spot in spots]

    def standings(self, queue: str, limit: int, pool: str | None, after: Spot | None) -> list[Standing]:
        kind: tuple[Part, ...] = ("queue",) if pool is None else ("pool", pool)
        behind = "" if after is None else after[0 if pool is None else 1]
        rows = self._look(_STANDINGS, queue, *kind, max(limit, 0), behind, int(after is not None and after != ("", "")))
        if pool is None and after == ("", ""):
            rows = [row for row in rows or () if row[0]]
        return [_standing(*row) for row in rows or ()]

    def recount(self, queue: str) -> list[tuple[Spot, int, int]]:
        rows = self._look(_RECOUNT, queue) or ()
        return [(spot_of(spot), int(waiting), int(running)) for spot, waiting, running in rows]

    def ticket(self, queue: str, payload: bytes) -> Ticket | None:
        for state in ("leased", "ready", "delayed"):  # who asks is mostly a task that runs
            after: str | None = None
            while True:
                look = Look(self._scripts.run, self._stem(queue), 100, payload)
                glance = look.through(state, after)
                for seen, element in zip(glance.tasks, look.elements, strict=True):
                    if seen.payload == payload:
                        return ticket_of(element)
                after = glance.after
                if after is None:
                    break
        return None

    def _look(self, script: Script, queue: str, *args: Part) -> Any:
        """The reply of a script that looks; None for a queue that has no lanes, which it must not get by it."""
        try:
            return self._run(script, queue, *args)
        except NoLanes:
            return None


def _met(index: bytes, did: bytes, holder: bytes, state: bytes) -> Met:
    return Met(int(index), did.decode(), name(holder), state.decode())  # type: ignore[arg-type]


def _standing(
    spot: bytes, waiting: int, running: int, told: bytes, source: bytes, gate: bytes, until_rate: int
) -> Standing:
    rule, by = rule_of(told) if told else (None, "")
    if source == b"l" and rule is not None:
        rule, by = rule.lanes, ""
    word = {b"c": "code", b"o": "operator"}.get(source, "")
    closed = math.inf if gate == b"inf" else int(gate) / 1000
    return Standing(spot_of(spot), waiting, running, rule, word, by, closed, until_rate / 1000)
