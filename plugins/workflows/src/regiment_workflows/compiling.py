"""From a graph to joins, messages and a plan (W1): what the store is given so that nobody has to watch over the flow."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any

from regiment.contracts import MOST_MEMBERS, Arrive, Effect, Join, Keep, Send
from regiment.pushing import Pushing
from regiment_workflows import keys
from regiment_workflows.errors import GraphError
from regiment_workflows.graph import Flow, Node, Ref, Value
from regiment_workflows.keys import CHUNK, NAME
from regiment_workflows.pieces import Group, Step
from regiment_workflows.places import alike, brokers_of, pushing_of, queue_of

Target = tuple[str, str, int]
"""Where a node arrives: queue, join, member."""
BYTES = 8 * 1024 * 1024
"""Of messages that one step of the store is given."""


WINDOW = 1.0
"""Seconds for which a step's id is known beside the time that it waits and runs: after that tending may send it again."""
MOST_RETURNED = 10_000
"""Members of a group that a step returns: they go into the step of the store that settles it."""


class Compiled:
    """What starts a flow: the effects of one step, groups that are to be streamed after it, and the plan."""

    def __init__(self, flow: Flow, id: str, targets: Sequence[Target] = (), home: str = "", episode: int = 1) -> None:
        """`targets`: where the last steps arrive, if that is not the end of the flow: the flow is part of a step then, whose
        name is `flow.inside`.
        """
        self.flow, self.id, self.part = flow, id, bool(targets)
        self.effects: list[Effect] = []
        self.streams: list[tuple[Node, dict[str, Any]]] = []
        self.payloads: dict[str, list[Any]] = {}
        self._pushings: dict[Any, Pushing[...]] = {}
        self._targets: dict[str, list[Target]] = {}
        self._plan: list[dict[str, Any]] = []
        self.started, self.episode = time.time(), episode
        self._prefix = f"{flow.inside}+" if flow.inside else ""
        nodes = list(flow.nodes.values())
        self.brokers = brokers_of(nodes, flow.teller)
        first = next((node for node in nodes if not node.needs and node.kind != "gate"), None) or next(
            (node for node in nodes if node.kind != "gate"), None
        )
        if first is None:
            raise GraphError("the flow has gates only; add a step")
        self.home = home or self.place_of(first)
        self.choices = next(iter(self.brokers.values()))[1]
        self._wire(nodes, targets)

    # What is where

    def place_of(self, node: Node) -> str:
        """The queue of a node: a group's is that of its members, a gate's the home."""
        if node.kind == "gate":
            return self.home
        step = node.step
        if node.group is not None:
            first: Any = next(iter(node.group.first(1)), node.group.model)
            step = first
        if step is None:
            return getattr(self, "home", "") or next(iter(self.brokers))
        return queue_of(step)

    def named(self, node: Node) -> str:
        """The name of a node in the whole flow."""
        return self._prefix + node.name

    def _wire(self, nodes: Sequence[Node], targets: Sequence[Target]) -> None:
        last = [node for node in nodes if not any(node in other.needs for other in nodes)]
        value = self.flow.value
        if targets:  # a piece goes on for the step that returned it: its end arrives there, once
            if len(last) == 1:
                self._targets[last[0].name] = list(targets)
            else:
                gathered = keys.join(self.id, f"{self._prefix}!")  # no step has this name
                self._most(len(last), "steps that nothing comes after")
                then = [Arrive(*target) for target in targets]
                self.effects.append(Join(self.home, gathered, len(last), then, self.choices.ttl))
                for index, node in enumerate(last):
                    self._targets.setdefault(node.name, []).append((self.home, gathered, index))
        else:
            self._most(len(last), "steps that nothing comes after")
            for index, node in enumerate(last):
                self._targets.setdefault(node.name, []).append((self.home, keys.end_join(self.id), index))
        for node in nodes:
            self._most(len(node.needs), f'steps that "{node.name}" waits for')
            where = self._join_of(node)
            for index, other in enumerate(node.needs):
                self._targets.setdefault(other.name, []).append((*where, index))
        self.last = last
        if value is None:
            self.value: Any = {node.name: self.wire(Ref(node)) for node in last}
        else:
            self.value = self.wire(value)
        for node in nodes:
            self._node(node)
        if not self.part:
            self._end(len(last))

    def _most(self, number: int, what: str) -> None:
        if number > MOST_MEMBERS:
            raise GraphError(f"the flow has {number:,} {what}; at most {MOST_MEMBERS:,}")

    def _join_of(self, node: Node) -> tuple[str, str]:
        """Where those arrive that a node waits for: at the queue of the first of them."""
        queue = self.place_of(node.needs[0]) if node.needs else ""
        name = self.named(node)
        return queue, keys.trigger(self.id, name) if node.kind == "group" else keys.join(self.id, name)

    def wire(self, value: Value) -> list[Any]:
        """A reference as messages carry it."""
        if isinstance(value, list):
            return ["l", [self.wire(one) for one in value]]
        node, queue = value.node, self.place_of(value.node)
        if node.group is None:
            return ["s", queue, keys.task_id(self.id, self.named(node)), list(value.path)]
        return ["g", queue, self.id, self.named(node), self._size(node.group), node.group.flat, list(value.path)]

    # Nodes

    def _node(self, node: Node) -> None:
        wanted = any(node in _each(ref) for other in self.flow.nodes.values() for ref in other.refs.values())
        wanted = wanted or (self.flow.value is not None and node in _each(self.flow.value))
        targets = self._targets.get(node.name, [])
        mark = self._mark(node, targets, wanted)
        refused = node.policy or self.flow.policy
        told: dict[str, Any] = {
            "n": self.named(node),
            "k": node.kind,
            "q": self.place_of(node),
            "d": [self.named(other) for other in node.needs],
            "p": refused,
            "a": [list(target) for target in targets],
            "j": list(self._join_of(node)) if node.needs else None,
        }
        if node.kind == "gate":
            told["timeout"] = node.timeout
        elif node.step is not None:
            told["t"] = node.step.label
            self._step(node, mark)
        elif node.group is not None:
            told["t"] = node.group.label or getattr(next(iter(node.group.first(1)), None), "label", "")
            told["m"] = self._size(node.group)
            self._group(node, node.group, mark)
        self._plan.append(told)

    def _mark(self, node: Node, targets: Sequence[Target], wanted: bool) -> dict[str, Any]:
        """What a message carries of its flow, for the plugin alone."""
        made: dict[str, Any] = {
            "f": self.id,
            "h": self.home,
            "s": self.named(node),
            "p": node.policy or self.flow.policy,
            "a": [list(target) for target in targets],
            "w": wanted,
            "e": self.episode,
            "t": self.choices.ttl,
        }
        if node.refs:
            made["n"] = {name: self.wire(value) for name, value in node.refs.items()}
        return made

    def _step(self, node: Node, mark: dict[str, Any]) -> None:
        assert node.step is not None
        id = keys.task_id(self.id, self.named(node))
        sends, added = self.messages([(node.step, node.given)], [id], mark)
        self.effects += added
        send = sends[0]
        self.payloads[self.named(node)] = [
            send.queue,
            send.priority,
            base64.b64encode(send.payloads[0]).decode(),
            send.delay,
        ]
        self._begin(node, [send._replace(ids=[id], id_window=WINDOW)])

    def _size(self, group: Group[Any]) -> int | None:
        """How many members a group has; None if it is streamed. What a step has returned goes into one step of the store."""
        most = MOST_RETURNED if self.part else CHUNK
        number = len(group.first(most + 1))
        if number > most and self.part:
            raise GraphError(f"a step has returned a group of more than {MOST_RETURNED:,} members; give it in parts")
        return number if number <= most else None

    def _begin(self, node: Node, sends: Sequence[Send]) -> None:
        """Send it now, or once all have arrived that it waits for."""
        if node.needs:
            queue, name = self._join_of(node)
            self.effects.append(Join(queue, name, len(node.needs), list(sends), self.choices.ttl))
        else:
            self.effects += sends

    def _group(self, node: Node, group: Group[Any], mark: dict[str, Any]) -> None:
        name, queue, ttl = self.named(node), self.place_of(node), self.choices.ttl
        number = self._size(group)
        then = [Arrive(*target) for target in self._targets.get(node.name, [])]
        if number == 0 and node.needs:  # it waits all the same
            where, trigger = self._join_of(node)
            self.effects.append(Join(where, trigger, len(node.needs), then, ttl))
            return
        chunks = None if number is None else -(-number // CHUNK)
        self.effects.append(Join(queue, keys.join(self.id, name), chunks, then, ttl))
        if number is None:
            self.streams.append((node, mark))
            return
        sends: list[Send] = []
        for join, more, added in self.chunks(node, mark):
            self.effects += [join, *added]
            sends += more
        if node.needs:
            self._begin(node, sends)
        else:
            self.effects += sends

    def chunks(self, node: Node, mark: Mapping[str, Any]) -> Iterator[tuple[Join, list[Send], list[Effect]]]:
        """The chunks of a group, one at a time: its join, its messages, and what plugins add to them."""
        assert node.group is not None
        name, queue = self.named(node), self.place_of(node)
        members, number = iter(node.group), 0
        while part := list(islice(members, CHUNK)):
            if number == MOST_MEMBERS:
                raise GraphError(f"a group has more than {MOST_MEMBERS * CHUNK:,} members; use larger chunks, or map")
            steps = [self._fitting(one, node, queue) for one in part]
            ids = [keys.task_id(self.id, name, number * CHUNK + index) for index in range(len(part))]
            join = keys.chunk_join(self.id, name, number)
            sends, added = self.messages(
                [(one, one.given) for one in steps], ids, {**mark, "a": [], "c": [queue, join, number * CHUNK]}
            )
            then = [Arrive(queue, keys.join(self.id, name), number)]
            yield Join(queue, join, len(part), then, self.choices.ttl), sends, added
            number += 1

    def _fitting(self, one: Any, node: Node, queue: str) -> Step[Any]:
        """A member that came late must be like the first ones."""
        missing = [] if node.refs else getattr(one, "missing", [])
        if not isinstance(one, Step) or queue_of(one) != queue or missing:
            raise GraphError(
                f"a large group has the member {one!r}{f', which needs {missing[0]}' if missing else ''}; expected steps of the "
                f"queue {queue} with all their arguments"
            )
        return one

    def messages(
        self, steps: Sequence[tuple[Step[Any], dict[str, Any]]], ids: Sequence[str], mark: Mapping[str, Any]
    ) -> tuple[list[Send], list[Effect]]:
        """The messages of steps, and what plugins add to their pushes."""
        sends, added, at = list[Send](), list[Effect](), 0
        for key, same in groupby(steps, lambda one: alike(one[0])):
            given = [kwargs for _, kwargs in same]
            pushing = self._pushings.get(key)
            if pushing is None:
                pushing = self._pushings[key] = pushing_of(steps[at][0])
            broker, tasks, push, way = pushing.made(given, ids[at : at + len(given)])
            at += len(given)
            if any(one.unique for one in push.tickets or ()):
                raise GraphError(f"{tasks[0].name!r} is unique: a step that is left out would never end its flow")
            for task in tasks:
                task.tags = {**(task.tags or {}), NAME: dict(mark)}
            sends.append(broker.sending(tasks[0].queue, tasks, **{**way, "ids": False}))
            added += push.effects
        return sends, added

    # The whole

    def _end(self, sinks: int) -> None:
        choices, id = self.choices, self.id
        done = Keep(keys.flow_key(id), b'{"state": "success"}', choices.keep, keys.SUCCESS, True)
        self.effects.append(Join(self.home, keys.end_join(id), sinks, [done], choices.ttl))
        self.effects.append(Join(self.home, keys.latch(id, 1), 1, self.told(1), choices.ttl))

    def told(self, episode: int) -> list[Send]:
        """What is pushed when the flow fails."""
        step = self.flow.teller
        if step is None:
            return []
        mark = {
            "f": self.id,
            "h": self.home,
            "s": "!",
            "p": "continue",
            "a": [],
            "w": False,
            "e": episode,
            "t": self.choices.ttl,
        }
        if step.missing:
            mark["n"] = {step.missing[0]: ["e", self.home, self.id]}
        sends, _ = self.messages([(step, step.given)], [keys.task_id(self.id, f"!{episode}")], mark)
        if episode == 1:
            send = sends[0]
            self.payloads["!"] = [send.queue, send.priority, base64.b64encode(send.payloads[0]).decode(), send.delay]
        return sends

    def plan(self) -> dict[str, Any]:
        """What the flow is made of, as plain data."""
        return {
            "v": 1,
            "id": self.id,
            "inside": self.flow.inside,
            "above": self.flow.above,
            "name": self.flow.name,
            "home": self.home,
            "started": self.started,
            "deadline": self.flow.deadline,
            "ttl": self.choices.ttl,
            "keep": self.choices.keep,
            "queues": sorted({self.home, *self.brokers}),
            "nodes": self._plan,
            "last": [self.named(node) for node in self.last],
            "value": self.value,
        }


def _each(value: Value) -> Iterator[Node]:
    if isinstance(value, Ref):
        yield value.node
    else:
        for one in value:
            yield from _each(one)
