"""What people see of one Redis and do by hand: counts, tasks, dead letters, the notice board."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from regiment.contracts import Board, Counts, Letter, Peeked
from regiment.errors import StoreError, StoreUnavailable
from regiment_redis import records
from regiment_redis.outbox import WAITS
from regiment_redis.records import name
from regiment_redis.scripts import Script
from regiment_redis.wire import Part

_COUNTS, _PEEK, _PURGE, _BOARD, _POST = (Script(n) for n in ("counts", "peek", "purge", "board", "post"))
_LETTERS, _REVIVE, _DROP = (Script(n) for n in ("letters", "revive", "drop"))


class People:
    """The verbs that look at a queue or clean it. `run` calls a script, `stem` gives the first part of a queue's keys,
    `names` the list of queues, `note` writes a queue into it.
    """

    def __init__(
        self,
        run: Callable[..., Any],
        stem: Callable[[str], str],
        names: Callable[[], Iterable[bytes]],
        note: Callable[[str], None],
    ) -> None:
        self._run, self._stem, self._names, self._note = run, stem, names, note

    def counts(self, queue: str) -> Counts:
        ready, delayed, leased, dead, oldest, consumers, paused = self._run(_COUNTS, self._stem(queue))
        age = None if oldest < 0 else oldest / 1000
        return Counts(ready, delayed, leased, dead, age, consumers, bool(paused))

    def queues(self) -> Sequence[str]:
        return [queue for queue in sorted(map(name, self._names())) if self._is_used(queue)]

    def _is_used(self, queue: str) -> bool:
        try:
            found = self.counts(queue)
        except StoreUnavailable:
            raise
        except StoreError:
            return True  # something there is not what it should be: it is shown, and says so where it is read
        some = found.ready or found.delayed or found.leased or found.dead or found.consumers
        return bool(some) or self.board(queue).version > 0

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
        version, paused, cancelled = self._run(_BOARD, self._stem(queue))
        return Board(version % WAITS, bool(paused), frozenset(name(id) for id in cancelled))

    def post(self, queue: str, paused: bool | None, cancel: Iterable[str], clear: Iterable[str]) -> int:
        self._note(queue)
        word = "" if paused is None else str(int(paused))
        cancelled = list(cancel)
        return int(self._run(_POST, self._stem(queue), word, len(cancelled), *cancelled, *clear)) % WAITS
