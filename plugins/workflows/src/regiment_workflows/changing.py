"""What people do to a flow that runs: cancel it, run again what has failed, open a gate.

Each is a row of steps of the store; whoever dies between two of them repeats the whole, and it is as if it was done once.
"""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from regiment import log
from regiment.broker import extras
from regiment.codec import read_head
from regiment.contracts import Arrive, Effect, Join, Keep, Letter, Send, Shut, When
from regiment.contracts.steer import STEER, STEP, Glance
from regiment.errors import ArgumentsError, DecodeError, StoreError, StoreUnavailable
from regiment.outcome import SUCCESS, Outcome
from regiment_results.records import FINAL, key_of, outcome_record
from regiment_workflows import keys
from regiment_workflows.errors import FlowError
from regiment_workflows.keys import CHUNK, NAME
from regiment_workflows.plans import Plan
from regiment_workflows.reach import Reached


def cancel(run: Reached) -> bool:
    """Cancel a flow (W9): at home first, in one step; then the other joins, and a mark at each of its queues. What runs of it, or is
    on lease, is cancelled as any task is: by the notice boards of its queues.

    The mark is a record and no notice, for three reasons. It lives as long as the flow, and a notice 30 days; there may be any
    number of flows, and on a board stand 10,000 ids; and only steps of flows look for it, while each task of a queue pays for
    what stands on its board. So the board is told of those only that run now, and who settles them takes them off.
    """
    state = run.look()
    if state is None:
        raise FlowError(f"nothing is known of flow {run.id} at queue {run.home}")
    if state.rank == keys.SUCCESS:
        return False
    plans = run.plans()
    ttl, keep = plans[0].data["ttl"], plans[0].data["keep"]
    first: list[Effect] = [Shut(run.home, keys.end_join(run.id), ttl)]
    first += [Shut(run.home, keys.latch(run.id, one), ttl) for one in range(1, run.episode() + 1)]
    told = json.dumps({"state": "cancelled", "at": time.time()}).encode()
    first.append(Keep(keys.flow_key(run.id), told, max(keep, ttl), keys.CANCELLED, True))
    run.apply(run.home, first)
    after = run.look()
    if after is not None and after.rank == keys.SUCCESS:
        return False  # it had ended just before
    for queue in sorted({queue for plan in plans for queue in plan.data["queues"]}):
        run.apply(queue, [Keep(keys.cancelled_key(run.id), b"1", ttl)])
    for plan in plans:
        for node in plan.nodes.values():
            shut = [node["j"]] if node["j"] else []
            shut += [[node["q"], keys.join(run.id, node["n"])]] if node["k"] == "group" else []
            for queue, join in shut:
                run.apply(queue, [Shut(queue, join, ttl)])
    for queue in sorted({queue for plan in plans for queue in plan.data["queues"]}):
        try:
            run.ask(partial(_strike, queue, run.id))
        except StoreUnavailable:
            raise
        except (
            StoreError
        ) as error:  # a right that is missing, or a board that is full: the flow is cancelled all the same
            next = "what runs of it goes on"
            log.event(logging.WARNING, "flow.not_struck", error=str(error), flow=run.id, queue=queue, next=next)
    return True


def _strike(queue: str, flow: str, store: Any) -> None:
    """Have cancelled what is on lease of a flow; a store that cannot be looked through lets it run to its end."""
    if STEER not in extras(store):
        return
    after: str | None = None
    while True:
        glance: Glance = store.look(queue, "leased", STEP, after=after, holding=flow.encode())
        ids = [id for one in glance.tasks if (id := _id_of(one.payload)).startswith(f"{flow}.")]
        if ids:
            store.post(queue, cancel=ids)
        after = glance.after
        if after is None:
            return


def _id_of(payload: bytes) -> str:
    try:
        return read_head(payload).task_id
    except DecodeError:
        return ""


def retry(run: Reached, step: str | None = None) -> int:
    """Revive the dead letters of the failed steps, which then name a latch of their own (W10); nothing is dropped. The
    version of the failure that is passed over.
    """
    state = run.look()
    if state is None or state.rank not in (keys.FAILED, keys.RUNNING):
        how = "is not known" if state is None else f"is {keys.STATES.get(state.rank, 'over')}"
        raise FlowError(f"flow {run.id} {how}; only one that has failed, or runs with failed steps, can be retried")
    plans = run.plans()
    names = [node for plan in plans for node in plan.nodes.values() if _meant(node, step)]
    if not names:
        there = ", ".join(name for plan in plans for name in plan.nodes)
        raise FlowError(f'flow {run.id} has no step "{step}"; it has {there}')
    episode = run.episode()
    payloads = _all_payloads(run, plans)
    latch = Join(run.home, keys.latch(run.id, episode), 1, _told(run, payloads, episode), plans[0].data["ttl"])
    run.apply(run.home, [latch])
    revived = sum(_revive(run, node, episode, payloads) for node in names)
    if not revived:
        raise FlowError(
            f"flow {run.id}: nothing that has failed can run again: there are no dead letters of its steps (they were dropped, "
            f"or are on their way already)"
        )
    return state.version if state.rank == keys.FAILED else 0


def _meant(node: Mapping[str, Any], step: str | None) -> bool:
    """Whether it is to be retried: what is named, or else whatever holds the flow up when it fails."""
    return bool(node["p"] == "fail" if step is None else node["n"] == step)


def _all_payloads(run: Reached, plans: Sequence[Plan]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for plan in plans:
        found |= run.payloads(plan.grown)
    return found


def _told(run: Reached, payloads: Mapping[str, list[Any]], episode: int) -> list[Send]:
    """What is pushed if the flow fails in this episode, too."""
    if "!" not in payloads:
        return []
    queue, priority, text, delay = payloads["!"]
    task = run.broker.codec.decode(base64.b64decode(text), queue)
    task.id = keys.task_id(run.id, f"!{episode}")
    return [Send(queue, [run.broker.codec.encode(task)], priority, delay)]


def _revive(run: Reached, node: Mapping[str, Any], episode: int, payloads: Mapping[str, list[Any]]) -> int:
    """Run again what has failed of a node; how many that were."""
    queue, found = node["q"], 0
    for id in _failed(run, node):
        letters: Sequence[Letter] = run.ask(partial(_letters, queue, id))
        if letters:
            new = _renamed(run, letters[0].payload, queue, episode)
            found += run.ask(partial(_revive_one, queue, letters[0].id, new))
        elif node["n"] in payloads and _ended_unrun(run, queue, id):
            _, priority, text, delay = payloads[node["n"]]
            again = _renamed(run, base64.b64decode(text), queue, episode, expires=False)
            if again is not None:
                run.apply(queue, [Send(queue, [again], priority, delay, ids=[id], id_window=0.001)])
                found += 1
    return found


def _letters(queue: str, id: str, store: Any) -> Any:
    return store.letters(queue, id)


def _revive_one(queue: str, letter: str, payload: bytes | None, store: Any) -> int:
    revived: int = store.revive(queue, {letter: payload})
    return revived


def _ended_unrun(run: Reached, queue: str, id: str) -> bool:
    """Whether a step has no dead letter because it never ran."""
    ended = run.ended(queue, id)
    return ended is not None and ended.kind in ("expired", "cancelled")


def _failed(run: Reached, node: Mapping[str, Any]) -> Iterator[str]:
    """The ids of what has failed of a node."""
    if node["k"] == "step":
        id = keys.task_id(run.id, node["n"])
        if run.how(node["q"], id) == keys.NO:
            yield id
    elif node["k"] == "group":
        for chunk, tally in run.chunks(node):
            if tally.complete or not tally.missing:
                continue
            size = tally.members or 0
            every = range(size) if len(tally.missing) >= 100 else tally.missing
            ids = [keys.task_id(run.id, node["n"], chunk * CHUNK + one) for one in every]
            for id, record in zip(ids, run.records(node["q"], [key_of(id) for id in ids]), strict=True):
                if record is not None and record.rank >= FINAL and keys.how_of(record.rank) == keys.NO:
                    yield id


def _renamed(run: Reached, payload: bytes, queue: str, episode: int, expires: bool = True) -> bytes | None:
    """The same message, naming the latch of this episode; None (as it was) if it cannot be read here."""
    codec = run.broker.codec
    try:
        task = codec.decode(payload, queue)
        mark = (task.tags or {})[NAME]
    except Exception:
        return None
    task.tags = {**(task.tags or {}), NAME: {**mark, "e": episode}}
    task.run_count = 0
    if not expires:
        task.expires = None
    return codec.encode(task)


def open_gate(run: Reached, gate: str, value: Any) -> bool:
    """Open a gate: its value, and its arrivals, in one step; once."""
    plans = run.plans()
    node = plans[0].nodes.get(gate)
    if node is None or node["k"] != "gate":
        gates = ", ".join(name for name, one in plans[0].nodes.items() if one["k"] == "gate") or "none"
        raise ArgumentsError(f'flow {run.id} has no gate "{gate}"; its gates: {gates}')
    id, data = keys.task_id(run.id, gate), plans[0].data
    where = run.home, key_of(id)
    record = outcome_record(0, Outcome(SUCCESS, value), time.time(), 0.0)
    kept = Keep(where[1], run.broker.codec.pack(record, where), data["ttl"], keys.step_rank(data["started"], keys.YES))
    return run.apply(run.home, [kept, *_arrivals(node)], [When(where[1])]).done


def _arrivals(node: Mapping[str, Any]) -> list[Effect]:
    return [Arrive(*target) for target in node["a"]]
