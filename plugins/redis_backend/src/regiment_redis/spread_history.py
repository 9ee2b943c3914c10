"""The extra `history` over several independent Redis."""

from __future__ import annotations

from collections.abc import Sequence

from regiment.contracts.history import Past, Tallied
from regiment_redis.history import Step
from regiment_redis.nodes import Nodes


class SpreadHistory:
    """What is kept of a queue is on its home."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    def record(self, queue: str, source: str, number: int, ended: Sequence[Tallied]) -> bool:
        return self._nodes.of(queue).people.history.record(queue, source, number, ended)

    def history(self, queues: Sequence[str], step: Step, seconds: float) -> list[Past]:
        return [one for queue in queues for one in self._nodes.of(queue).people.history.history([queue], step, seconds)]
