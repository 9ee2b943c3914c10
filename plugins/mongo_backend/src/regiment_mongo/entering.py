"""The verb of the extra `ledger`. With several clusters, the entries are on that of the delivery."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from regiment.errors import StoreUnavailable
from regiment_mongo.node import Node

NO_ENTRIES: Mapping[str, bytes] = MappingProxyType({})


class EnteringVerbs:
    """For `MongoConnector`."""

    _nodes: list[Node]
    _ask: Callable[..., Any]

    def enter(
        self, queue: str, consumer: str, receipt: int, entries: Mapping[str, bytes] = NO_ENTRIES
    ) -> Mapping[str, bytes] | None:
        failure: StoreUnavailable | None = None
        # A delivery is on one cluster: most likely the one whose delivery this connector knows.
        for node in sorted(self._nodes, key=lambda node: not node.knows(queue, consumer, receipt)):
            try:
                found: dict[str, bytes] | None = self._ask(node, node.enter, queue, consumer, receipt, entries)
            except StoreUnavailable as error:
                if len(self._nodes) == 1:
                    raise
                failure = failure or error
                continue
            if found is not None:
                return found
        if failure is not None:
            raise failure
        return None
