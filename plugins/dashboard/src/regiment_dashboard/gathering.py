"""Which groups the dead letters are of, known without reading all of them for each page.

The store orders letters, newest first, and counts them. So a queue is gone through once, a page at a time; after that only what is new
is read, and only where the number of letters has changed. What has left is seen by the number too: if it is the oldest ones, as where a
limit is reached, one request proves it; else the queue is gone through once more. Nothing is counted when a task dies: a death costs
what it did, no store has to keep a number that must agree with its letters, and letters of before are counted like others.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

from regiment.contracts import Connector, Letter
from regiment.errors import StoreUnavailable
from regiment_console import letters
from regiment_console.groups import group_of
from regiment_console.store import shown_name
from regiment_dashboard.pacing import Over
from regiment_dashboard.reading import MOST

PAGES = (100, 500, 2000)
"""Letters that the first, the second and each further request of a walk asks for."""
MOST_KEPT = 250_000
"""Letters that are counted, of all queues together; of more only the newest are."""
RECOUNTED = 60.0
"""Seconds until a queue that seemed to have fewer letters than it counts is gone through again."""
MOST_GROUPS = 1000
"""Groups of a queue whose newest letters are kept as they are shown."""


class Entry(NamedTuple):
    """What is kept of a letter."""

    id: str
    at: float
    group: str


class Gathered(NamedTuple):
    """What is known of the letters of some queues."""

    groups: Sequence[Mapping[str, Any]]
    """The largest first; as `regiment dead list --group` has them."""
    counted: int
    total: int
    """Letters that are in these groups, and that there are."""


class Pile:
    """The letters of one queue."""

    def __init__(self) -> None:
        self.top, self.rest = deque[Entry](), deque[Entry]()
        """What this walk has gone through, and what is known from before and lies behind it; each newest first."""
        self.number = -1
        """How many there were when the last walk began; -1: none has."""
        self.shown: dict[str, dict[str, dict[str, Any]]] = {}
        """Group -> letter's id -> what a page shows of it: the newest ones."""
        self._walking, self._whole, self._suspect, self._fewer = False, True, False, False
        self._after: str | None = None
        self._pages, self._recount = 0, float("inf")
        self._summary: list[dict[str, Any]] | None = None
        self._blind: dict[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.top) + len(self.rest)

    def __iter__(self) -> Iterator[Entry]:
        return chain(self.top, self.rest)

    def due(self, dead: int) -> bool:
        """True if a request would make it better known; `dead` is how many letters the queue has, and not none."""
        return self._walking or self._suspect or dead != self.number or time.monotonic() > self._recount

    def requests(self, dead: int) -> int:
        """How many requests are missing, roughly."""
        return 1 + abs(dead - len(self)) // PAGES[-1] if self.due(dead) else 0

    def ask(self, store: Connector, queue: str, dead: int) -> tuple[int, Sequence[Letter]]:
        """The one request that comes next; how many letters it asked for, and its answer."""
        if self._suspect:
            before = next(islice(self, dead - 2, None), None) if dead > 1 else None
            return 2, letters.reasons(store, queue, 2, before.id if before else None)
        limit = PAGES[min(self._pages, len(PAGES) - 1)] if self._walking else PAGES[0]
        return limit, letters.reasons(store, queue, limit, self._after if self._walking else None)

    def learn(self, queue: str, dead: int, limit: int, found: Sequence[Letter], room: int) -> None:
        """Take in what was answered; at most `room` letters are kept."""
        self._summary = None
        if self._suspect:
            self._trim(dead, found)
            return
        if not self._walking:
            self._begin(dead)
        self._pages, self._blind = self._pages + 1, None
        known = self._merge(queue, found)
        if len(found) < limit:
            self.rest.clear()
        if len(found) < limit or (known and not self._whole) or len(self.top) >= room:
            self._end(dead, room)
        else:
            self._after = found[-1].id

    def _begin(self, dead: int) -> None:
        self._walking, self._after, self._pages, self._recount = True, None, 0, float("inf")
        self._whole = self._whole or self.number < 0
        self._suspect = False
        self._fewer = dead < self.number
        self.number = dead

    def _merge(self, queue: str, found: Sequence[Letter]) -> bool:
        """Put a page in its place; True if its last letter was known, so that what lies behind it is."""
        if not found:
            return True
        page, last, aside, known = {one.id for one in found}, found[-1], [], dict[str, str]()
        while self.rest and self.rest[0].at >= last.at:
            one = self.rest.popleft()
            if one.id in page:
                known[one.id] = one.group
            elif one.at > last.at:
                self.shown.get(one.group, {}).pop(one.id, None)
            else:
                aside.append(one)
        self.rest.extendleft(reversed(aside))
        for letter in found:
            group = known.get(letter.id) or self._new(queue, letter)
            self.top.append(Entry(letter.id, letter.at, group))
        return last.id in known

    def _new(self, queue: str, letter: Letter) -> str:
        group = sys.intern(group_of(letter))
        if group in self.shown or len(self.shown) < MOST_GROUPS:
            rows = self.shown.setdefault(group, {})
            if len(rows) < MOST:
                rows[letter.id] = letters.in_words(queue, letter)
            elif (oldest := min(rows, key=lambda id: float(rows[id]["at"]))) and rows[oldest]["at"] < letter.at:
                del rows[oldest]
                rows[letter.id] = letters.in_words(queue, letter)
        return group

    def _end(self, dead: int, room: int) -> None:
        self.top.extend(self.rest)
        self.rest, self.top = self.top, deque()
        while len(self.rest) > room:
            self.rest.pop()
        self._walking, whole, self._whole = False, self._whole, False
        if whole:
            self._recount = time.monotonic() + RECOUNTED if len(self.rest) < min(self.number, room) else float("inf")
        elif len(self.rest) > dead:
            self._suspect = True
        elif self._fewer or len(self.rest) < min(self.number, room):
            self._recount, self._whole = time.monotonic() + RECOUNTED, True

    def _trim(self, dead: int, found: Sequence[Letter]) -> None:
        """What has left are the oldest letters if nothing lies behind the one that should be the last; else nobody knows which."""
        self._suspect = False
        if len(self.rest) <= dead:
            return
        last = next(islice(self.rest, dead - 1, None))
        if [one.id for one in found] == [last.id]:
            while len(self.rest) > dead:
                gone = self.rest.pop()
                self.shown.get(gone.group, {}).pop(gone.id, None)
        else:
            self._whole, self.number = True, -1

    def fail(self, queue: str, dead: int, error: Exception) -> None:
        """It cannot be read: that stands in place of its letters, until it is tried again."""
        self.top, self.rest, self.shown, self._summary = deque(), deque(), {}, None
        self._walking, self._whole, self._suspect = False, True, False
        self.number, self._blind = dead, letters.blind(queue, error)
        self._recount = time.monotonic() + RECOUNTED

    def forget(self, ids: frozenset[str]) -> None:
        """These have been replayed or deleted by somebody here."""
        before = len(self)
        self.top = deque(one for one in self.top if one.id not in ids)
        self.rest = deque(one for one in self.rest if one.id not in ids)
        self.number = max(0, self.number - (before - len(self)))
        self._summary = None
        for rows in self.shown.values():
            for id in rows.keys() & ids:
                del rows[id]

    def summary(self, queue: str) -> list[dict[str, Any]]:
        """Its groups."""
        if self._summary is None:
            found: dict[str, dict[str, Any]] = {}
            for one in self:
                group = found.get(one.group)
                if group is None:
                    found[one.group] = {**self._about(queue, one), "count": 1, "newest": one.at, "oldest": one.at}
                else:
                    group["count"] += 1
                    group["oldest"] = one.at
            self._summary = list(found.values())
            if self._blind is not None:
                at = self._blind["at"]
                self._summary.append(
                    {**self._blind, "group": "?", "count": 1, "newest": at, "oldest": at, "example": "?"}
                )
        return self._summary

    def _about(self, queue: str, newest: Entry) -> dict[str, Any]:
        rows = self.shown.get(newest.group) or {}
        told: Mapping[str, Any] = rows.get(newest.id) or next(iter(rows.values()), {})
        texts = {name: told.get(name) for name in ("name", "kind", "error_type", "error")}
        return {
            "group": newest.group,
            "queue": told.get("queue") or shown_name(queue),
            **texts,
            "example": newest.id,
        }


class Gathering:
    """The letters of all queues of a store. One thread asks for them; others read what is known."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._piles: dict[str, Pile] = {}
        self._last = ""

    def step(self, store: Connector, dead: Mapping[str, int]) -> bool:
        """One request, for the next queue that needs one; False if none does. `dead`: how many letters each queue has."""
        with self._lock:
            dead = {name: number for name, number in dead.items() if number}
            self._piles = {name: self._piles.get(name, Pile()) for name in dead}
            due = [name for name, number in dead.items() if self._piles[name].due(number)]
            if not due:
                return False
            queue = self._last = next((name for name in due if name > self._last), due[0])
            pile = self._piles[queue]
            room = MOST_KEPT - sum(map(len, self._piles.values())) + len(pile)
        try:
            asked, found = pile.ask(store, queue, dead[queue])
            with self._lock:
                pile.learn(queue, dead[queue], asked, found, room)
        except (StoreUnavailable, Over):
            raise
        except Exception as error:  # it hides no other queue
            with self._lock:
                pile.fail(queue, dead[queue], error)
        return True

    def missing(self, dead: Mapping[str, int]) -> int:
        """How many requests are missing until all is known, roughly."""
        with self._lock:
            return sum(self._piles.get(name, Pile()).requests(number) for name, number in dead.items() if number)

    def forget(self, queue: str, ids: Iterable[str]) -> None:
        """These letters have been replayed or deleted by somebody here."""
        with self._lock:
            if queue in self._piles:
                self._piles[queue].forget(frozenset(ids))

    def groups(self, dead: Mapping[str, int]) -> Gathered:
        """The groups of these queues, as far as they are known."""
        with self._lock:
            piles = {name: pile for name in dead if (pile := self._piles.get(name)) is not None}
            found = [group for name, pile in piles.items() for group in pile.summary(name)]
            counted = sum(map(len, piles.values()))
        return Gathered(sorted(found, key=lambda one: -one["count"]), counted, max(sum(dead.values()), counted))

    def newest(self, queue: str, group: str | None) -> tuple[list[tuple[str, dict[str, Any] | None]], str | None]:
        """The ids of the newest letters of a group (None: of the queue), each with what is known of it, and the newest of the queue."""
        with self._lock:
            pile = self._piles.get(queue)
            if pile is None:
                return [], None
            some = (one for one in pile if group in (None, one.group))
            found = [(one.id, pile.shown.get(one.group, {}).get(one.id)) for one in islice(some, MOST)]
            return found, next((one.id for one in pile), None)
