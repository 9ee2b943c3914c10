"""The verbs of the extra `effects` that have no lease. With several clusters, records, joins and children of a queue live on one, its home."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from zlib import crc32

from regiment.contracts import Applied, Effect, Followed, Record, Tally, When
from regiment_mongo.node import Node
from regiment_mongo.wake import PATIENCE, sleep

A_CALL = 2_000
"""Keys that are followed within one timeout."""


class EffectiveVerbs:
    """For `MongoConnector`."""

    _nodes: list[Node]
    _ask: Callable[..., Any]
    _role: Any

    def _home(self, queue: str) -> Node:
        return self._nodes[crc32(queue.encode()) % len(self._nodes)]

    def _at_home(self, queue: str) -> Node:
        """The home of a queue, open."""
        node = self._home(queue)
        if not node.is_open and len(self._nodes) > 1:
            node.open(self._role)
        return node

    def apply(
        self,
        queue: str,
        effects: Sequence[Effect],
        *,
        token: str,
        token_window: float = 60.0,
        when: Sequence[When] = (),
    ) -> Applied:
        node = self._at_home(queue)
        found: Applied = self._ask(
            node,
            node.apply,
            queue,
            effects,
            token=token,
            token_window=token_window,
            when=when,
            seconds=_seconds(effects),
        )
        return found

    def records(self, queue: str, keys: Sequence[str]) -> Sequence[Record | None]:
        node = self._at_home(queue)
        found: Sequence[Record | None] = self._ask(node, node.records, queue, keys)
        return found

    def listed(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[str]:
        node = self._at_home(queue)
        found: Sequence[str] = self._ask(node, node.listed, queue, limit, after=after)
        return found

    def tallies(self, queue: str, joins: Sequence[str]) -> Sequence[Tally | None]:
        node = self._at_home(queue)
        found: Sequence[Tally | None] = self._ask(node, node.tallies, queue, joins)
        return found

    # Waiting

    def follow(self, keys: Mapping[Followed, int], seconds: float = 60.0) -> Mapping[Followed, Record]:
        answer: dict[Followed, Record] = {}
        parts: dict[int, list[tuple[Followed, int]]] = {}
        for name, rank in keys.items():
            parts.setdefault(self._nodes.index(self._home(name[0])), []).append((name, rank))
        for index, part in parts.items():
            node = self._at_home(part[0][0][0])
            assert node is self._nodes[index]
            self._ask(node, node.listen_for_marks)
            for begin in range(0, len(part), A_CALL):
                some = dict(part[begin : begin + A_CALL])
                answer.update(self._ask(node, node.follow, some, seconds, seconds=len(some) / 1000))
        return answer

    def heard(self, seconds: float, wake_fd: int | None = None) -> Mapping[Followed, Record | None] | None:
        end = time.monotonic() + seconds
        while True:
            nodes = [node for node in self._nodes if node.is_open and node.inbox]
            if not all(self._ask(node, node.heard_all) for node in nodes):
                return None
            found: dict[Followed, Record | None] = {}
            for node in nodes:
                if node.called():
                    found.update(self._ask(node, node.marked))
            now = time.monotonic()
            if found or now >= end:
                return found
            listeners = [node.listener() for node in nodes]
            # Not asleep when one of them should have been heard of.
            wakes = [end, *(listener.heard + PATIENCE + 0.01 for listener in listeners)]
            if sleep([listener.event_fd for listener in listeners], min(wakes) - now, wake_fd):
                return {}


def _seconds(effects: Sequence[Effect]) -> float:
    """What these may take beyond the timeout: a second for every 10 MB."""
    size = 0
    for effect in effects:
        size += len(getattr(effect, "value", b"")) + sum(map(len, getattr(effect, "payloads", ())))
    return size / 10_000_000
