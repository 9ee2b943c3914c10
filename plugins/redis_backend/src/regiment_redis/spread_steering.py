"""Several independent Redis under an operator's hand: the verbs `look` and `steer` of the extra `steer`."""

from __future__ import annotations

from collections.abc import Sequence

from regiment.contracts.steer import LOOKED_AT, Glance, Seen
from regiment.errors import StoreUnavailable
from regiment_redis.looking import State
from regiment_redis.nodes import Nodes
from regiment_redis.steering import Change


class SpreadHand:
    """A look goes through one node after the other; a cursor begins, and a place ends, with the number of its node."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    def look(self, queue: str, state: State, limit: int, after: str | None, holding: bytes) -> Glance:
        node, inner = self._of(after)
        found: list[Seen] = []
        left = LOOKED_AT
        while True:
            this = self._nodes[node].hand.looking(queue, limit - len(found), holding, left)
            try:
                glance = this.through(state, inner)
            except StoreUnavailable:
                # What has been found is shown; whoever goes on behind it learns that not all can be seen.
                if found and inner is None:
                    return Glance(found, f"{node}/")
                raise
            left -= this.gone
            found += (seen._replace(place=f"{seen.place}.{node}") for seen in glance.tasks)
            if glance.after is not None:
                return Glance(found, f"{node}/{glance.after}")
            node, inner = node + 1, None
            if node == len(self._nodes):
                return Glance(found)

    def _of(self, after: str | None) -> tuple[int, str | None]:
        if after is None:
            return 0, None
        node, slash, inner = after.partition("/")
        if slash and node.isdecimal() and int(node) < len(self._nodes):
            return int(node), inner or None
        raise ValueError(f"after is {after!r}; expected what a look through this store has returned")

    def steer(self, queue: str, places: Sequence[str], change: Change) -> list[str]:
        parts: dict[int, list[str]] = {}
        for place in places:
            inner, _, number = place.rpartition(".")
            if number.isdecimal() and int(number) < len(self._nodes):
                parts.setdefault(int(number), []).append(inner)
        done: set[str] = set()
        for node, some in parts.items():
            done.update(f"{place}.{node}" for place in self._nodes[node].hand.steer(queue, some, change))
        return [place for place in dict.fromkeys(places) if place in done]
