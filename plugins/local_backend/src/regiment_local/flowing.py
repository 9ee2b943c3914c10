"""The verbs of the extra `flow`, and what makes a queue one that counts."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from regiment.contracts import Counts
from regiment.contracts.flow import Met, Rule, Spot, Standing, Ticket, check_rule, check_spot, check_tickets
from regiment_local.base import number_of, queue_topic
from regiment_local.flow import ruling
from regiment_local.flow.admitting import Admission
from regiment_local.looking import counts_of
from regiment_local.pushing import Pushing


class Flowed(Pushing):
    """admit, rule, gate, flow, standings, recount, ticket."""

    def admit(
        self,
        queue: str,
        payloads: Sequence[bytes],
        tickets: Sequence[Ticket],
        *,
        priority: int,
        delay: float = 0.0,
        at: float | None = None,
        token: str,
        ids: Sequence[str] | None = None,
        id_window: float = 3600.0,
        token_window: float = 60.0,
    ) -> Sequence[Met]:
        check_tickets(payloads, tickets, ids)
        work = (queue, payloads, tickets, priority, delay, at, token, ids, id_window, token_window)
        return self._write_durably(self._admit, *work)

    def _admit(
        self,
        db: sqlite3.Connection,
        queue: str,
        payloads: Sequence[bytes],
        tickets: Sequence[Ticket],
        priority: int,
        delay: float,
        at: float | None,
        token: str,
        ids: Sequence[str] | None,
        id_window: float,
        token_window: float,
    ) -> list[Met]:
        flow = self._flowing(db, queue)
        wall = flow.wall
        key = f"{flow.queue}# {token}"  # a push has its own ones: no token of the two is the same
        known = db.execute("SELECT left_out FROM tokens WHERE token = ? AND until > ?", (key, wall)).fetchone()
        if known is not None:
            return [Met(*met) for met in json.loads(known[0])]
        due = at if at is not None else wall + delay if delay > 0 else None
        admission = Admission(flow, priority, due)
        self._take(db, admission, payloads, tickets, ids, id_window)
        admission.finish(limited=True)
        text = json.dumps(admission.mets)
        db.execute("INSERT OR REPLACE INTO tokens VALUES (?, ?, ?)", (key, wall + token_window, text))
        self._clean(db, wall)
        self._finish_flows(db)
        if admission.soonest is not None:
            self._call(db, queue_topic(queue), admission.soonest)
        return admission.mets

    def rule(self, queue: str, spot: Spot, rule: Rule | None, *, operator: bool = False, by: str = "") -> None:
        check_rule(spot, rule, by)
        self._write_durably(self._rule, queue, spot, rule, operator, by)

    def _rule(self, db: sqlite3.Connection, queue: str, spot: Spot, rule: Rule | None, operator: bool, by: str) -> None:
        ruling.set_rule(self._flowing(db, queue), spot, rule, operator, by)
        self._finish_flows(db)

    def gate(self, queue: str, spot: Spot, seconds: float | None) -> None:
        check_spot(spot)
        self._write_durably(self._gate, queue, spot, seconds)

    def _gate(self, db: sqlite3.Connection, queue: str, spot: Spot, seconds: float | None) -> None:
        ruling.set_gate(self._flowing(db, queue), spot, seconds)
        self._finish_flows(db)

    def flow(self, queue: str, spots: Sequence[Spot]) -> Sequence[Standing]:
        for spot in spots:
            check_spot(spot)
        found = self._looked_at(queue, lambda db, flow: [ruling.standing(flow, spot) for spot in spots])
        return [self._plain_standing(queue, spot) for spot in spots] if found is None else found

    def standings(
        self, queue: str, limit: int = 100, *, pool: str | None = None, after: Spot | None = None
    ) -> Sequence[Standing]:
        found = self._looked_at(queue, lambda db, flow: ruling.standings(flow, limit, pool, after))
        if found is None:
            whole = self._plain_standing(queue, ("", ""))
            some = pool is None and after is None and limit > 0 and (whole.waiting or whole.running)
            found = [whole] if some else []
        return found

    def _plain_standing(self, queue: str, spot: Spot) -> Standing:
        """Of a queue that has never seen a ticket, a rule or a gate."""
        if spot != ("", ""):
            return Standing(spot)
        counts = self._read(lambda db: counts_of(db, queue), Counts())
        return Standing(spot, counts.ready + counts.delayed, counts.leased)

    def recount(self, queue: str) -> Sequence[tuple[Spot, int, int]]:
        return self._write(self._recount, queue)

    def _recount(self, db: sqlite3.Connection, queue: str) -> list[tuple[Spot, int, int]]:
        number = number_of(db, queue)
        flow = None if number is None else self._flow_of(db, number, queue)
        if flow is None:
            return []
        wrong = ruling.recount(flow)
        self._finish_flows(db)
        return wrong

    def ticket(self, queue: str, payload: bytes) -> Ticket | None:
        return self._looked_at(queue, lambda db, flow: ruling.ticket(db, flow.queue, payload))
