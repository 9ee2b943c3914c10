"""Joins: sets of members that complete once (E7), and what each applies when it does."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from regiment.contracts import MOST_MEMBERS, Arrive, Join, Keep, Send, Tally
from regiment.contracts.flow import Ticket

WITHOUT_TICKETS = len(Send._fields) - 1
"""Fields of a packed `Send` that has no tickets: it is as it was before there were any."""

Then = Keep | Send | Arrive

SHELL, OPEN, COMPLETE, SHUT = 0, 1, 2, 3
"""States: somebody arrived before it was opened; opened; all have arrived; never to complete."""

UNOPENED = 604_800.0
"""Seconds that a shell is remembered: it has no time to live of its own before it is opened."""

SHOWN = 100
"""Most missing members that a tally names."""

LOOK = "SELECT no, members, bits, state, ttl, until FROM joins WHERE queue = ? AND name = ?"
FOUND = "INSERT INTO joins (queue, name, members, bits, state, ttl, until) VALUES (?, ?, ?, ?, ?, ?, ?)"
WRITE = "UPDATE joins SET members = ?, bits = ?, state = ?, ttl = ?, until = ? WHERE no = ?"


class State:
    """One join while a step is under way; written back at its end if it is `dirty`."""

    __slots__ = ("bits", "dirty", "members", "no", "state", "then", "ttl", "until")

    def __init__(self, row: tuple[int, int | None, bytes, int, float, float] | None, wall: float) -> None:
        self.no = None if row is None else row[0]
        self.then: bytes | None = None
        """What is to be stored with it: only where this step has opened it."""
        self.dirty = False
        self.members, self.bits, self.state, self.ttl, self.until = None, 0, SHELL, UNOPENED, wall + UNOPENED
        if row is not None and row[5] > wall:
            self.members, self.state, self.ttl, self.until = row[1], row[3], row[4], row[5]
            self.bits = int.from_bytes(row[2], "little")

    def open(self, join: Join, wall: float) -> bool:
        """True if it is open from now on."""
        if self.state != SHELL:
            return False
        if join.members is not None:
            self.members = _count(join.members)
        self.state, self.ttl, self.then = OPEN, join.ttl, pack(join.then)
        self._touch(wall)
        return True

    def arrive(self, member: int, wall: float) -> None:
        if not 0 <= member < MOST_MEMBERS:
            return  # no join has such a member
        bit = 1 << member
        if self.state != COMPLETE and not self.bits & bit:
            self.bits |= bit
            self._touch(wall)

    def seal(self, members: int, wall: float) -> None:
        if self.members is None and self.state in (SHELL, OPEN):
            self.members = _count(members)
            self.dirty = True

    def shut(self, ttl: float, wall: float) -> None:
        if self.state in (SHELL, OPEN):
            if self.state == SHELL:
                self.ttl, self.members = ttl, None
                self.until = wall + ttl
            self.state, self.then, self.dirty = SHUT, None, True

    def completes(self) -> bool:
        """True if it is complete by now and was not before."""
        if self.state != OPEN or self.members is None:
            return False
        every = (1 << self.members) - 1
        if self.bits & every != every:
            return False
        self.state, self.dirty = COMPLETE, True
        return True

    def tally(self) -> Tally:
        members = None if self.state == SHELL else self.members
        inside = self.bits if members is None else self.bits & ((1 << members) - 1)
        missing = [] if members is None else [one for one in range(members) if not inside >> one & 1]
        return Tally(members, inside.bit_count(), self.state == COMPLETE, self.state == SHUT, missing[:SHOWN])

    def _touch(self, wall: float) -> None:
        self.until, self.dirty = wall + self.ttl, True


def _count(members: int) -> int:
    if not 0 <= members <= MOST_MEMBERS:
        raise ValueError(f"a join of {members:,} members; expected 0 to {MOST_MEMBERS:,}: split it, and join the joins")
    return members


def load(db: sqlite3.Connection, queue: int, name: str, wall: float) -> State:
    """A join as it is, a new shell if it is unknown or forgotten."""
    row = db.execute(LOOK, (queue, name)).fetchone()
    if row is not None and row[5] <= wall:
        db.execute("DELETE FROM thens WHERE no = ?", (row[0],))
    return State(row, wall)


def write(db: sqlite3.Connection, queue: int, name: str, join: State) -> None:
    """Put it down."""
    bits = join.bits.to_bytes((join.bits.bit_length() + 7) // 8, "little")
    columns = (join.members, bits, join.state, join.ttl, join.until)
    if join.no is None:
        join.no = db.execute(FOUND, (queue, name, *columns)).lastrowid
    else:
        db.execute(WRITE, (*columns, join.no))
    if join.then:
        db.execute("INSERT INTO thens VALUES (?, ?)", (join.no, join.then))
    elif join.state in (COMPLETE, SHUT):
        db.execute("DELETE FROM thens WHERE no = ?", (join.no,))
    join.dirty, join.then = False, None


def then_of(db: sqlite3.Connection, join: State) -> Sequence[Then]:
    """What a join applies that is complete now; it is stored no longer."""
    packed, join.then = join.then, None
    if packed is None and join.no is not None:
        found = db.execute("SELECT effects FROM thens WHERE no = ?", (join.no,)).fetchone()
        packed = None if found is None else found[0]
    return unpack(packed) if packed else []


def sweep(db: sqlite3.Connection, wall: float, most: int) -> None:
    """Forget joins whose time is over, at most so many."""
    gone = db.execute("SELECT no FROM joins WHERE until <= ? ORDER BY until LIMIT ?", (wall, most)).fetchall()
    if gone:
        db.executemany("DELETE FROM thens WHERE no = ?", gone)
        db.executemany("DELETE FROM joins WHERE no = ?", gone)


def pack(then: Sequence[Then]) -> bytes | None:
    """Effects as bytes: the length of a JSON list, the list, and after it the payloads and values, each as it is."""
    if not then:
        return None
    heads: list[list[object]] = []
    bodies: list[bytes] = []
    for effect in then:
        if isinstance(effect, Keep):
            heads.append(["keep", effect.key, len(effect.value), *effect[2:]])
            bodies.append(effect.value)
        elif isinstance(effect, Send):
            ids = None if effect.ids is None else list(effect.ids)
            heads.append(["send", effect.queue, [len(one) for one in effect.payloads], *effect[2:5], ids, effect[6]])
            if effect.tickets is not None:
                heads[-1].append(list(effect.tickets))
            bodies += effect.payloads
        elif isinstance(effect, Arrive):
            heads.append(["arrive", *effect])
        else:
            raise TypeError(f"{type(effect).__name__} in `then` of a join; expected Keep, Send or Arrive")
    head = json.dumps(heads, separators=(",", ":")).encode()
    return b"".join([len(head).to_bytes(4, "big"), head, *bodies])


def unpack(packed: bytes) -> list[Then]:
    """What `pack` was given."""
    place = 4 + int.from_bytes(packed[:4], "big")
    heads, found = json.loads(packed[4:place]), list[Then]()

    def cut(length: int) -> bytes:
        nonlocal place
        place += length
        return packed[place - length : place]

    for kind, *fields in heads:
        if kind == "keep":
            found.append(Keep(fields[0], cut(fields[1]), *fields[2:]))
        elif kind == "send":
            tickets = [Ticket(*one) for one in fields.pop()] if len(fields) > WITHOUT_TICKETS else None
            found.append(Send(fields[0], [cut(length) for length in fields[1]], *fields[2:])._replace(tickets=tickets))
        else:
            found.append(Arrive(*fields))
    return found
