"""The extra `effects` of one Redis: what settlements leave behind, the verbs without a lease, records and joins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from regiment.contracts import Done, Settlement, Span
from regiment.contracts.effects import Applied, Effect, Record, Tally, When
from regiment.errors import QueueFull
from regiment_redis.asking import Asking, ms, whole
from regiment_redis.effects import Places, charges, of_one, sent_to, settled, within
from regiment_redis.link import Scripts
from regiment_redis.outbox import WAITS, Outbox
from regiment_redis.records import name
from regiment_redis.scripts import Script
from regiment_redis.wire import Part

LEAVING = Script("exchange", effects=True)
RELEASING = Script("release", effects=True)
RENEWING = Script("renew", effects=True)
_APPLY, _NOTED, _RECORDS, _LISTED, _TALLIES = (Script(n) for n in ("apply", "noted", "records", "listed", "tallies"))
CHUNK = 1000
"""Keys that one request follows or reads."""

Effects = Mapping[int, Sequence[Effect]]


class Leaving:
    """What attempts leave behind on one Redis, which is node `node` of those that `outbox` knows."""

    def __init__(
        self,
        scripts: Scripts,
        stem: Callable[[str], str],
        note: Callable[[str], None],
        places: Places,
        outbox: Outbox,
        node: int,
    ) -> None:
        self._scripts, self._stem, self._note = scripts, stem, note
        self.places, self.outbox, self.node = places, outbox, node
        self._asking, self._in_lanes = Asking(LEAVING), Asking(LEAVING.twin)

    # With a lease

    def exchange(
        self,
        queue: str,
        stem: str,
        consumer: str,
        turn: int,
        base: int,
        bounds: tuple[int, int, int],
        settlements: Sequence[Settlement],
        effects: Effects,
    ) -> bytes:
        """The command of an exchange with effects."""
        if len(settlements) == 1 and type(one := settlements[0]) is Done:
            # A task alone, whose result is kept, is asked about as shortly as can be.
            args = of_one(one, effects) if len(effects) == 1 else None
            if args is None:
                args = self._args(queue, consumer, effects, settled(settlements, effects))
                args.append(str(len(args)))
            asking = self._in_lanes if stem in self._scripts.lanes else self._asking
            return asking.leaving(stem, consumer, turn, base, bounds, one, args)
        args = self._args(queue, consumer, effects, settled(settlements, effects))
        args.append(str(len(args)))
        return whole(stem, consumer, turn, base, bounds, settlements, self._scripts.of(LEAVING, stem), args)

    def release(
        self, queue: str, stem: str, consumer: str, args: Sequence[Part], done: Sequence[Span], effects: Effects
    ) -> None:
        """Run a release, whose other arguments are `args`, with the effects of receipts in `done`."""
        parts = self._args(queue, consumer, effects, within(done, effects))
        board = self._scripts.run(RELEASING, stem, *args, *parts, len(parts))
        if board >= WAITS:
            self.send_on(stem)

    def _args(self, queue: str, consumer: str, effects: Effects, receipts: Sequence[int]) -> list[Part]:
        parts, others = self.places.of_receipts(self.node, queue, consumer, effects, receipts)
        if others:
            self._note_all(others)
        return parts

    def _note_all(self, effects: Sequence[Effect]) -> None:
        for queue in sent_to(effects):
            with suppress(QueueFull):
                self._note(queue)

    def send_on(self, stem: str) -> None:
        """Send on what waits in the outbox of a queue here."""
        self.outbox.send_on(self.node, stem)

    # Without

    def apply(
        self, queue: str, effects: Sequence[Effect], token: str, token_window: float, when: Sequence[When]
    ) -> Applied:
        if not when and (noted := self.places.noted(queue, effects)) is not None:
            self._note(queue)
            version = self._scripts.run(
                _NOTED, self._stem(queue), token, max(ms(token_window), 1), *noted, pushing=True
            )
            return Applied(True, (), int(version))
        parts = self.places.flat(self.places.spot(self.node, queue), queue, f"a {queue} {token}", effects)
        self._note(queue)
        self._note_all(effects)
        conditions: list[Part] = [len(when)]
        for one in when:
            conditions += (one.key, one.version)
        stem = self._stem(queue)
        args = (token, max(ms(token_window), 1), *conditions, *parts)
        script = _APPLY.twin if charges([effects]) else _APPLY
        done, *answer = self._scripts.run(script, stem, *args, pushing=True)
        if not done:
            found = {one.key: record(data) for one, data in zip(when, answer[1:], strict=True)}
            return Applied(False, (), 0, found, answer[0] / 1000)
        version, left_out, board, now = answer
        if board >= WAITS:
            self.send_on(stem)
        out = [int(index) for index in left_out.split(b",")] if left_out else ()
        return Applied(True, out, int(version), now=now / 1000)

    def records(self, queue: str, keys: Sequence[str]) -> list[Record | None]:
        calls: list[tuple[str, list[Part]]] = [
            (self._stem(queue), ["", 0, *keys[i : i + CHUNK]]) for i in range(0, len(keys), CHUNK)
        ]
        return [record(data) for found in self._scripts.run_all(_RECORDS, calls) for data in found]

    def listed(
        self, queue: str, limit: int, *, place: bytes = b"", after: str | None = None
    ) -> list[tuple[float, str]]:
        """Places and keys, the newest first, of those before a place or behind a key."""
        reply: Any = self._scripts.run(_LISTED, self._stem(queue), limit, place, after or "")
        return [(float(at), name(key)) for at, key in zip(reply[::2], reply[1::2], strict=True)]

    def placed(self, queue: str, key: str) -> list[float]:
        """The place of a key that was kept with `listed`, if it is here."""
        return [place for place, _ in self.listed(queue, -1, after=key)]

    def tallies(self, queue: str, joins: Sequence[str]) -> list[Tally | None]:
        reply = self._scripts.run(_TALLIES, self._stem(queue), *joins) if joins else []
        return [_tally(found) if found else None for found in reply]

    def follow(self, inbox: str, keys: Mapping[tuple[str, str], int], seconds: float) -> dict[tuple[str, str], Record]:
        queues: dict[str, list[tuple[str, int]]] = {}
        for (queue, key), rank in keys.items():
            queues.setdefault(queue, []).append((key, rank))
        calls: list[tuple[str, list[Part]]] = []
        asked: list[tuple[str, list[tuple[str, int]]]] = []
        for queue, wanted in queues.items():
            for i in range(0, len(wanted), CHUNK):
                some = wanted[i : i + CHUNK]
                asked.append((queue, some))
                calls.append((self._stem(queue), [inbox, max(ms(seconds), 1), *(p for pair in some for p in pair)]))
        found = {}
        for (queue, some), replies in zip(asked, self._scripts.run_all(_RECORDS, calls), strict=True):
            for (key, _), data in zip(some, replies, strict=True):
                if (there := record(data)) is not None:
                    found[queue, key] = there
        return found


def record(data: bytes | None) -> Record | None:
    """A record as it is stored: 7 bytes version, 7 bytes rank, 1 byte flags, value."""
    if data is None or len(data) < 15:
        return None
    return Record(data[15:], int.from_bytes(data[:7]), int.from_bytes(data[7:14]))


def _tally(found: Sequence[int]) -> Tally:
    members, arrived, complete, shut, *missing = found
    return Tally(None if members < 0 else members, arrived, bool(complete), bool(shut), missing)
