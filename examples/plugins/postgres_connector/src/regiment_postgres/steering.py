"""The extra `steer`: looking through a queue, and the verbs of `steer.sql`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from psycopg.types.json import Jsonb

from regiment.contracts import (
    ACT_AGE,
    ACT_SIZE,
    LOOKED_AT,
    MOST_ACTS,
    MOST_NOTICES,
    NOTICE_AGE,
    STEP,
    Act,
    Board,
    Counts,
    Glance,
    Seen,
)
from regiment_postgres.following import Following
from regiment_postgres.link import text, texts

COUNTS = """SELECT c.* FROM unnest(%(queues)s::text[]) WITH ORDINALITY AS asked (name, n) CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE consumer IS NULL AND due IS NULL), count(due), count(consumer),
        (SELECT count(*) FROM letter WHERE queue = asked.name),
        clock() - min(since) FILTER (WHERE consumer IS NULL AND due IS NULL),
        (SELECT count(*) FROM consumer WHERE queue = asked.name AND state = 'living'),
        coalesce((SELECT paused FROM queue WHERE queue.name = asked.name), false)
        FROM task WHERE queue = asked.name
    ) AS c ORDER BY n"""

WALKS = {
    "ready": ("consumer IS NULL AND due IS NULL", "priority, place", "%(first)s::int, %(second)s::int8"),
    "delayed": ("due IS NOT NULL", "due, place", "%(first)s::float8, %(second)s::int8"),
    "leased": ("consumer IS NOT NULL", "consumer, receipt", "%(first)s::text, %(second)s::int8"),
}
"""Of each state: which tasks are in it, by what they are sorted, and behind which of them a walk goes on."""

CURSORS = {"ready": r"-?[0-9]+ [0-9]+", "delayed": r"[0-9.e+]+ [0-9]+", "leased": r".* [0-9]+"}
"""What a walk of each state ends with, to go on from."""

# A task that came back keeps `since`, so it is not known of one that did. The last row, without a payload, is where a walk ends that
# has not come to the end.
LOOK = """WITH walked AS (
        SELECT *, row_number() OVER (ORDER BY {order}) AS n FROM task
        WHERE queue = %(queue)s AND {these} {behind} ORDER BY {order} LIMIT %(most)s + 1
    ), hit AS (
        SELECT * FROM walked WHERE n <= %(most)s AND position(%(holding)s::bytea IN payload) > 0 ORDER BY n LIMIT %(limit)s + 1
    )
    SELECT {order}, place, payload, priority, greatest(due - clock(), 0), CASE WHEN consumer IS NULL AND crashes = 0
            AND (due IS NULL OR parked IS NULL) THEN greatest(clock() - since, 0) END,
        crashes, note, clock() - parked, consumer, receipt, n FROM hit
    UNION ALL SELECT {order}, 0, NULL, 0, 0, 0, 0, NULL, 0, NULL, NULL, n FROM walked
        WHERE n = %(most)s AND EXISTS (SELECT FROM walked WHERE n > %(most)s)
    ORDER BY n"""
STEERS = (
    "SELECT steer(%(queue)s, %(numbers)s::int8[], %(delayed)s::bool[], %(drop)s, %(priority)s::int, %(delay)s::float8)"
)
BOARD = """SELECT version, paused, ARRAY(SELECT id FROM notice WHERE queue = name AND until > clock()), orders
    FROM queue WHERE name = %(queue)s"""
POST = "SELECT post(%(queue)s, %(paused)s::bool, %(cancel)s::text[], %(clear)s::text[], %(orders)s, %(most)s, %(age)s)"
ACTS = """SELECT id::text, at, entry FROM act WHERE queue = %(queue)s AND at > clock() - %(age)s
    AND (%(after)s::int8 IS NULL OR id < %(after)s) ORDER BY id DESC LIMIT %(limit)s"""


class Steering(Following):
    """look, steer, counts, the board and acts."""

    def look(
        self,
        queue: str,
        state: Literal["ready", "delayed", "leased"],
        limit: int = 100,
        *,
        after: str | None = None,
        holding: bytes = b"",
    ) -> Glance:
        if state not in WALKS:
            raise ValueError(f"state is {state!r}; expected one of {', '.join(WALKS)}")
        these, order, behind = WALKS[state]
        first, _, second = (after or "").rpartition(" ")
        if after is not None and not re.fullmatch(CURSORS[state], after, re.DOTALL):
            raise ValueError(f"after is {after!r}; expected what the last look at this queue answered")
        sql = LOOK.format(these=these, order=order, behind="" if after is None else f"AND ({order}) > ({behind})")
        rows = self._look(
            sql,
            queue=queue,
            first=first,
            second=second,
            holding=holding,
            limit=limit,
            most=LOOKED_AT if holding else min(limit, LOOKED_AT),
        )
        found = [row for row in rows if row[3] is not None]
        last = found[limit - 1] if len(found) > limit else rows[-1] if len(found) < len(rows) else None
        tasks = [_seen(queue, state, *row[2:-1]) for row in found[:limit]]
        return Glance(tasks, None if last is None else f"{last[0]} {last[1]}")

    def steer(
        self,
        queue: str,
        places: Sequence[str],
        *,
        drop: bool = False,
        priority: int | None = None,
        delay: float | None = None,
    ) -> Sequence[str]:
        if drop == (priority is not None or delay is not None):
            raise ValueError(
                f"steer got drop={drop}, priority={priority}, delay={delay}; expected drop, or what to change"
            )
        known = [(place, number) for place in dict.fromkeys(places) if (number := _number(queue, place)) is not None]
        done: list[str] = []
        for begin in range(0, len(known), STEP):
            step = known[begin : begin + STEP]
            values = {"numbers": [number for _, number in step], "delayed": [place[0] == "d" for place, _ in step]}
            found = self._change(STEERS, queue=queue, drop=drop, priority=priority, delay=delay, **values)
            done += [step[n - 1][0] for n in sorted(found)]
        return done

    def counts(self, queue: str) -> Counts:
        return self.counts_many([queue])[0]

    def counts_many(self, queues: Sequence[str]) -> Sequence[Counts]:
        return [Counts(*row) for row in self._look(COUNTS, queues=list(queues))] or [Counts() for _ in queues]

    def board(self, queue: str) -> Board:
        for version, paused, cancelled, orders in self._look(BOARD, queue=queue):
            return Board(version, paused, frozenset(cancelled), orders)
        return Board()

    def post(
        self,
        queue: str,
        *,
        paused: bool | None = None,
        cancel: Iterable[str] = (),
        clear: Iterable[str] = (),
        orders: Mapping[str, str | None] = MappingProxyType({}),
    ) -> int:
        return int(
            self._change(
                POST,
                queue=queue,
                paused=paused,
                cancel=texts(list(cancel)),
                clear=texts(list(clear)),
                orders=Jsonb({text(whom): None if what is None else text(what) for whom, what in orders.items()}),
                most=MOST_NOTICES,
                age=NOTICE_AGE,
            )
        )

    def act(self, queue: str, entry: bytes, *, token: str) -> None:
        if len(entry) > ACT_SIZE:
            raise ValueError(f"an act has {len(entry):,} bytes; expected at most {ACT_SIZE:,}")
        sql = "SELECT keep_act(%(queue)s, %(entry)s::bytea, %(token)s, %(most)s, %(age)s)"
        self._change(sql, queue=queue, entry=entry, token=text(token), most=MOST_ACTS, age=ACT_AGE)

    def acts(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[Act]:
        if after is not None and not re.fullmatch("[0-9]{1,18}", after):
            raise ValueError(f"after is {after!r}; expected the id of an act")
        behind = None if after is None else int(after)
        return [Act(*row) for row in self._look(ACTS, queue=queue, after=behind, limit=limit, age=ACT_AGE)]


def _seen(queue: str, state: Any, number: int, payload: bytes, priority: int, due: Any, since: Any, *rest: Any) -> Seen:
    crashes, note, parked, consumer, receipt = rest
    place = f"{state[0]}{number} {queue}"
    return Seen(place, payload, state, priority, due or 0.0, since, crashes, note, parked or 0.0, consumer, receipt)


def _number(queue: str, place: str) -> int | None:
    """The number in the place of a task that waits in this queue."""
    found = re.fullmatch(r"[rd]([0-9]{1,18}) (.*)", place, re.DOTALL)
    return int(found[1]) if found and found[2] == queue else None
