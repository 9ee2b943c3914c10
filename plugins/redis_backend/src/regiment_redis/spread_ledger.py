"""The extra `ledger` over several independent Redis."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.errors import StoreUnavailable
from regiment_redis.nodes import Nodes


class SpreadLedger:
    """A delivery, and what is entered beside it, is on one of them."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    def enter(self, queue: str, consumer: str, receipt: int, entries: Mapping[str, bytes]) -> dict[str, bytes] | None:
        problem: StoreUnavailable | None = None
        for shard in self._nodes:
            try:
                found = shard.ledger.enter(queue, consumer, receipt, entries)
            except StoreUnavailable as error:
                problem = problem or error
                continue
            if found is not None:
                return found
        if problem is not None:
            raise problem
        return None
