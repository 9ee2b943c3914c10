"""Effects as they stand in an outbox, and what several of them on one record come to. Nothing here speaks to a store.

An *entry* of an outbox is what one step leaves behind: `t` its token, `on` the server's milliseconds, `e` its effects (or `m`, how many
documents of `outbox` have them, where they are large), and `v`, the version of its step, once that is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from bson import Timestamp

from regiment.contracts import (
    MOST_MEMBERS,
    Arrive,
    Drop,
    Effect,
    Join,
    Keep,
    PayloadTooLarge,
    Seal,
    Send,
    Shut,
    check_tickets,
)
from regiment_mongo.base import MAX_PAYLOAD

KEEP, DROP, SEND, JOIN, ARRIVE, SEAL, SHUT = "k", "d", "s", "j", "a", "n", "x"

INLINE = 256 * 1024
"""Bytes of effects that stand in a consumer's document. Larger ones stand in documents of their own, which count if the
consumer's document says so: what it holds needs its room (`MOST_HELD`).
"""

CHUNK = 8 * 1024 * 1024
"""Bytes of effects in one such document, about."""

WEEK = 604_800.0
"""Seconds that a join is remembered which was not opened."""

Line = list[Any]
"""One effect as it is stored: its kind, its queue, and its fields."""


def write(effect: Effect, home: str) -> Line:
    """An effect as it is stored. `home`: the queue that None means."""
    if isinstance(effect, Keep):
        queue = home if effect.queue is None else effect.queue
        return [KEEP, queue, effect.key, _fitting(effect.value), effect.ttl, effect.rank, effect.listed]
    if isinstance(effect, Drop):
        return [DROP, home if effect.queue is None else effect.queue, list(effect.keys)]
    if isinstance(effect, Send):
        if effect.ids is not None and len(effect.ids) != len(effect.payloads):
            raise ValueError(
                f"Send got {len(effect.ids)} ids for {len(effect.payloads)} payloads; expected one for each"
            )
        payloads = [_fitting(payload) for payload in effect.payloads]
        ids = None if effect.ids is None else list(effect.ids)
        line = [SEND, effect.queue, payloads, effect.priority, effect.delay, effect.at, ids, effect.id_window]
        if effect.tickets is not None:
            check_tickets(payloads, effect.tickets, ids)
            line.append([list(ticket) for ticket in effect.tickets])
        return line
    if isinstance(effect, Join):
        then = [write(one, effect.queue) for one in effect.then]
        return [JOIN, effect.queue, effect.name, _number(effect.members, effect.name), then, effect.ttl]
    if isinstance(effect, Arrive):
        if not 0 <= effect.member < MOST_MEMBERS:
            raise ValueError(f"member {effect.member} arrives at {effect.join!r}; expected 0 to {MOST_MEMBERS - 1}")
        return [ARRIVE, effect.queue, effect.join, effect.member]
    if isinstance(effect, Seal):
        return [SEAL, effect.queue, effect.join, _number(effect.members, effect.join)]
    assert isinstance(effect, Shut)
    return [SHUT, effect.queue, effect.join, effect.ttl]


def _fitting(value: bytes) -> bytes:
    if len(value) > MAX_PAYLOAD:
        raise PayloadTooLarge(
            f"a value or payload has {len(value):,} bytes; MongoDB's documents leave room for {MAX_PAYLOAD:,}."
            " Store the data elsewhere and keep a reference"
        )
    return bytes(value)


def _number(members: int | None, name: str) -> int | None:
    if members is not None and not 0 <= members <= MOST_MEMBERS:
        raise ValueError(f"join {name!r} has {members} members; expected 0 to {MOST_MEMBERS}")
    return members


def lines(effects: Mapping[int, Sequence[Effect]], taken: Sequence[int], queue: str) -> list[Line]:
    """The effects of the receipts that a step takes (E1), in the order of the receipts."""
    mine = set(taken)
    return [write(effect, queue) for receipt in sorted(effects) if receipt in mine for effect in effects[receipt]]


def size(line: Line) -> int:
    """About how many bytes it takes in a document."""
    kind = line[0]
    if kind == KEEP:
        return 128 + len(line[2]) + len(line[3])
    if kind == SEND:
        ids = 0 if line[6] is None else sum(len(one) + 16 for one in line[6])
        return 128 + ids + sum(len(payload) + 16 for payload in line[2])
    if kind == DROP:
        return 64 + sum(len(key) + 16 for key in line[2])
    return 128 + len(line[2]) + (sum(map(size, line[4])) if kind == JOIN else 0)


def halved(line: Line) -> list[Line]:
    """A `Send` that is too large for one document, in parts; anything else as it is."""
    if line[0] != SEND or size(line) <= CHUNK or len(line[2]) < 2:
        return [line]
    middle = len(line[2]) // 2
    parts = []
    for span in (slice(None, middle), slice(middle, None)):
        ids = None if line[6] is None else line[6][span]
        tickets = [] if len(line) < 9 else [line[8][span]]
        parts += halved([*line[:2], line[2][span], *line[3:6], ids, line[7], *tickets])
    return parts


def chunks(all: Sequence[Line]) -> list[list[Line]]:
    """The same in parts that fit a document each."""
    parts: list[list[Line]] = [[]]
    room = CHUNK
    for line in (part for whole in all for part in halved(whole)):
        weight = size(line)
        if parts[-1] and weight > room:
            parts.append([])
            room = CHUNK
        parts[-1].append(line)
        room -= weight
    return parts


def version(at: Timestamp) -> int:
    """A step's version: a moment of the server's logical clock, which every write moves on, as one number."""
    return ((at.time - 1_600_000_000) << 32) + at.inc


def mark(token: str) -> int:
    """A token as a record remembers it."""
    return int.from_bytes(blake2b(token.encode(), digest_size=8).digest(), "big", signed=True)


class Change(NamedTuple):
    """What the effects of one step on one record come to: perhaps it is dropped, and perhaps then kept."""

    drops: bool
    keep: Line | None
    place: int
    """Where among the step's effects, so that a list is in their order."""


def changes(all: Sequence[Line]) -> dict[tuple[str, str], Change]:
    """By queue and key. Of several to keep, that is the last of those with the highest rank; what came before a `Drop` is gone."""
    found: dict[tuple[str, str], Change] = {}
    for place, line in enumerate(all):
        if line[0] == DROP:
            for key in line[2]:
                found[line[1], key] = Change(True, None, place)
        elif line[0] == KEEP:
            before = found.get((line[1], line[2]))
            if before is None or before.keep is None:
                found[line[1], line[2]] = Change(before is not None, line, place)
            elif line[5] >= before.keep[5]:
                found[line[1], line[2]] = Change(before.drops, line, place)
    return found


def sends(all: Sequence[Line]) -> Iterator[tuple[int, Line]]:
    """Each `Send`, with the number of its first payload among those of the step."""
    first = 0
    for line in all:
        if line[0] == SEND:
            yield first, line
            first += len(line[2])
