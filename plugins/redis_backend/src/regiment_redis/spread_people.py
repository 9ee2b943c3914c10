"""Several independent Redis as people see them, and where values and locks live there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from regiment.contracts import Board, Counts, Letter, Peeked
from regiment.contracts.steer import Act
from regiment_redis.nodes import Nodes
from regiment_redis.shard import Shard
from regiment_redis.spread_history import SpreadHistory


class SpreadPeople:
    """The verbs of `people.People` over all nodes: sums, and lists put together."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes, self.history = nodes, SpreadHistory(nodes)

    def counts(self, queue: str) -> Counts:
        return _sum(self._nodes.each(lambda shard: shard.people.counts(queue)))

    def counts_many(self, queues: Sequence[str]) -> list[Counts]:
        answers = self._nodes.each(lambda shard: shard.people.counts_many(queues))
        return [_sum(counts) for counts in zip(*answers, strict=True)]

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
        orders = {whom: what for board in boards for whom, what in board.orders.items()}
        return Board(sum(b.version for b in boards), any(b.paused for b in boards), cancelled, orders)

    def post(
        self,
        queue: str,
        paused: bool | None,
        cancel: Iterable[str],
        clear: Iterable[str],
        orders: Mapping[str, str | None],
    ) -> int:
        ids, gone = list(cancel), list(clear)
        return sum(self._nodes.all(lambda shard: shard.people.post(queue, paused, ids, gone, orders)))

    def act(self, queue: str, entry: bytes, token: str) -> None:
        self._nodes.of(queue).people.act(queue, entry, token)

    def acts(self, queue: str, limit: int, after: str | None) -> list[Act]:
        return self._nodes.of(queue).people.acts(queue, limit, after)


def _sum(counts: Sequence[Counts]) -> Counts:
    ages = [c.oldest for c in counts if c.oldest is not None]
    return Counts(
        sum(c.ready for c in counts),
        sum(c.delayed for c in counts),
        sum(c.leased for c in counts),
        sum(c.dead for c in counts),
        max(ages, default=None),
        max(c.consumers for c in counts),
        any(c.paused for c in counts),
    )


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
