"""The swift exchange: where nothing but the ready tasks can have changed, a comparison and a move (`scripts/swift.lua`)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from regiment.contracts import Done, Settlement, Taken
from regiment_redis.asking import after_count
from regiment_redis.reach import pack
from regiment_redis.records import deliveries
from regiment_redis.scripts import Script
from regiment_redis.wire import Refusal, Wire

SWIFT = 0.5
"""Seconds for which an ordinary exchange may be followed by swift ones, which look at nothing that depends on the time (R8)."""
PAUSE = 8
"""Exchanges that are ordinary after one that could not be swift: a worker that falls idle after each task asks once, not twice."""
MOST = 1000
"""Tasks that a swift exchange leases at most."""

_SCRIPT = Script("swift")
_new: Any = tuple.__new__


class Swift:
    """What a consumer knows of the store after an exchange that left it with nothing but what it leased."""

    __slots__ = ("_before", "_board", "_due", "_first", "_head", "_last", "_now", "_parts", "_turn", "_until", "_wire")

    def __init__(self, wire: Wire, stem: str, consumer: str, look: bytes) -> None:
        self._wire = wire
        lists = [f"{stem}:ready:{priority}" for priority in look[17:].decode()]
        keys = (stem, f"{stem}:batch:{consumer}", *lists)
        self._before = after_count(pack(("EVALSHA", _SCRIPT.sha, len(keys), *keys, look))) + b"$26\r\n"
        self._parts = len(keys) + 4

    def start(self, turn: int, base: int, many: int, due: int, now: int, board: int) -> None:
        """The answer of the last ordinary exchange: so many tasks from `base` on; ms until something is due, the server's time in ms."""
        self._turn, self._first, self._last, self._board = turn, base, base + many - 1, board
        self._head = _head(turn, base, many)
        at = time.monotonic()
        self._due, self._now = at + due / 1000, now / 1000 - at
        self._until = min(self._due, at + SWIFT)

    def past(self) -> bool:
        """True if an ordinary exchange is due."""
        return time.monotonic() >= self._until

    def exchange(
        self, wire: Wire, turn: int, base: int, settlements: Sequence[Settlement], limit: int, max_bytes: int
    ) -> Taken | None:
        """The answer; None if it is not as simple as that, and nothing was done."""
        if wire is not self._wire or turn != self._turn + 1 or len(settlements) != 1 or limit > MOST:
            return None
        done = settlements[0]
        if type(done) is not Done or done[0] != self._first or done[1] != self._last:
            return None
        if limit == 1:
            head = _head(turn, base, 1)
            reply = wire.ask(b"*%d\r\n%b%b\r\n$26\r\n%b\r\n" % (self._parts + 2, self._before, self._head, head))
            found = [reply]
        else:
            start, end = (turn << 56 | base).to_bytes(14, "big"), ((base + 1) << 8).to_bytes(8, "big")
            a, b = b"%d" % limit, b"%d" % max_bytes
            reply = found = wire.ask(
                b"*%d\r\n%b%b\r\n$14\r\n%b\r\n$8\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"
                % (self._parts + 5, self._before, self._head, start, end, len(a), a, len(b), b)
            )
        if type(reply) is int or isinstance(reply, Refusal):
            if reply and str(reply).startswith("NOSCRIPT"):
                wire.ask(pack(("SCRIPT", "LOAD", _SCRIPT.text)))
            return None
        if limit > 1:
            head = start + len(found).to_bytes(4, "big") + end
        at = time.monotonic()
        self._head, self._turn, self._first, self._last = head, turn, base, base + len(found) - 1
        some = deliveries(base, found, (), int((self._now + at) * 1000))
        taken: Taken = _new(Taken, ((), some, max(self._due - at, 0.0), self._board))
        return taken


class Swifts:
    """The swift exchanges of the consumers of one Redis. `ready` has those whose next exchange may be swift."""

    def __init__(self) -> None:
        self.ready: dict[tuple[str, str], Swift] = {}
        self._pauses: dict[tuple[str, str], int] = {}
        self._known: dict[tuple[str, str], tuple[bytes, Swift]] = {}

    def exchange(
        self,
        who: tuple[str, str],
        wire: Wire,
        number: tuple[int, int],
        settlements: Sequence[Settlement],
        limit: int,
        max_bytes: int,
    ) -> Taken | None:
        """The answer to turn and base `number`; None: an ordinary exchange of the same turn has to follow."""
        # Taken out meanwhile: whatever ends this in the middle is followed by an ordinary exchange.
        swift = self.ready.pop(who)
        if swift.past():
            return None
        taken = swift.exchange(wire, *number, settlements, limit, max_bytes)
        if taken is None:
            self._pauses[who] = PAUSE
        else:
            self.ready[who] = swift
        return taken

    def follow(
        self, who: tuple[str, str], stem: str, wire: Wire, number: tuple[int, int], many: int, told: Sequence[Any]
    ) -> None:
        """An ordinary exchange has leased `many` to a consumer that held nothing else. `told`: ms until something is due, board, time of
        the server in ms, the queue's face without its stamp."""
        due, board, now, look = told
        left = self._pauses.get(who, 0)
        if left:
            self._pauses[who] = left - 1
        elif due > 0 and not look[16] and look[17:18].isdigit():  # "x": it has lanes
            if len(self._known) > 1000:
                self._known.clear()
                self._pauses.clear()
                self.ready.clear()
            known, swift = self._known.get(who, (b"", None))
            if swift is None or known != look or swift._wire is not wire:
                swift = Swift(wire, stem, who[1], look)
                self._known[who] = look, swift
            swift.start(*number, many, due, now, board)
            self.ready[who] = swift


def _head(turn: int, base: int, many: int) -> bytes:
    """The head of a consumer's list as the scripts write it: >I7I7I4I7B."""
    return (turn << 152 | base << 96 | many << 64 | (base + 1) << 8).to_bytes(26, "big")
