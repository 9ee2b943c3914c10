"""Looking after flows (W11): what a fail-over of the store has lost is done again, deadlines and gates are watched.

Nothing of it is needed while the store keeps what it acknowledged. All of it may be done by any number of processes at once.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from regiment.contracts import Arrive, Connector, Keep, Send, Served, When
from regiment.errors import StoreUnavailable
from regiment_results.records import FINAL, key_of
from regiment_workflows import keys
from regiment_workflows.errors import FlowError
from regiment_workflows.keys import CHUNK
from regiment_workflows.plans import Plan
from regiment_workflows.reach import Reach

T = TypeVar("T")

EVERY = 2.0
"""Seconds between two looks for flows whose time is up."""
LONGEST = 86_400.0
"""Seconds between two looks at a flow that goes on and on, at most."""
MOST = 1000
"""Flows of one queue that are watched."""


def tend(flow: Reach) -> int:
    """Let arrive again what has a record, and send again steps that are nowhere though all have arrived; how many."""
    state = flow.look()
    if state is None or state.rank not in (keys.RUNNING, keys.FAILED):
        return 0
    done = 0
    for plan in flow.plans():
        payloads = flow.payloads(plan.grown)
        for node in plan.nodes.values():
            if node["k"] == "group":
                done += _group(flow, node)
            else:
                done += _step(flow, node, payloads)
    return done


def _group(flow: Reach, node: Mapping[str, Any]) -> int:
    done, queue, name = 0, node["q"], keys.join(flow.id, node["n"])
    for chunk, tally in flow.chunks(node):
        if tally.shut or tally.members is None:
            continue
        if tally.complete:
            done += _again(flow, (queue, name, chunk))
            continue
        ids = [keys.task_id(flow.id, node["n"], chunk * CHUNK + one) for one in tally.missing]
        for one, record in zip(tally.missing, flow.records(queue, [key_of(id) for id in ids]), strict=True):
            if record is not None and record.rank >= FINAL and _arrives(node, keys.how_of(record.rank)):
                flow.apply(queue, [Arrive(queue, keys.chunk_join(flow.id, node["n"], chunk), one)])
                done += 1
    whole = flow.tallies(queue, [name])[0]
    if whole is not None and whole.complete:
        done += sum(_again(flow, target) for target in node["a"])
    return done


def _arrives(node: Mapping[str, Any], how: int) -> bool:
    """Whether an end is one that arrives."""
    return how == keys.YES or (how == keys.NO and node["p"] != "fail")


def _again(flow: Reach, target: Any) -> int:
    """Arrive where that is missing; 1 if it was."""
    queue, join, member = target
    tally = flow.tallies(queue, [join])[0]
    if tally is None or tally.complete or tally.shut or (tally.members is not None and member not in tally.missing):
        return 0
    if tally.members is None and tally.arrived > member:
        return 0
    flow.apply(queue, [Arrive(queue, join, member)])
    return 1


def _step(flow: Reach, node: Mapping[str, Any], payloads: Mapping[str, list[Any]]) -> int:
    id = keys.task_id(flow.id, node["n"])
    how = flow.how(node["q"], id)
    if how is not None:
        arrives = how == keys.YES or (how == keys.NO and node["p"] == "continue")
        return sum(_again(flow, target) for target in node["a"]) if arrives else 0
    if node["k"] == "gate" or node["n"] not in payloads:
        return 0
    if node["j"]:
        waits = flow.tallies(node["j"][0], [node["j"][1]])[0]
        if waits is None or not waits.complete:
            return 0
    queue, priority, text, delay = payloads[node["n"]]
    again = Send(queue, [base64.b64decode(text)], priority, delay, ids=[id], id_window=1.0)
    sent = flow.apply(queue, [again], [When(key_of(id))])  # not where it has ended just now
    return 1 if sent.done and not sent.left_out else 0


def refresh(flow: Reach) -> None:
    """What a flow is made of is kept for as long as it runs."""
    for plan in flow.plans():
        data = plan.data
        for queue in sorted({data["home"], *data["queues"]}):
            key = keys.plan_key(flow.id, plan.grown)
            flow.apply(queue, [Keep(key, json.dumps(data).encode(), data["ttl"])])
        key, messages = keys.payloads_key(flow.id, plan.grown), flow.payloads(plan.grown)
        flow.apply(flow.home, [Keep(key, json.dumps(messages).encode(), data["ttl"])])
    state = flow.look()
    if state is not None and state.rank == keys.RUNNING:
        key = keys.flow_key(flow.id)
        kept = Keep(key, state.value, plan.data["ttl"], keys.RUNNING, True)
        flow.apply(flow.home, [kept], [When(key, state.version)])


def expire(flow: Reach, plan: Plan, now: float) -> float | None:
    """Fail a flow whose deadline has passed, or that of a gate; else seconds until the next one, or None."""
    left, late = [], None
    data = plan.data
    if data["deadline"] is not None:
        left.append(data["started"] + data["deadline"] - now)
        if left[-1] <= 0:
            late = "", f"its deadline of {data['deadline']:g} s has passed"
    for node in plan.nodes.values():
        if late is None and node["k"] == "gate" and node["timeout"] is not None:
            if flow.how(data["home"], keys.task_id(flow.id, node["n"])) is not None:
                continue
            left.append(data["started"] + node["timeout"] - now)
            if left[-1] <= 0:
                late = node["n"], f'nobody has opened the gate "{node["n"]}" within {node["timeout"]:g} s'
    if late is None:
        return min(left, default=None)
    state = flow.look()
    if state is None or state.rank != keys.RUNNING:
        return None
    told = {
        "state": "failed",
        "step": late[0],
        "id": "",
        "queue": "",
        "kind": "timeout",
        "type": "",
        "message": late[1],
    }
    key = keys.flow_key(flow.id)
    kept = Keep(key, json.dumps(told).encode(), data["ttl"], keys.FAILED, True)
    latch = Arrive(flow.home, keys.latch(flow.id, flow.episode()), 0)
    flow.apply(flow.home, [kept, latch], [When(key, state.version)])
    return None


class Held(Reach):
    """A flow reached by a connection of a service."""

    def __init__(self, store: Any, home: str, id: str) -> None:
        self._store, self.home, self.id = store, home, id

    def ask(self, question: Callable[[Any], T]) -> T:
        return question(self._store)


class Tending:
    """The duty: it looks at the flows that have their home at a queue of this tree."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._targets: dict[str, Served] = {}
        self._connectors: dict[str, Connector] = {}
        self._plans: dict[tuple[str, str], Plan] = {}
        self._due: dict[tuple[str, str], tuple[float, float]] = {}
        """(queue, flow) -> when it is tended next, and how long after that again."""

    def learn(self, target: Served, notes: Any) -> None:
        """A target whose flows are looked after."""
        self._targets[target.queue] = target

    def look(self, now: float) -> float:
        """Do what is due."""
        for queue, target in self._targets.items():
            try:
                if queue not in self._connectors:
                    self._connectors[queue] = target.connect()
                self._queue(self._connectors[queue], queue, now)
            except StoreUnavailable:
                gone = self._connectors.pop(queue, None)
                if gone is not None:
                    gone.close()
        return EVERY

    def _queue(self, store: Any, queue: str, now: float) -> None:
        running = dict.fromkeys(self._running(store, queue))
        for where in [where for where in self._due if where[0] == queue and where[1] not in running]:
            del self._due[where]
            self._plans.pop(where, None)
        for id in running:
            flow, where = Held(store, queue, id), (queue, id)
            try:
                self._one(flow, where, now)
            except FlowError:  # its plan has expired
                self._due[where] = now + LONGEST, LONGEST

    def _one(self, flow: Held, where: tuple[str, str], now: float) -> None:
        if where not in self._due:
            self._plans[where] = flow.plan()
            self._due[where] = now + self._every, self._every
        if where in self._plans and expire(flow, self._plans[where], now) is None:
            del self._plans[where]
        due, pause = self._due[where]
        if now >= due:
            tend(flow)
            refresh(flow)
            pause = min(LONGEST, pause * 2)
            self._due[where] = now + pause, pause

    def _running(self, store: Any, queue: str) -> Iterator[str]:
        names = [name for name in store.listed(queue, MOST) if name.startswith("w:") and "\t" not in name]
        for name, record in zip(names, store.records(queue, names) if names else (), strict=True):
            if record is not None and record.rank == keys.RUNNING:
                yield name.removeprefix("w:")
