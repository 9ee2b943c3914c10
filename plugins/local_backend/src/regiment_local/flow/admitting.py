"""Taking tasks with tickets: their keys first, then their lanes, then what may wait."""

from __future__ import annotations

from typing import Literal

from regiment.contracts.flow import Met, Ticket, too_many
from regiment_local.flow import uniques
from regiment_local.flow.leasing import Flow
from regiment_local.flow.moving import Task
from regiment_local.flow.spots import Spot
from regiment_local.flow.uniques import Row
from regiment_local.lanes import PLACES
from regiment_local.schema import PLACE_BITS

REPLACE = "UPDATE tasks SET payload = ?, ticket = ?, uid = ?, count = 0, note = NULL, parked = NULL WHERE id = ?"
REPLACE_DELAYED = """
UPDATE delayed SET payload = ?, ticket = ?, uid = ?, count = 0, note = NULL, parked = NULL, priority = ?, due = ? WHERE no = ?"""

State = Literal["ready", "delayed", "leased"]


class Admission:
    """One call of `admit`, or one `Send` with tickets."""

    def __init__(self, flow: Flow, priority: int, due: float | None) -> None:
        self.flow, self.db, self.wall = flow, flow.db, flow.wall
        self.priority = priority
        self.due = due if due is not None and due > flow.wall else None
        self.mets: list[Met] = []
        self.soonest: float | None = None
        """When the first of what was delayed is due."""
        self._rows: list[Task] = []
        self._more: dict[int, tuple[Spot, int]] = {}
        self._count = 0

    def take(self, index: int, payload: bytes, ticket: Ticket, uid: str | None) -> bool:
        """True if this payload was taken, at the place of another or at its own."""
        key = None
        first = self.wall
        if ticket.unique:
            self.write()
            key = uniques.key_of(self.flow.queue, ticket.unique)
            claim, holder, state = self.claim(key)
            if state and ticket.clash == "keep":
                self.mets.append(Met(index, "kept", holder, state))
                return False
            if state:
                key, claim = self._succeed(key, claim, state)
            if claim is not None:
                self.mets.append(Met(index, "replaced", uniques.fields(claim.ticket)[4], self._state(claim)))
                self._replace(claim, payload, ticket, uid)
                return True
        self._new(payload, ticket, uid, key, first)
        return True

    def finish(self, limited: bool) -> None:
        """Write what is not written yet; `QueueFull` if more wait than may, where that is asked."""
        self.write()
        self.flow.flush()
        if not limited or not self._count:
            return
        for spot, more in self._more.values():
            rule = self.flow.rule(spot)
            if rule is not None and rule.waiting and spot.waiting > rule.waiting:
                name = (spot.pool, spot.lane)
                raise too_many(self.flow.name, name, rule.waiting, spot.waiting - more, more)
        rule = self.flow.root.own
        if rule is not None and rule.waiting:
            waits = self.flow.waits()
            if waits > rule.waiting:
                raise too_many(self.flow.name, ("", ""), rule.waiting, waits - self._count, self._count)

    # keys

    def claim(self, key: str) -> tuple[Row | None, str, str]:
        """Who has a key: its row, if it still has one; its id and state; an empty state if nobody has it."""
        timed = uniques.timed(self.db, key)
        if timed is not None and timed[0] <= self.wall:
            uniques.expire(self.db, key, self.wall)
            timed = uniques.timed(self.db, key)
        row = uniques.find(self.db, key)
        if row is not None:
            return row, uniques.fields(row.ticket)[4], self._state(row)
        if timed is not None:
            return None, timed[1], "ended"
        return None, "", ""

    def _succeed(self, key: str, claim: Row | None, state: str) -> tuple[str, Row | None]:
        """Who is replaced, if anybody is, and else the key of a new task: the successor goes before a holder that waits."""
        behind = uniques.next_of(key)
        waits = uniques.find(self.db, behind)
        if waits is not None:
            return behind, waits
        if state == "ended":
            uniques.let_go(self.db, key)
            return key, None
        return behind, None if state == "leased" else claim

    def _state(self, row: Row) -> State:
        if row.table == "delayed":
            return "delayed"
        if row.no < 0:
            found = self.db.execute(
                "SELECT 1 FROM lined WHERE spot = ? AND priority = ? AND id = ?",
                (row.spot, self.flow.priority_of(row.no), row.no),
            ).fetchone()
            return "ready" if found else "leased"
        lane, place = row.no >> PLACE_BITS, row.no & PLACES
        [(head,)] = self.db.execute("SELECT head FROM lanes WHERE no = ?", (lane,)).fetchall()
        if place >= head or self.db.execute("SELECT 1 FROM front WHERE id = ?", (row.no,)).fetchone():
            return "ready"
        return "leased"

    def _replace(self, row: Row, payload: bytes, ticket: Ticket, uid: str | None) -> None:
        """The new one takes the place of one that waits."""
        [(ukey,)] = self.db.execute(
            f"SELECT ukey FROM {row.table} WHERE {'id' if row.table == 'tasks' else 'no'} = ?", (row.no,)
        ).fetchall()
        first = uniques.fields(row.ticket)[6]
        text = uniques.pack(ticket, self.wall, first) or ""
        if row.table == "tasks":
            self.db.execute(REPLACE, (payload, text, uid, row.no))
        else:
            due = self.wall if self.due is None else self.due
            if ticket.clash == "later":
                due = min(due, first + ticket.longest) if ticket.longest else due
            else:
                due = min(due, row.due)
            self.db.execute(REPLACE_DELAYED, (payload, text, uid, self.priority, due, row.no))
            if due <= self.wall:
                self.flow.promote(self.db, self.flow.queue, self.wall, 1000)
            self._due(due)
        if uniques.holder_of(ukey) == ukey:
            uniques.hold(self.db, ukey, text, self.wall)

    # lanes

    def _new(self, payload: bytes, ticket: Ticket, uid: str | None, key: str | None, first: float) -> None:
        flow = self.flow
        spot = flow.named(ticket.pool, ticket.lane)
        no = None if spot is flow.root else spot.no
        text = uniques.pack(ticket, self.wall, first, no is None)
        self._rows.append((payload, self.wall, 0, None, None, uid, no, key, text))
        self._count += 1
        if no is not None:
            for one in flow.chain(no)[:-1]:
                one.waiting += 1
                one.dirty = True
                self._more[one.no] = one, self._more.get(one.no, (one, 0))[1] + 1
        if key is not None and uniques.holder_of(key) == key:
            uniques.hold(self.db, key, text or "", self.wall)

    def write(self) -> None:
        """Put down the new ones so far, so that a later one meets them."""
        if self._rows:
            if self.due is None:
                self.flow.make_ready(self.priority, self._rows)
                self.flow.flush()
            else:
                self.flow.make_delayed(self.due, self.priority, self._rows)
                self._due(self.due)
            self._rows = []

    def _due(self, due: float) -> None:
        self.soonest = due if self.soonest is None else min(due, self.soonest)
