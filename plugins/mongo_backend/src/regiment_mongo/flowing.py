"""The verbs of the extra `flow`, of one cluster; several do not keep it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from regiment.contracts import FLOW, Capabilities, Met, Rule, Spot, Standing, Ticket
from regiment.errors import StoreError
from regiment_mongo.node import Node
from regiment_mongo.steering import SLOWER, SteeringVerbs


class FlowingVerbs(SteeringVerbs):
    """For `MongoConnector`."""

    capabilities: ClassVar[Capabilities]

    def extras(self) -> frozenset[str]:
        """What this connector keeps with its options: several clusters count nothing together."""
        extras = self.capabilities.extras
        return extras if len(self._nodes) == 1 else extras - {FLOW}

    def _only(self) -> Node:
        if len(self._nodes) > 1:
            raise StoreError(
                f"mongo: {len(self._nodes)} clusters keep no budgets and lanes together; expected one `url` for a queue with"
                " tickets or rules, so give it a store of its own"
            )
        return self._nodes[0]

    def admit(
        self,
        queue: str,
        payloads: Sequence[bytes],
        tickets: Sequence[Ticket],
        *,
        priority: int,
        delay: float = 0.0,
        at: float | None = None,
        token: str,
        ids: Sequence[str] | None = None,
        id_window: float = 3600.0,
        token_window: float = 60.0,
    ) -> Sequence[Met]:
        node = self._only()
        found: Sequence[Met] = self._ask(
            node,
            node.admit,
            queue,
            payloads,
            tickets,
            priority=priority,
            delay=delay,
            at=at,
            token=token,
            ids=ids,
            id_window=id_window,
            token_window=token_window,
            seconds=sum(map(len, payloads)) / 10_000_000 + sum(bool(ticket.unique) for ticket in tickets) / 100,
        )
        return found

    def rule(self, queue: str, spot: Spot, rule: Rule | None, *, operator: bool = False, by: str = "") -> None:
        node = self._only()
        self._ask(node, node.rule, queue, spot, rule, operator=operator, by=by)

    def gate(self, queue: str, spot: Spot, seconds: float | None) -> None:
        node = self._only()
        self._ask(node, node.gate, queue, spot, seconds)

    def flow(self, queue: str, spots: Sequence[Spot]) -> Sequence[Standing]:
        node = self._only()
        found: Sequence[Standing] = self._ask(node, node.flow, queue, spots, seconds=SLOWER)
        return found

    def standings(
        self, queue: str, limit: int = 100, *, pool: str | None = None, after: Spot | None = None
    ) -> Sequence[Standing]:
        node = self._only()
        found: Sequence[Standing] = self._ask(
            node, node.standings, queue, limit, pool=pool, after=after, seconds=SLOWER
        )
        return found

    def recount(self, queue: str) -> Sequence[tuple[Spot, int, int]]:
        node = self._only()
        found: Sequence[tuple[Spot, int, int]] = self._ask(node, node.recount, queue)
        return found

    def ticket(self, queue: str, payload: bytes) -> Ticket | None:
        node = self._only()
        found: Ticket | None = self._ask(node, node.ticket, queue, payload, seconds=SLOWER)
        return found
