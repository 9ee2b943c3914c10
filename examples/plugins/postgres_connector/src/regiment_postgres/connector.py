"""The connector "postgres": the verbs of the contract, each one request to a function of `steps.sql`, `effects.sql` or `steer.sql`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from regiment.contracts import (
    EFFECTS,
    STEER,
    Again,
    Back,
    Capabilities,
    Dead,
    Delivery,
    Done,
    Effect,
    Letter,
    Park,
    Peeked,
    Role,
    Secret,
    Settlement,
    Span,
    Taken,
    Terms,
)
from regiment.errors import ConfigError, Fenced
from regiment_postgres import store
from regiment_postgres.effects import NONE, of_receipts
from regiment_postgres.link import Link, text, texts
from regiment_postgres.sleep import sleep, sleep_for_lock
from regiment_postgres.steering import Steering

MIB = 1 << 20

PUSH = """SELECT push(%(queue)s, %(payloads)s::bytea[], %(priority)s, %(delay)s, %(at)s::float8, %(token)s,
    %(ids)s::text[], %(id_window)s, %(token_window)s)"""
JOIN = "SELECT join_queue(%(queue)s, %(me)s, %(lease)s, %(poison)s::float8[], %(dead_limit)s, %(dead_age)s)"
EXCHANGE = """SELECT * FROM exchange(%(queue)s, %(me)s, %(turn)s, %(base)s, %(kinds)s::int[], %(firsts)s::int8[],
    %(lasts)s::int8[], %(payloads)s::bytea[], %(delays)s::float8[], %(priorities)s::int[], %(task_ids)s::text[],
    %(reasons)s::bytea[], %(limit)s, %(max_bytes)s, %(nothing)s)"""
WITH_EFFECTS = ", %(effects)s::jsonb, %(bodies)s::bytea[])"
"""How a request ends that has effects; without, it says nothing of them."""
RELEASE = """SELECT release(%(queue)s, %(me)s, %(firsts)s::int8[], %(lasts)s::int8[], %(suspects)s::int8[],
    %(notes)s::bytea[], %(low)s::int8, %(high)s::int8, %(close)s)"""
QUEUES = """SELECT name FROM queue q WHERE version > 0 OR EXISTS (SELECT FROM task WHERE queue = q.name)
    OR EXISTS (SELECT FROM letter WHERE queue = q.name)
    OR EXISTS (SELECT FROM consumer WHERE queue = q.name AND state = 'living') ORDER BY name COLLATE "C" """
PEEK = """SELECT payload, priority, coalesce(greatest(due - clock(), 0), 0), crashes, consumer FROM task
    WHERE queue = %(queue)s AND """
PEEKS = {
    "ready": "consumer IS NULL AND due IS NULL ORDER BY priority, place LIMIT %(limit)s",
    "delayed": "due IS NOT NULL ORDER BY due, place LIMIT %(limit)s",
    "leased": "consumer IS NOT NULL ORDER BY priority, place LIMIT %(limit)s",
}
LETTER = "SELECT id::text, task_id, payload, reason, at, priority FROM letter WHERE queue = %(queue)s AND "


class PostgresConnector(Steering):
    """Tasks in PostgreSQL 14 or later.

    `url` is what libpq takes, postgresql://user:password@host:port/database?sslmode=…; what it does not say comes from the
    variables of libpq (PGHOST, PGPASSWORD, …). `schema` holds everything; two of them are two stores. `timeout` is how
    many seconds an answer may take. A connection waits in LISTEN, so a pooler in between must keep sessions apart.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(max_payload=128 * MIB, extras=frozenset({EFFECTS, STEER}))

    def __init__(
        self,
        url: Annotated[str | None, Secret] = None,
        *,
        schema: str = "regiment",
        timeout: float = 5.0,
    ) -> None:
        problems = (
            []
            if re.fullmatch(r"[^\0]{1,63}", schema) and len(schema.encode()) < 64
            else [f"schema is {schema!r}; expected a name of at most 63 bytes"]
        )
        if not 0.1 <= timeout < 3600:
            problems.append(f"timeout is {timeout!r}; expected a number of seconds from 0.1")
        if problems:
            raise ConfigError(problems)
        self._link = Link(url or "", schema, timeout)

    @staticmethod
    def check(options: Mapping[str, Any]) -> list[str]:
        """What is wrong with these options, without connecting."""
        try:
            PostgresConnector(**options)
        except ConfigError as error:
            return error.problems
        return []

    def open(self, role: Role) -> None:
        self._link.open(role)
        self._here = store.present(self._link)
        if not self._here and role != "look":
            store.make(self._link)
            self._here = True

    def close(self) -> None:
        self._link.close()

    def warnings(self) -> list[str]:
        """What works and does not keep every promise."""
        [(fsync, full)] = self._link.ask("SELECT current_setting('fsync'), current_setting('full_page_writes')")
        off = [name for name, value in (("fsync", fsync), ("full_page_writes", full)) if value != "on"]
        return [f"{name} is off: what was pushed may be lost when the server's machine stops" for name in off]

    # pushing and waiting

    def push(
        self,
        queue: str,
        payloads: Sequence[bytes],
        *,
        priority: int,
        delay: float = 0.0,
        at: float | None = None,
        token: str,
        ids: Sequence[str] | None = None,
        id_window: float = 3600.0,
        token_window: float = 60.0,
    ) -> Sequence[int]:
        left_out: list[int] = self._change(
            PUSH,
            queue=queue,
            payloads=list(payloads),
            priority=priority,
            delay=delay,
            at=at,
            token=text(token),
            ids=None if ids is None else texts(ids),
            id_window=id_window,
            token_window=token_window,
        )
        return left_out

    def wait(self, consumers: Sequence[tuple[str, str]], seconds: float, wake_fd: int | None = None) -> Sequence[str]:
        return sleep(self._link, consumers, seconds, wake_fd)

    # the lease

    def join(self, queue: str, consumer: str, terms: Terms) -> None:
        state = self._change(
            JOIN,
            queue=queue,
            me=consumer,
            lease=terms.lease,
            poison=list(map(float, terms.poison_delays)),
            dead_limit=terms.dead_limit,
            dead_age=terms.dead_age,
        )
        if state is not None:
            raise Fenced(f'consumer {consumer} of "{queue}" is {state}; join under a new name')

    def renew(self, consumers: Sequence[tuple[str, str]], seconds: float) -> Sequence[tuple[str, str]]:
        refused = self._change(
            "SELECT renew(%(queues)s::text[], %(names)s::text[], %(seconds)s)",
            queues=[queue for queue, _ in consumers],
            names=[name for _, name in consumers],
            seconds=seconds,
        )
        return [consumers[n - 1] for n in sorted(refused)]

    def exchange(
        self,
        queue: str,
        consumer: str,
        turn: int,
        base: int,
        settlements: Sequence[Settlement],
        limit: int,
        max_bytes: int,
        holds_nothing: bool = False,
        *,
        effects: Mapping[int, Sequence[Effect]] = NONE,
    ) -> Taken:
        columns = list(map(list, zip(*map(_row, settlements), strict=True))) or [[]] * 8
        names = (
            "kinds",
            "firsts",
            "lasts",
            "payloads",
            "delays",
            "priorities",
            "task_ids",
            "reasons",
        )
        sql, more = _with(EXCHANGE, queue, effects)
        rows = self._link.ask(
            sql,
            queue=queue,
            me=consumer,
            turn=turn,
            base=base,
            limit=limit,
            max_bytes=max_bytes,
            nothing=holds_nothing,
            **dict(zip(names, columns, strict=True)),
            **more,
        )
        lost, due, board, *leased = rows[0]
        if leased[0] is None:
            return Taken(lost, (), due, board)
        return Taken(lost, list(map(Delivery, *leased)), due, board)

    def release(
        self,
        queue: str,
        consumer: str,
        done: Sequence[Span],
        suspects: Mapping[int, bytes],
        *,
        only: Span | None = None,
        close: bool = False,
        effects: Mapping[int, Sequence[Effect]] = NONE,
    ) -> None:
        low, high = only or (None, None)
        sql, more = _with(RELEASE, queue, effects)
        self._change(
            sql,
            queue=queue,
            me=consumer,
            firsts=[span[0] for span in done],
            lasts=[span[1] for span in done],
            suspects=list(suspects),
            notes=list(suspects.values()),
            low=low,
            high=high,
            close=close,
            **more,
        )

    # looking

    def queues(self) -> Sequence[str]:
        return [name for (name,) in self._look(QUEUES)]

    def peek(self, queue: str, state: Literal["ready", "delayed", "leased"], limit: int = 100) -> Sequence[Peeked]:
        rows = self._look(PEEK + PEEKS[state], queue=queue, limit=limit)
        return [Peeked(payload, state, *rest) for payload, *rest in rows]

    def purge(self, queue: str) -> int:
        return int(self._change("SELECT purge(%(queue)s)", queue=queue))

    # dead letters

    def dead(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[Letter]:
        sql = LETTER + "(%(after)s::int8 IS NULL OR id < %(after)s) ORDER BY id DESC LIMIT %(limit)s"
        last = None if after is None else _number(after)
        return [Letter(*row) for row in self._look(sql, queue=queue, after=last, limit=limit)]

    def letters(self, queue: str, id: str) -> Sequence[Letter]:
        sql = LETTER + "(id = %(number)s::int8 OR task_id = %(id)s) ORDER BY id DESC"
        return [Letter(*row) for row in self._look(sql, queue=queue, number=_number(id), id=text(id))]

    def revive(self, queue: str, letters: Mapping[str, bytes | None]) -> int:
        numbers = {_number(id): payload for id, payload in letters.items()}
        numbers.pop(-1, None)
        sql = "SELECT revive(%(queue)s, %(ids)s::int8[], %(payloads)s::bytea[])"
        return int(self._change(sql, queue=queue, ids=list(numbers), payloads=list(numbers.values())))

    def drop(self, queue: str, ids: Sequence[str] | None = None) -> int:
        sql = """WITH gone AS (DELETE FROM letter WHERE queue = %(queue)s
            AND (%(ids)s::int8[] IS NULL OR id = ANY (%(ids)s::int8[])) RETURNING id) SELECT count(*) FROM gone"""
        return int(self._change(sql, queue=queue, ids=None if ids is None else list(map(_number, ids))))

    # keys, locks, presence

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        sql = """INSERT INTO key VALUES (%(key)s, %(value)s, clock() + %(ttl)s::float8)
            ON CONFLICT (name) DO UPDATE SET value = excluded.value, until = excluded.until"""
        self._change(sql, key=text(key), value=value, ttl=ttl)

    def get(self, key: str) -> bytes | None:
        sql = "SELECT value FROM key WHERE name = %(key)s AND (until IS NULL OR until > clock())"
        return next((value for (value,) in self._look(sql, key=text(key))), None)

    def delete(self, key: str) -> bool:
        sql = "DELETE FROM key WHERE name = %(key)s RETURNING until IS NULL OR until > clock()"
        return bool(self._change(sql, key=text(key)))

    def lock_take(self, name: str, owner: str, ttl: float) -> bool:
        sql = """INSERT INTO lock VALUES (%(name)s, %(owner)s, clock() + %(ttl)s)
            ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until
            WHERE lock.owner = excluded.owner OR lock.until <= clock() RETURNING true"""
        return bool(self._change(sql, name=text(name), owner=text(owner), ttl=ttl))

    def lock_free(self, name: str, owner: str) -> bool:
        sql = """WITH gone AS (DELETE FROM lock WHERE name = %(name)s AND owner = %(owner)s RETURNING until)
            SELECT until > clock() FROM gone, pg_notify(channel('lock', %(name)s), '')"""
        return bool(self._change(sql, name=text(name), owner=text(owner)))

    def lock_look(self, name: str) -> tuple[str, float] | None:
        sql = "SELECT owner, until - clock() FROM lock WHERE name = %(name)s AND until > clock()"
        return next(iter(self._look(sql, name=text(name))), None)

    def lock_wait(self, name: str, seconds: float) -> None:
        sleep_for_lock(self._link, text(name), seconds)

    def announce(self, key: str, value: bytes, ttl: float) -> None:
        sql = """WITH swept AS (SELECT sweep(%(key)s)) INSERT INTO presence
            SELECT %(key)s, %(value)s::bytea, clock() + %(ttl)s FROM swept
            ON CONFLICT (name) DO UPDATE SET value = excluded.value, until = excluded.until"""
        self._change(sql, key=text(key), value=value, ttl=ttl)

    def presence(self) -> Mapping[str, bytes]:
        return dict(self._look("SELECT name, value FROM presence WHERE until > clock()"))


def _with(sql: str, queue: str, effects: Mapping[int, Sequence[Effect]]) -> tuple[str, dict[str, Any]]:
    """A request with these effects, and what they add to its values."""
    if not effects:
        return sql, {}
    words, bodies = of_receipts(queue, effects)
    return sql.removesuffix(")") + WITH_EFFECTS, {"effects": words, "bodies": bodies}


def _row(one: Settlement) -> tuple[Any, ...]:
    """A settlement as the columns of `exchange`: kind, first, last, payload, delay, priority, task's id, reason."""
    match one:
        case Done(first, last):
            return 1, first, last, None, 0.0, None, None, None
        case Back(first, last):
            return 2, first, last, None, 0.0, None, None, None
        case Again(receipt, payload, delay, priority):
            return 3, receipt, receipt, payload, float(delay), priority, None, None
        case Park(receipt, delay):
            return 4, receipt, receipt, None, float(delay), None, None, None
        case Dead(receipt, task_id, reason, payload):
            return 5, receipt, receipt, payload, 0.0, None, text(task_id), reason


def _number(id: str) -> int:
    """The number of a letter; -1, which none has, for what is no id of one."""
    return int(id) if re.fullmatch(r"[0-9]{1,18}", id) else -1
