"""Starting a flow: one step of the store (W2), and after it the groups that are too large for one, chunk by chunk (W7)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from regiment.broker import Broker
from regiment.contracts import Applied, Effect, Keep, Seal, Send, When
from regiment.task import new_id
from regiment_workflows import keys
from regiment_workflows.compiling import BYTES, Compiled
from regiment_workflows.errors import GraphError
from regiment_workflows.graph import Flow
from regiment_workflows.reach import ask
from regiment_workflows.runs import Run

MOST = 64 * 1024 * 1024
"""Bytes of the messages that start a flow, but for those of groups of more than 1,000."""


def apply(
    broker: Broker, queue: str, effects: Sequence[Effect], when: Sequence[When] = (), token: str | None = None
) -> Applied:
    """One step of the store, once."""
    token, window = token or new_id(), broker.config.token_window
    answer: Applied = ask(
        broker, lambda store: store.apply(queue, effects, token=token, token_window=window, when=when)
    )
    return answer


def plan_effects(compiled: Compiled, also: Sequence[str] = ()) -> list[Effect]:
    """The plan, at each queue that knows of the flow, and the messages of its steps at home."""
    plan, ttl, grown = json.dumps(compiled.plan()).encode(), compiled.choices.ttl, compiled.flow.inside
    payloads = json.dumps(compiled.payloads).encode()
    there = sorted({compiled.home, *compiled.brokers, *also})
    kept: list[Effect] = [Keep(keys.plan_key(compiled.id, grown), plan, ttl, queue=queue) for queue in there]
    return [*kept, Keep(keys.payloads_key(compiled.id, grown), payloads, ttl, queue=compiled.home)]


def start(flow: Flow, id: str) -> Run[Any]:
    """Start it; the run."""
    compiled = Compiled(flow, id)
    broker = (
        compiled.brokers[compiled.home][0]
        if compiled.home in compiled.brokers
        else next(iter(compiled.brokers.values()))[0]
    )
    state = Keep(keys.flow_key(id), b'{"state": "running"}', compiled.choices.ttl, keys.RUNNING, True)
    size = sum(len(payload) for one in compiled.effects if isinstance(one, Send) for payload in one.payloads)
    if size > MOST:
        raise GraphError(
            f"the messages of this flow have {size:,} bytes, and at most {MOST:,} go into the one step that starts it; keep "
            f"large arguments elsewhere and pass where they are"
        )
    made = apply(broker, compiled.home, [state, *plan_effects(compiled), *compiled.effects], [When(keys.plan_key(id))])
    run: Run[Any] = Run(broker, compiled.home, id, existed=not made.done)
    if made.done:
        try:
            for node, mark in compiled.streams:
                _stream(compiled, broker, node, mark)
        except Exception:
            run.cancel()  # a member that cannot be, or what gives them has raised: it would be filling for ever
            raise
    return run


def _stream(compiled: Compiled, broker: Broker, node: Any, mark: dict[str, Any]) -> None:
    """Send a group chunk by chunk, and say last how many there are: killed in it, it is filling, and never ends early."""
    name, queue, number, members = compiled.named(node), compiled.place_of(node), 0, 0
    for join, sends, added in compiled.chunks(node, mark):
        first: list[Effect] = [join, *added]
        for part in _parts(sends):
            apply(broker, queue, [*first, *part])
            first = []
        members += join.members or 0
        number += 1
    count = Keep(keys.count_key(compiled.id, name), json.dumps(members).encode(), compiled.choices.ttl)
    apply(broker, queue, [count, Seal(queue, keys.join(compiled.id, name), number)])


def _parts(sends: Sequence[Send]) -> list[list[Send]]:
    """The messages of one chunk, in parts that are not too large for a step; nearly always there is one."""
    parts: list[list[Send]] = [[]]
    size = 0
    for send in sends:
        mine: list[bytes] = []
        for payload in send.payloads:
            if size + len(payload) > BYTES and (mine or parts[-1]):
                if mine:
                    parts[-1].append(send._replace(payloads=mine))
                parts.append([])
                mine, size = [], 0
            mine.append(payload)
            size += len(payload)
        if mine:
            parts[-1].append(send._replace(payloads=mine))
    return parts
