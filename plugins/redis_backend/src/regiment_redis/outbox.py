"""The outbox: what settlements leave behind for another place (another slot of a cluster, another node) is sent on from here.

An entry is applied at its place and deleted afterwards; its token, which is that of the settlement, is remembered there for
an hour, so whoever sends it a second time changes nothing (E8, E9). A place that cannot be reached is left alone for a
while, and delays nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from regiment.errors import StoreError
from regiment_redis.effects import LANES
from regiment_redis.link import Link, Scripts
from regiment_redis.records import name
from regiment_redis.scripts import Script
from regiment_redis.wire import Part

WAITS = 2**31
"""Added to the version of a board: something waits in the outbox of this queue."""
ROUNDS = 1000
"""Most requests that one call makes for sending on: the rest is for the next call."""
LONGEST = 30.0
"""Most seconds for which a place that could not be reached is left alone."""

_OUTBOX, _RELAY = Script("outbox"), Script("relay")


class Door(NamedTuple):
    """The way to a node: its scripts, and what notes a queue's stem in the node's list of queues."""

    scripts: Scripts
    note: Callable[[str], None]


class Outbox:
    """Sends on what waits on these nodes; a cluster is one."""

    def __init__(self, nodes: Sequence[Door]) -> None:
        self._nodes = list(nodes)
        self._away: dict[str, tuple[float, float]] = {}
        """Target -> until when it is left alone, and for how long that is."""

    def send_on(self, node: int, stem: str) -> None:
        """Empty the outbox of a queue, and those that this fills. What fails waits for the next call; nothing is raised for it."""
        todo, rounds = [(node, stem)], 0
        dead: set[Link] = set()
        while todo and rounds < ROUNDS:
            node, stem = todo.pop()
            done: list[Part] = []
            while True:
                rounds += 1
                now = time.monotonic()
                away = [target for target, (until, _) in self._away.items() if until > now]
                try:
                    found = self._nodes[node].scripts.run(_OUTBOX, stem, len(away), *away, *done)
                except StoreError:
                    break
                done = []
                for target, entries in zip(map(name, found[::2]), found[1::2], strict=True):
                    if entries and self._relay(target, entries, dead, todo):
                        done += (target, len(entries) // 2, *entries[::2])
                if not done or rounds >= 2 * ROUNDS:
                    break

    def _relay(self, target: str, entries: Sequence[bytes], dead: set[Link], todo: list[tuple[int, str]]) -> bool:
        """Apply entries at their place; True if that is done."""
        number, _, stem = target.partition(" ")
        script = _RELAY.twin if number.endswith(LANES) else _RELAY
        number = number.removesuffix(LANES)
        if not number.isdecimal() or int(number) >= len(self._nodes):
            return self._leave(target)  # a node that this process does not know
        (scripts, note), link = self._nodes[int(number)], None
        try:
            link = scripts.root.link(stem)
            if link in dead:
                return self._leave(target)
            note(stem)
            board: Any = scripts.run(script, stem, *entries)
        except StoreError:
            if link is not None:
                dead.add(link)
            return self._leave(target)
        self._away.pop(target, None)
        if board >= WAITS:
            todo.append((int(number), stem))
        return True

    def _leave(self, target: str) -> bool:
        pause = min(2 * self._away.get(target, (0.0, 0.5))[1], LONGEST)
        self._away[target] = (time.monotonic() + pause, pause)
        return False
