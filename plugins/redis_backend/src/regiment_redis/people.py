"""What people see of one Redis and do by hand: counts, tasks, dead letters, the notice board."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from regiment.contracts import Board, Counts, Letter, Peeked
from regiment.contracts.steer import ACT_AGE, ACT_SIZE, MOST_ACTS, MOST_NOTICES, NOTICE_AGE, Act
from regiment.errors import StoreError, StoreUnavailable
from regiment_redis import records
from regiment_redis.asking import ms
from regiment_redis.history import History
from regiment_redis.link import Scripts
from regiment_redis.outbox import WAITS
from regiment_redis.records import name
from regiment_redis.scripts import Script
from regiment_redis.wire import Part

_COUNTS, _PEEK, _PURGE, _BOARD, _POST = (Script(n) for n in ("counts", "peek", "purge", "board", "post"))
_LETTERS, _REVIVE, _DROP, _ACT, _ACTS = (Script(n) for n in ("letters", "revive", "drop", "act", "acts"))
CHUNK = 500
"""Queues that one request counts."""


class People:
    """The verbs that look at a queue or clean it. `scripts` calls a script, `stem` gives the first part of a queue's keys,
    `names` the list of queues, `note` writes a queue into it.
    """

    def __init__(
        self,
        scripts: Scripts,
        stem: Callable[[str], str],
        names: Callable[[], Iterable[bytes]],
        note: Callable[[str], None],
    ) -> None:
        self._scripts, self._run = scripts, scripts.run
        self._stem, self._names, self._note = stem, names, note
        self.history = History(scripts, stem)

    def counts(self, queue: str) -> Counts:
        return _counts(*self._run(_COUNTS, self._stem(queue)))

    def counts_many(self, queues: Sequence[str]) -> list[Counts]:
        calls: list[tuple[str, list[Part]]] = [(self._stem(queue), []) for queue in queues]
        parts = [calls[start : start + CHUNK] for start in range(0, len(calls), CHUNK)]
        return [_counts(*reply) for part in parts for reply in self._scripts.run_all(_COUNTS, part)]

    def queues(self) -> Sequence[str]:
        names = sorted(map(name, self._names()))
        parts = [names[start : start + CHUNK] for start in range(0, len(names), CHUNK)]
        return [queue for part in parts for queue in self._used(part)]

    def _used(self, queues: list[str]) -> list[str]:
        """Those of some queues that have something, or a notice board that was used: two round trips."""
        try:
            counts = dict(zip(queues, self.counts_many(queues), strict=True))
            empty = [queue for queue, found in counts.items() if not _some(found)]
            boards = self._scripts.run_all(_BOARD, [(self._stem(queue), [ms(NOTICE_AGE)]) for queue in empty])
        except StoreUnavailable:
            raise
        except StoreError:
            return [queue for queue in queues if self._is_used(queue)]
        unused = {queue for queue, board in zip(empty, boards, strict=True) if board[0] % WAITS == 0}
        return [queue for queue in queues if queue not in unused]

    def _is_used(self, queue: str) -> bool:
        try:
            found = self.counts(queue)
        except StoreUnavailable:
            raise
        except StoreError:
            return True  # something there is not what it should be: it is shown, and says so where it is read
        return _some(found) or self.board(queue).version > 0

    def peek(self, queue: str, state: Literal["ready", "delayed", "leased"], limit: int) -> Sequence[Peeked]:
        return [
            Peeked(payload, state, priority, due / 1000, count, name(consumer) or None)
            for payload, priority, due, count, consumer in self._run(_PEEK, self._stem(queue), state, limit)
        ]

    def purge(self, queue: str) -> int:
        return int(self._run(_PURGE, self._stem(queue)))

    def dead(self, queue: str, limit: int, after: str | None) -> Sequence[Letter]:
        return records.letters(self._run(_LETTERS, self._stem(queue), "list", limit, after or ""))

    def reasons(self, queue: str, limit: int, after: str | None) -> Sequence[Letter]:
        return records.letters(self._run(_LETTERS, self._stem(queue), "reasons", limit, after or ""))

    def letters(self, queue: str, id: str) -> Sequence[Letter]:
        return records.letters(self._run(_LETTERS, self._stem(queue), "find", id))

    def revive(self, queue: str, letters: Mapping[str, bytes | None]) -> int:
        args: list[Part] = []
        for id, payload in letters.items():
            args += (id, int(payload is not None), payload or b"")
        return int(self._run(_REVIVE, self._stem(queue), *args)) if args else 0

    def drop(self, queue: str, ids: Sequence[str] | None) -> int:
        if ids is None:
            return int(self._run(_DROP, self._stem(queue), "all"))
        return int(self._run(_DROP, self._stem(queue), "these", *ids)) if ids else 0

    def board(self, queue: str) -> Board:
        version, paused, cancelled, old, orders = self._run(_BOARD, self._stem(queue), ms(NOTICE_AGE))
        ids = frozenset(map(name, cancelled)).difference(map(name, old))
        told = {name(whom): name(what) for whom, what in zip(orders[::2], orders[1::2], strict=True)}
        return Board(version % WAITS, bool(paused), ids, told)

    def post(
        self,
        queue: str,
        paused: bool | None,
        cancel: Iterable[str],
        clear: Iterable[str],
        orders: Mapping[str, str | None],
    ) -> int:
        self._note(queue)
        word = "" if paused is None else str(int(paused))
        ids, gone = list(cancel), list(clear)
        told = [part for whom, what in orders.items() for part in (whom, what or "")]
        args: list[Part] = [word, MOST_NOTICES, ms(NOTICE_AGE), len(ids), len(gone), *ids, *gone, *told]
        version = int(self._run(_POST, self._stem(queue), *args))
        if version < 0:
            raise StoreError(
                f'the board of the queue "{queue}" would have {-version} cancelled ids; it holds {MOST_NOTICES} at most. '
                "Delete what waits with steer(drop=True), purge the queue, or clear ids first"
            )
        return version % WAITS

    def act(self, queue: str, entry: bytes, token: str) -> None:
        if len(entry) > ACT_SIZE:
            raise ValueError(f"the act has {len(entry)} bytes; expected {ACT_SIZE} at most")
        self._run(_ACT, self._stem(queue), token, entry, MOST_ACTS, ms(ACT_AGE))

    def acts(self, queue: str, limit: int, after: str | None) -> list[Act]:
        if after is not None and not (after.isdecimal() and after.isascii()):
            raise ValueError(f"after is {after!r}; expected the id of an act")
        found = self._run(_ACTS, self._stem(queue), max(limit, 0), after or "", ms(ACT_AGE))
        return [
            Act(name(id), int.from_bytes(data[:7]) / 1000, data[7:])
            for id, data in zip(found[::2], found[1::2], strict=True)
        ]


def _counts(ready: int, delayed: int, leased: int, dead: int, oldest: int, consumers: int, paused: int) -> Counts:
    age = None if oldest < 0 else oldest / 1000
    return Counts(ready, delayed, leased, dead, age, consumers, bool(paused))


def _some(found: Counts) -> bool:
    """True if there is anything in a queue."""
    return bool(found.ready or found.delayed or found.leased or found.dead or found.consumers)
