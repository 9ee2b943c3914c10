"""The verbs of the extra `history`. With several clusters, the history of a queue is on its home."""

from __future__ import annotations

from collections.abc import Sequence

from regiment.contracts.history import Past, Tallied
from regiment_mongo.node import Node
from regiment_mongo.slices import Step
from regiment_mongo.steering import SteeringVerbs


class HistoryVerbs(SteeringVerbs):
    """For `MongoConnector`."""

    def record(self, queue: str, source: str, number: int, ended: Sequence[Tallied]) -> bool:
        node = self._of(queue)
        taken: bool = self._ask(node, node.record, queue, source, number, ended, seconds=2.0)
        return taken

    def history(self, queues: Sequence[str], step: Step, seconds: float) -> Sequence[Past]:
        found: list[Past] = []
        for queue in queues:
            node = self._of(queue)
            found += self._ask(node, node.history, queue, step, seconds)
        return found

    def _of(self, queue: str) -> Node:
        return self._opened(self._nodes.index(self._home(queue)))
