"""The extra `effects`: what a step leaves behind, as `effects.sql` takes it, and the verbs to apply and to read it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from types import MappingProxyType
from typing import Any

from regiment.contracts import (
    MOST_MEMBERS,
    Applied,
    Arrive,
    Drop,
    Effect,
    Join,
    Keep,
    Record,
    Seal,
    Send,
    Shut,
    Tally,
    When,
)
from regiment_postgres.asking import Asking
from regiment_postgres.link import text, texts

NONE: Mapping[int, Sequence[Effect]] = MappingProxyType({})

APPLY = """SELECT * FROM apply(%(queue)s, %(effects)s::jsonb, %(bodies)s::bytea[], %(token)s, %(window)s, %(keys)s::text[],
    %(versions)s::int8[])"""
RECORDS = """SELECT value, version, rank FROM unnest(%(keys)s::text[]) WITH ORDINALITY asked (key, n)
    LEFT JOIN kept ON kept.queue = %(queue)s AND kept.key = asked.key AND (until IS NULL OR until > clock()) ORDER BY n"""
LISTED = """SELECT key FROM kept WHERE queue = %(queue)s AND listed IS NOT NULL AND (until IS NULL OR until > clock())
    AND (%(after)s::text IS NULL OR listed < (SELECT listed FROM kept WHERE queue = %(queue)s AND key = %(after)s
        AND (until IS NULL OR until > clock())))
    ORDER BY listed DESC LIMIT %(limit)s"""
TALLIES = """SELECT size, bit_count(CASE WHEN size IS NULL THEN arrived ELSE substring(arrived FOR size) END), state,
    ARRAY(SELECT m FROM generate_series(0, size - 1) m WHERE get_bit(arrived, m) = 0 ORDER BY m LIMIT 100)
    FROM unnest(%(names)s::text[]) WITH ORDINALITY asked (name, n)
    LEFT JOIN tally ON queue = %(queue)s AND tally.name = asked.name AND until > clock()
    CROSS JOIN LATERAL (SELECT CASE WHEN state <> 'shell' THEN members END) known (size) ORDER BY n"""


class Effects(Asking):
    """apply, records, listed, tallies."""

    def apply(
        self,
        queue: str,
        effects: Sequence[Effect],
        *,
        token: str,
        token_window: float = 60.0,
        when: Sequence[When] = (),
    ) -> Applied:
        words, bodies = pack(queue, zip(repeat(None), effects))
        [(done, left_out, version, *found)] = self._step(
            APPLY,
            queue=queue,
            effects=words,
            bodies=bodies,
            token=text(token),
            window=token_window,
            keys=[text(one.key) for one in when],
            versions=[one.version for one in when],
        )
        if done:
            return Applied(True, left_out, version)
        return Applied(False, found=dict(zip([one.key for one in when], map(record, *found), strict=True)))

    def records(self, queue: str, keys: Sequence[str]) -> Sequence[Record | None]:
        rows = self._look(RECORDS, queue=queue, keys=texts(keys))
        return [record(*row) for row in rows] or [None] * len(keys)

    def listed(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[str]:
        last = None if after is None else text(after)
        return [key for (key,) in self._look(LISTED, queue=queue, limit=limit, after=last)]

    def tallies(self, queue: str, joins: Sequence[str]) -> Sequence[Tally | None]:
        rows = self._look(TALLIES, queue=queue, names=texts(joins))
        return [
            None if state is None else Tally(members, arrived, state == "complete", state == "shut", missing)
            for members, arrived, state, missing in rows
        ] or [None] * len(joins)


def record(value: bytes | None, version: int, rank: int) -> Record | None:
    """A row; no value is no record."""
    return None if value is None else Record(value, version, rank)


def of_receipts(queue: str, effects: Mapping[int, Sequence[Effect]]) -> tuple[str, list[bytes]]:
    """Those of settlements, in the order of the receipts."""
    return pack(queue, ((receipt, effect) for receipt in sorted(effects) for effect in effects[receipt]))


def pack(queue: str, effects: Iterable[tuple[int | None, Effect]]) -> tuple[str, list[bytes]]:
    """Effects, each with its receipt, as the JSON and the bodies that `leave()` takes."""
    words: list[dict[str, Any]] = []
    bodies: list[bytes] = []
    for receipt, effect in effects:
        first = len(bodies) + 1
        word, its = _pack(queue, effect)
        bodies += its
        words.append({"receipt": receipt, "first": first, "last": len(bodies), **word})
    return json.dumps(words), bodies


def _pack(queue: str, effect: Effect) -> tuple[dict[str, Any], Sequence[bytes]]:
    """One effect: its words, in the names of `leave()`, and its bodies."""
    match effect:
        case Keep(key, value, ttl, rank, listed, its):
            word = {
                "kind": "keep",
                "queue": queue if its is None else its,
                "key": text(key),
                "ttl": ttl,
                "rank": rank,
                "listed": listed,
            }
            return word, [value]
        case Drop(keys, its):
            return {"kind": "drop", "queue": queue if its is None else its, "keys": texts(keys)}, []
        case Send():
            ids = None if effect.ids is None else texts(effect.ids)
            return {"kind": "send", **effect._asdict(), "payloads": None, "ids": ids}, effect.payloads
        case Join(its, name, members, then, ttl):
            store, bodies = pack(its, zip(repeat(None), then))
            word = {"kind": "join", "queue": its, "key": text(name), "number": _most(members), "ttl": ttl}
            return {**word, "store": json.loads(store)}, bodies
        case Arrive(its, name, member):
            return {"kind": "arrive", "queue": its, "key": text(name), "number": max(-1, min(member, MOST_MEMBERS))}, []
        case Seal(its, name, members):
            return {"kind": "seal", "queue": its, "key": text(name), "number": _most(members)}, []
        case Shut(its, name, ttl):
            return {"kind": "shut", "queue": its, "key": text(name), "ttl": ttl}, []
    raise TypeError(f"{type(effect).__name__} is no effect; expected Keep, Send, Join, Arrive, Seal, Shut or Drop")


def _most(members: int | None) -> int | None:
    if members is not None and not 0 <= members <= MOST_MEMBERS:
        raise ValueError(f"a join of {members:,} members; expected 0 to {MOST_MEMBERS:,}: split it, and join the joins")
    return members
