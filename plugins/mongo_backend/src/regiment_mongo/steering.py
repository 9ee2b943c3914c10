"""The verbs of the extra `steer`. With several clusters, the board is on each of them and the acts of a queue on its home."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from regiment.contracts import LOOKED_AT, STEP, Act, Board, Counts, Glance
from regiment.errors import StoreUnavailable
from regiment_mongo.effective import EffectiveVerbs
from regiment_mongo.glance import Looked
from regiment_mongo.hand import Change
from regiment_mongo.node import Node

T = TypeVar("T")
Orders = Mapping[str, str | None]

SLOWER = 4.0
"""Seconds more than the timeout that a request of these verbs may take: it reads or moves megabytes."""


class SteeringVerbs(EffectiveVerbs):
    """For `MongoConnector`."""

    _each: Callable[..., Any]
    _half: dict[Any, tuple[list[str], list[tuple[int, list[str]]]]]
    """The last call of `steer` that was not answered: what it had done, and what was left to do."""

    def look(
        self,
        queue: str,
        state: Literal["ready", "delayed", "leased"],
        limit: int = 100,
        *,
        after: str | None = None,
        holding: bytes = b"",
    ) -> Glance:
        if len(self._nodes) == 1:
            node = self._nodes[0]
            found, rest = self._ask(node, node.look, queue, state, limit, after, holding, seconds=SLOWER)
            return Glance([one.task for one in found], rest)
        return self._look_at_all(queue, state, limit, after, holding)

    def _look_at_all(self, queue: str, state: Any, limit: int, after: str | None, holding: bytes) -> Glance:
        """Of what each cluster shows, the first ones by priority, by due time, by consumer and receipt. The cursor has one for each
        cluster, which ends behind what was given out of it: "" begins, None has come to its end.
        """
        cursors: list[str | None] = [""] * len(self._nodes) if after is None else _cursors(after, len(self._nodes))
        most = max(1, LOOKED_AT // len(self._nodes))
        found: list[tuple[int, Looked]] = []
        rests = list(cursors)
        for index, node in enumerate(self._nodes):
            if (cursor := cursors[index]) is not None:
                args = (queue, state, limit, cursor or None, holding, most)
                seen, rests[index] = self._ask(self._opened(index), node.look, *args, seconds=SLOWER)
                found += [(index, one) for one in seen]
        found.sort(key=lambda pair: _turn(pair[1]))
        for index, one in found[:limit]:
            cursors[index] = one.after
        left = {index for index, _ in found[limit:]}
        cursors = [cursors[i] if i in left else rests[i] for i in range(len(cursors))]
        tasks = [one.task._replace(place=f"{index}:{one.task.place}") for index, one in found[:limit]]
        return Glance(tasks, json.dumps(cursors) if any(cursor is not None for cursor in cursors) else None)

    def _opened(self, index: int) -> Node:
        """One cluster, which may have been away when this connector was opened."""
        node = self._nodes[index]
        if not node.is_open and any(other.is_open for other in self._nodes):
            node.open(self._role)
        return node

    def steer(
        self,
        queue: str,
        places: Sequence[str],
        *,
        drop: bool = False,
        priority: int | None = None,
        delay: float | None = None,
    ) -> Sequence[str]:
        if drop == (priority is not None or delay is not None):
            raise ValueError(
                f"steer got drop={drop}, priority={priority}, delay={delay}; expected either drop, or what to change"
            )
        change = Change(drop, priority, delay)
        key = (queue, tuple(places), change)
        # A call that was not answered goes on at its repeat where it ended: what it had done is not there any more.
        done, parts = self._half.pop(key) if key in self._half else (list[str](), self._parts(places))
        try:
            while parts:
                index, rest = parts[-1]
                prefix = "" if len(self._nodes) == 1 else f"{index}:"
                node = self._opened(index)
                got, left = self._ask(node, node.steer, queue, rest[:STEP], change, seconds=SLOWER)
                done += [prefix + place for place in got]
                rest[:STEP] = left
                if not rest:
                    parts.pop()
        except StoreUnavailable:
            self._half.clear()
            self._half[key] = (done, parts)
            raise
        over = set(done)
        return [place for place in dict.fromkeys(places) if place in over]

    def _parts(self, places: Sequence[str]) -> list[tuple[int, list[str]]]:
        """The places of each cluster."""
        if len(self._nodes) == 1:
            return [(0, list(dict.fromkeys(places)))]
        parts: dict[int, list[str]] = {}
        for place in dict.fromkeys(places):
            number, _, rest = place.partition(":")
            if number.isdecimal() and int(number) < len(self._nodes):
                parts.setdefault(int(number), []).append(rest)
        return list(parts.items())

    def counts(self, queue: str) -> Counts:
        return self.counts_many([queue])[0]

    def counts_many(self, queues: Sequence[str]) -> Sequence[Counts]:
        each: list[Sequence[Counts]] = self._each(lambda node: node.counts_many(queues))
        return each[0] if len(each) == 1 else [_together(counts) for counts in zip(*each, strict=True)]

    def board(self, queue: str) -> Board:
        boards: list[Board] = self._each(lambda node: node.board(queue))
        if len(boards) == 1:
            return boards[0]
        return Board(
            max(board.version for board in boards),
            any(board.paused for board in boards),
            frozenset().union(*(board.cancelled for board in boards)),
            {whom: what for board in boards for whom, what in board.orders.items()},
        )

    def post(
        self,
        queue: str,
        *,
        paused: bool | None = None,
        cancel: Iterable[str] = (),
        clear: Iterable[str] = (),
        orders: Orders = MappingProxyType({}),
    ) -> int:
        notices = {"paused": paused, "cancel": list(cancel), "clear": list(clear), "orders": orders}
        versions: list[int] = self._each(lambda node: node.post(queue, **notices))
        return max(versions)

    def act(self, queue: str, entry: bytes, *, token: str) -> None:
        node = self._opened(self._nodes.index(self._home(queue)))
        self._ask(node, node.act, queue, entry, token)

    def acts(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[Act]:
        node = self._opened(self._nodes.index(self._home(queue)))
        found: Sequence[Act] = self._ask(node, node.acts, queue, limit, after=after)
        return found


def _turn(one: Looked) -> tuple[Any, ...]:
    """What decides between tasks of several clusters."""
    task = one.task
    if task.state == "leased":
        return (task.consumer, task.receipt)
    return (task.due if task.state == "delayed" else task.priority,)


def _cursors(after: str, many: int) -> list[str | None]:
    try:
        found = json.loads(after)
    except ValueError:
        found = None
    if not isinstance(found, list) or len(found) != many:
        raise ValueError(f"after is {after!r}; expected what the last look at this queue answered")
    return found


def _together(each: Sequence[Counts]) -> Counts:
    """What several clusters have of one queue."""
    ages = [counts.oldest for counts in each if counts.oldest is not None]
    return Counts(
        ready=sum(counts.ready for counts in each),
        delayed=sum(counts.delayed for counts in each),
        leased=sum(counts.leased for counts in each),
        dead=sum(counts.dead for counts in each),
        oldest=max(ages) if ages else None,
        consumers=max(counts.consumers for counts in each),
        paused=any(counts.paused for counts in each),
    )
