"""The extra `effects` over several independent Redis.

What a task leaves behind is applied on the node that held it. Records stay there and are looked for on all nodes; joins, and
what is applied without a lease, have one node for each queue, its home. What is for another node waits in the outbox.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from regiment.contracts.effects import Applied, Effect, Followed, Record, Tally, When
from regiment.errors import StoreUnavailable
from regiment_redis.effects import Places
from regiment_redis.hearing import Ear
from regiment_redis.nodes import Nodes
from regiment_redis.outbox import Outbox
from regiment_redis.shard import Shard
from regiment_redis.spread_ledger import SpreadLedger

T = TypeVar("T")


class SpreadEffects:
    """The verbs without a lease; those of a `Shard` for each node."""

    def __init__(self, nodes: Nodes, by_queue: bool) -> None:
        self._nodes = nodes
        self.ledger = SpreadLedger(nodes)
        self._places = Places(nodes[0].stem, nodes=len(nodes), by_queue=by_queue)
        outbox = Outbox([shard.door for shard in nodes])
        for node, shard in enumerate(nodes):
            shard.place(self._places, outbox, node, several=True)
        self.ear = Ear([shard.root for shard in nodes], nodes[0].stem)

    def _home(self, queue: str) -> Shard:
        return self._nodes[self._places.home(queue).node]

    def apply(
        self, queue: str, effects: Sequence[Effect], token: str, token_window: float, when: Sequence[When]
    ) -> Applied:
        return self._home(queue).apply(queue, effects, token, token_window, when)

    def records(self, queue: str, keys: Sequence[str]) -> list[Record | None]:
        answers, problem = self._ask(lambda shard: shard.records(queue, keys))
        found = [newest(records) for records in zip(*answers, strict=True)]
        if problem is not None and None in found:
            raise problem  # it may be on the node that does not answer
        return found

    def listed(self, queue: str, limit: int, after: str | None) -> list[str]:
        place = b""
        if after is not None:
            places = [at for found in self._each(lambda shard: shard.leaving.placed(queue, after)) for at in found]
            if not places:
                return []
            place = b"%.17g" % max(places)
        found: dict[str, float] = {}
        for some in self._each(lambda shard: shard.leaving.listed(queue, limit, place=place)):
            for at, key in some:
                found[key] = max(at, found.get(key, 0.0))
        return sorted(found, key=lambda key: found[key], reverse=True)[: max(limit, 0)]

    def tallies(self, queue: str, joins: Sequence[str]) -> list[Tally | None]:
        return self._home(queue).tallies(queue, joins)

    def follow(self, keys: Mapping[Followed, int], seconds: float) -> dict[Followed, Record]:
        self.ear.follows(keys, seconds)
        found: dict[Followed, Record] = {}
        for some in self._each(lambda shard: shard.leaving.follow(self.ear.name, keys, seconds)):
            for followed, record in some.items():
                found[followed] = newest([found.get(followed), record]) or record
        return found

    def _each(self, do: Callable[[Shard], T]) -> list[T]:
        return self._ask(do)[0]

    def _ask(self, do: Callable[[Shard], T]) -> tuple[list[T], StoreUnavailable | None]:
        """The answers of the nodes that can be reached, and what one of the others failed with; raises if none can."""
        found: list[T] = []
        problem: StoreUnavailable | None = None
        for node, shard in enumerate(self._nodes):
            try:
                found.append(do(shard))
            except StoreUnavailable as error:
                self._nodes.leave(node)
                problem = error
        if problem is not None and not found:
            raise problem
        return found, problem


def newest(records: Sequence[Record | None]) -> Record | None:
    """The record that counts among those that nodes have under one key."""
    return max((r for r in records if r is not None), key=lambda r: (r.rank, r.version), default=None)
