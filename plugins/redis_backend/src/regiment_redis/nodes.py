"""Several Redis that are asked together; those that do not answer are left alone for a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar
from zlib import crc32

from regiment.errors import StoreUnavailable
from regiment_redis.shard import Shard

T = TypeVar("T")
AWAY = 1.0
"""Seconds for which a node that cannot be reached is not asked again by an exchange."""


class Nodes:
    """The nodes in their order, and which of them are away."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = list(shards)
        self._away = [0.0] * len(self._shards)

    def __len__(self) -> int:
        return len(self._shards)

    def __iter__(self) -> Iterator[Shard]:
        return iter(self._shards)

    def __getitem__(self, node: int) -> Shard:
        return self._shards[node]

    def number(self, shard: Shard) -> int:
        return self._shards.index(shard)

    def is_away(self, node: int) -> bool:
        """True if it did not answer a moment ago."""
        return self._away[node] > time.monotonic()

    def leave(self, node: int) -> None:
        """It does not answer."""
        self._away[node] = time.monotonic() + AWAY

    def of(self, key: str) -> Shard:
        """The one node of this name."""
        return self._shards[crc32(key.encode()) % len(self._shards)]

    def each(self, do: Callable[[Shard], T]) -> list[T]:
        """The answers of the nodes that can be reached; raises if none can."""
        found, problems = [], []
        for node, shard in enumerate(self._shards):
            try:
                found.append(do(shard))
            except StoreUnavailable as error:
                problems.append(str(error))
                self.leave(node)
        if not found:
            raise StoreUnavailable(f"none of {len(self._shards)} nodes answers: {'; '.join(problems)}")
        return found

    def all(self, do: Callable[[Shard], T]) -> list[T]:
        """The answers of all nodes; what can be done is done, then the first that failed raises."""
        found, problem = [], None
        for shard in self._shards:
            try:
                found.append(do(shard))
            except StoreUnavailable as error:
                problem = problem or error
        if problem is not None:
            raise problem
        return found
