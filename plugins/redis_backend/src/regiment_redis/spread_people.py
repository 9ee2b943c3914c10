"""Several independent Redis as people see them, and where values and locks live there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from regiment.contracts import Board, Counts, Letter, Peeked
from regiment_redis.nodes import Nodes
from regiment_redis.shard import Shard


class SpreadPeople:
    """The verbs of `people.People` over all nodes: sums, and lists put together."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    def counts(self, queue: str) -> Counts:
        all_ = self._nodes.each(lambda shard: shard.people.counts(queue))
        ages = [c.oldest for c in all_ if c.oldest is not None]
        return Counts(
            sum(c.ready for c in all_),
            sum(c.delayed for c in all_),
            sum(c.leased for c in all_),
            sum(c.dead for c in all_),
            max(ages, default=None),
            max(c.consumers for c in all_),
            any(c.paused for c in all_),
        )

    def queues(self) -> Sequence[str]:
        return sorted({name for names in self._nodes.each(lambda shard: shard.people.queues()) for name in names})

    def peek(self, queue: str, state: Literal["ready", "delayed", "leased"], limit: int) -> Sequence[Peeked]:
        found = [
            task for some in self._nodes.each(lambda shard: shard.people.peek(queue, state, limit)) for task in some
        ]
        found.sort(key=lambda task: (task.due, task.priority if state == "ready" else 0))
        return found[:limit]

    def purge(self, queue: str) -> int:
        return sum(self._nodes.all(lambda shard: shard.people.purge(queue)))

    def dead(self, queue: str, limit: int, after: str | None) -> Sequence[Letter]:
        behind = after.rpartition(".")[0] if after else None
        found = self._letters(lambda shard: shard.people.dead(queue, limit, behind))
        return found[:limit]

    def reasons(self, queue: str, limit: int, after: str | None) -> Sequence[Letter]:
        behind = after.rpartition(".")[0] if after else None
        found = self._letters(lambda shard: shard.people.reasons(queue, limit, behind))
        return found[:limit]

    def letters(self, queue: str, id: str) -> Sequence[Letter]:
        raw = id.rpartition(".")[0]
        found = self._letters(
            lambda shard: [*shard.people.letters(queue, id), *(shard.people.letters(queue, raw) if raw else ())]
        )
        return [letter for letter in found if id in (letter.id, letter.task_id)]

    def _letters(self, look: Callable[[Shard], Sequence[Letter]]) -> list[Letter]:
        found: list[Letter] = []

        def add(shard: Shard) -> None:
            node = self._nodes.number(shard)
            found.extend(letter._replace(id=f"{letter.id}.{node}") for letter in look(shard))

        self._nodes.each(add)
        found.sort(key=lambda letter: letter.id, reverse=True)
        return found

    def revive(self, queue: str, letters: Mapping[str, bytes | None]) -> int:
        def some(shard: Shard) -> int:
            end = f".{self._nodes.number(shard)}"
            return shard.people.revive(
                queue, {id.removesuffix(end): p for id, p in letters.items() if id.endswith(end)}
            )

        return sum(self._nodes.all(some))

    def drop(self, queue: str, ids: Sequence[str] | None) -> int:
        def some(shard: Shard) -> int:
            end = f".{self._nodes.number(shard)}"
            return shard.people.drop(
                queue,
                None if ids is None else [i.removesuffix(end) for i in ids if i.endswith(end)],
            )

        return sum(self._nodes.all(some))

    def board(self, queue: str) -> Board:
        boards = self._nodes.each(lambda shard: shard.people.board(queue))
        cancelled = frozenset(id for board in boards for id in board.cancelled)
        return Board(sum(b.version for b in boards), any(b.paused for b in boards), cancelled)

    def post(self, queue: str, paused: bool | None, cancel: Iterable[str], clear: Iterable[str]) -> int:
        ids, gone = list(cancel), list(clear)
        return sum(self._nodes.all(lambda shard: shard.people.post(queue, paused, ids, gone)))


class SpreadNames:
    """The verbs of `names.Names`: values and locks live on one node each, by their name; presence on all."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    def set(self, key: str, value: bytes, ttl: float | None) -> None:
        self._nodes.of(key).names.set(key, value, ttl)

    def get(self, key: str) -> bytes | None:
        return self._nodes.of(key).names.get(key)

    def delete(self, key: str) -> bool:
        return self._nodes.of(key).names.delete(key)

    def lock_take(self, name: str, owner: str, ttl: float) -> bool:
        return self._nodes.of(name).names.lock_take(name, owner, ttl)

    def lock_free(self, name: str, owner: str) -> bool:
        return self._nodes.of(name).names.lock_free(name, owner)

    def lock_look(self, name: str) -> tuple[str, float] | None:
        return self._nodes.of(name).names.lock_look(name)

    def lock_wait(self, name: str, seconds: float) -> None:
        self._nodes.of(name).names.lock_wait(name, seconds)

    def announce(self, key: str, value: bytes, ttl: float) -> None:
        self._nodes.each(lambda shard: shard.names.announce(key, value, ttl))

    def presence(self) -> Mapping[str, bytes]:
        found: dict[str, bytes] = {}
        for some in self._nodes.each(lambda shard: shard.names.presence()):
            found |= some
        return found
