"""What may be asked of a flow in its store, by whoever reaches it: a handle by its broker, a duty by a connection of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from regiment.broker import Broker, effective
from regiment.contracts import Applied, Effect, Record, Tally, When
from regiment.errors import DecodeError, StoreUnavailable
from regiment.task import new_id
from regiment_results.records import FINAL, Outcome, key_of, read
from regiment_workflows import keys
from regiment_workflows.errors import FlowError
from regiment_workflows.plans import Plan, read_plan

T = TypeVar("T")

BULK = 1000
"""Keys, or joins, of one question."""
MOST_EPISODES = 10_000


def ask(broker: Broker, question: Callable[[Any], T]) -> T:
    """Ask the store, again where an answer is missing, until `push_timeout`."""
    deadline, pause = time.monotonic() + broker.config.push_timeout, 0.02
    while True:
        try:
            with broker.connector() as connector:
                return question(effective(connector, "a flow needs"))
        except StoreUnavailable:
            if time.monotonic() + pause > deadline:
                raise
            time.sleep(pause)
            pause = min(0.5, pause * 2)


class Reach:
    """A flow in its store."""

    id: str
    home: str

    def ask(self, question: Callable[[Any], T]) -> T:
        """Ask the store; again where an answer is missing."""
        raise NotImplementedError

    def records(self, queue: str, names: Sequence[str]) -> Sequence[Record | None]:
        """Records beside a queue."""
        found: list[Record | None] = []
        for at in range(0, len(names), BULK):
            part = names[at : at + BULK]
            found += self.ask(lambda store, part=part: store.records(queue, part))  # type: ignore[misc]
        return found

    def tallies(self, queue: str, joins: Sequence[str]) -> Sequence[Tally | None]:
        """Joins of a queue."""
        return self.ask(lambda store: store.tallies(queue, joins))

    def apply(self, queue: str, effects: Sequence[Effect], when: Sequence[When] = ()) -> Applied:
        """One step of the store, once."""
        token = new_id()
        answer: Applied = self.ask(lambda store: store.apply(queue, effects, token=token, when=when))
        return answer

    def look(self) -> Record | None:
        """The record that says how it stands."""
        return self.records(self.home, [keys.flow_key(self.id)])[0]

    def plans(self) -> list[Plan]:
        """What it is made of, as plain data: the flow, and the pieces that its steps have returned; those of members of groups
        as long as they go on.
        """
        found = [self.plan()]
        for plan in found:
            names = []
            for name, node in plan.nodes.items():
                if node["k"] == "step":
                    names.append(keys.inside(name))
                elif node["k"] == "group":
                    names += [
                        keys.inside(name, chunk * keys.CHUNK + one)
                        for chunk, tally in self.chunks(node)
                        for one in tally.missing
                    ]
            records = self.records(self.home, [keys.plan_key(self.id, name) for name in names])
            found += [Plan(json.loads(record.value)) for record in records if record is not None]
        return found

    def plan(self) -> Plan:
        """What it was made of when it was started."""
        return read_plan(self.records, self.home, self.id)

    def payloads(self, grown: str = "") -> dict[str, list[Any]]:
        """The messages of its steps."""
        record = self.records(self.home, [keys.payloads_key(self.id, grown)])[0]
        return {} if record is None else json.loads(record.value)

    def how(self, queue: str, id: str) -> int | None:
        """How a step has ended: `keys.NO`, `keys.YES`, `keys.GROWN`; None if it has not."""
        record = self.records(queue, [key_of(id)])[0]
        return None if record is None or record.rank < FINAL else keys.how_of(record.rank)

    def chunks(self, node: Mapping[str, Any]) -> list[tuple[int, Tally]]:
        """The chunks of a group that there are."""
        found: list[tuple[int, Tally]] = []
        for at in range(0, 4096, BULK):
            part = range(at, min(4096, at + BULK))
            tallies = self.tallies(node["q"], [keys.chunk_join(self.id, node["n"], one) for one in part])
            there = [(one, tally) for one, tally in zip(part, tallies, strict=True) if tally is not None]
            found += there
            if len(there) < len(part):
                break
        return found

    def episode(self) -> int:
        """The episode of the flow: each retry begins one, with a latch of its own. The first whose latch is not complete."""
        for at in range(1, MOST_EPISODES, 100):
            tallies = self.tallies(self.home, [keys.latch(self.id, one) for one in range(at, at + 100)])
            for number, tally in enumerate(tallies, at):
                if tally is None or not tally.complete:
                    return number
        raise FlowError(f"flow {self.id} was retried {MOST_EPISODES:,} times")


class Reached(Reach):
    """A flow reached by the broker of its home."""

    def __init__(self, broker: Broker, home: str, id: str) -> None:
        self.id, self.home, self._broker = id, home, broker

    @property
    def broker(self) -> Broker:
        """What this handle asks."""
        return self._broker

    def ask(self, question: Callable[[Any], T]) -> T:
        """Ask the store, again where an answer is missing, until `push_timeout`."""
        return ask(self._broker, question)

    def ended(self, queue: str, id: str) -> Outcome | None:
        """How a task of the flow has ended, if it has."""
        record = self.records(queue, [key_of(id)])[0]
        if record is None or record.rank < FINAL:
            return None
        try:
            found = read(self._broker.codec, record, (queue, key_of(id)))
        except DecodeError:
            return None
        return found if isinstance(found, Outcome) else None
