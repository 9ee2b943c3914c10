"""What people do to a flow that runs: cancel it, run again what has failed, open a gate, look after what a fail-over lost.

Each is a row of steps of the store; whoever dies between two of them repeats the whole, and it is as if it was done once.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from regiment.contracts import Arrive, Effect, Join, Keep, Letter, Send, Shut, When
from regiment.errors import ArgumentsError
from regiment.outcome import SUCCESS, Outcome
from regiment_results.records import FINAL, key_of, outcome_record, rank_of
from regiment_workflows import keys
from regiment_workflows.errors import FlowError
from regiment_workflows.keys import CHUNK, NAME
from regiment_workflows.plans import Plan
from regiment_workflows.starting import apply, ask

if TYPE_CHECKING:
    from regiment_workflows.runs import Run

BULK = 500


def cancel(run: Run[Any]) -> bool:
    """Cancel a flow (W9): at home first, in one step; then the other joins, and a mark at each of its queues."""
    state = run.look()
    if state is None:
        raise FlowError(f"nothing is known of flow {run.id} at queue {run.home}")
    if state.rank == keys.SUCCESS:
        return False
    plans = run.plans()
    ttl, keep = plans[0].data["ttl"], plans[0].data["keep"]
    first: list[Effect] = [Shut(run.home, keys.end_join(run.id), ttl)]
    first += [Shut(run.home, keys.latch(run.id, one), ttl) for one in range(1, _episode(run) + 1)]
    told = json.dumps({"state": "cancelled", "at": time.time()}).encode()
    first.append(Keep(keys.flow_key(run.id), told, max(keep, ttl), keys.CANCELLED, True))
    apply(run.broker, run.home, first)
    after = run.look()
    if after is not None and after.rank == keys.SUCCESS:
        return False  # it had ended just before
    for queue in sorted({queue for plan in plans for queue in plan.data["queues"]}):
        apply(run.broker, queue, [Keep(keys.cancelled_key(run.id), b"1", ttl)])
    for plan in plans:
        for node in plan.nodes.values():
            shut = [node["j"]] if node["j"] else []
            shut += [[node["q"], keys.join(run.id, node["n"])]] if node["k"] == "group" else []
            for queue, join in shut:
                apply(run.broker, queue, [Shut(queue, join, ttl)])
    return True


def _episode(run: Run[Any]) -> int:
    """The episode of the flow: each retry begins one, with a latch of its own. The first whose latch is not complete."""
    for at in range(1, 10_000, 100):
        tallies = run.tallies(run.home, [keys.latch(run.id, one) for one in range(at, at + 100)])
        for number, tally in enumerate(tallies, at):
            if tally is None or not tally.complete:
                return number
    raise FlowError(f"flow {run.id} was retried 10,000 times")


def retry(run: Run[Any], step: str | None = None) -> int:
    """Revive the dead letters of the failed steps, which then name a latch of their own (W10); nothing is dropped. The
    version of the failure that is passed over.
    """
    state = run.look()
    if state is None or state.rank not in (keys.FAILED, keys.RUNNING):
        how = "is not known" if state is None else f"is {keys.STATES.get(state.rank, 'over')}"
        raise FlowError(f"flow {run.id} {how}; only one that has failed, or runs with failed steps, can be retried")
    plans = run.plans()
    names = [node for plan in plans for node in plan.nodes.values() if step is None or node["n"] == step]
    if not names:
        there = ", ".join(name for plan in plans for name in plan.nodes)
        raise FlowError(f'flow {run.id} has no step "{step}"; it has {there}')
    episode = _episode(run)
    payloads = _payloads(run)
    latch = Join(run.home, keys.latch(run.id, episode), 1, _told(run, payloads, episode), plans[0].data["ttl"])
    apply(run.broker, run.home, [latch])
    revived = sum(_revive(run, node, episode, payloads) for node in names)
    if not revived:
        raise FlowError(
            f"flow {run.id}: nothing that has failed can run again: there are no dead letters of its steps (they were dropped, "
            f"or are on their way already)"
        )
    return state.version if state.rank == keys.FAILED else 0


def _payloads(run: Run[Any]) -> dict[str, list[Any]]:
    record = run.records(run.home, [keys.payloads_key(run.id)])[0]
    return {} if record is None else json.loads(record.value)


def _told(run: Run[Any], payloads: Mapping[str, list[Any]], episode: int) -> list[Send]:
    """What is pushed if the flow fails in this episode, too."""
    if "!" not in payloads:
        return []
    queue, priority, text, delay = payloads["!"]
    task = run.broker.codec.decode(base64.b64decode(text), queue)
    task.id = keys.task_id(run.id, f"!{episode}")
    return [Send(queue, [run.broker.codec.encode(task)], priority, delay)]


def _revive(run: Run[Any], node: Mapping[str, Any], episode: int, payloads: Mapping[str, list[Any]]) -> int:
    """Run again what has failed of a node; how many that were."""
    queue, found = node["q"], 0
    for id in _failed(run, node):
        letters: Sequence[Letter] = ask(run.broker, partial(_letters, queue, id))
        if letters:
            new = _renamed(run, letters[0].payload, queue, episode)
            found += ask(run.broker, partial(_revive_one, queue, letters[0].id, new))
        elif node["n"] in payloads and _ended_unrun(run, queue, id):
            _, priority, text, delay = payloads[node["n"]]
            again = _renamed(run, base64.b64decode(text), queue, episode, expires=False)
            if again is not None:
                apply(run.broker, queue, [Send(queue, [again], priority, delay, ids=[id], id_window=0.001)])
                found += 1
    return found


def _letters(queue: str, id: str, store: Any) -> Any:
    return store.letters(queue, id)


def _revive_one(queue: str, letter: str, payload: bytes | None, store: Any) -> int:
    revived: int = store.revive(queue, {letter: payload})
    return revived


def _ended_unrun(run: Run[Any], queue: str, id: str) -> bool:
    """Whether a step has no dead letter because it never ran."""
    ended = run.ended(queue, id)
    return ended is not None and ended.kind in ("expired", "cancelled")


def _failed(run: Run[Any], node: Mapping[str, Any]) -> Iterator[str]:
    """The ids of what has failed of a node."""
    if node["k"] == "step":
        id = keys.task_id(run.id, node["n"])
        ended = run.ended(node["q"], id)
        if ended is not None and not ended.success:
            yield id
    elif node["k"] == "group":
        for chunk, tally in run.chunks(node):
            if tally is None or tally.complete or not tally.missing:
                continue
            size = tally.members or 0
            every = range(size) if len(tally.missing) >= 100 else tally.missing
            ids = [keys.task_id(run.id, node["n"], chunk * CHUNK + one) for one in every]
            for at in range(0, len(ids), BULK):
                part = ids[at : at + BULK]
                records = run.records(node["q"], [key_of(id) for id in part])
                for id, record in zip(part, records, strict=True):
                    ended = None if record is None or record.rank < FINAL else run.ended(node["q"], id)
                    if ended is not None and not ended.success:
                        yield id


def _renamed(run: Run[Any], payload: bytes, queue: str, episode: int, expires: bool = True) -> bytes | None:
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


def open_gate(run: Run[Any], gate: str, value: Any) -> bool:
    """Open a gate: its value, and its arrivals, in one step; once."""
    plans = run.plans()
    node = plans[0].nodes.get(gate)
    if node is None or node["k"] != "gate":
        gates = ", ".join(name for name, one in plans[0].nodes.items() if one["k"] == "gate") or "none"
        raise ArgumentsError(f'flow {run.id} has no gate "{gate}"; its gates: {gates}')
    id, data = keys.task_id(run.id, gate), plans[0].data
    where = run.home, key_of(id)
    record = outcome_record(0, Outcome(SUCCESS, value), time.time(), 0.0)
    kept = Keep(where[1], run.broker.codec.pack(record, where), data["ttl"], rank_of(data["started"]) + 1)
    return apply(run.broker, run.home, [kept, *_arrivals(node)], [When(where[1])]).done


def _arrivals(node: Mapping[str, Any]) -> list[Effect]:
    return [Arrive(*target) for target in node["a"]]


def tend(run: Run[Any]) -> int:
    """Do again what a store has lost (W11): arrivals of what has a record, and steps whose join is complete and that are nowhere."""
    state = run.look()
    if state is None or state.rank != keys.RUNNING:
        return 0
    done, payloads = 0, _payloads(run)
    for plan in run.plans():
        for node in plan.nodes.values():
            if node["k"] == "group":
                done += _tend_group(run, node)
            else:
                done += _tend_step(run, plan, node, payloads)
    return done


def _tend_group(run: Run[Any], node: Mapping[str, Any]) -> int:
    done, queue = 0, node["q"]
    for chunk, tally in run.chunks(node):
        if tally is None or tally.shut:
            continue
        if tally.complete:
            whole = run.tallies(queue, [keys.join(run.id, node["n"])])[0]
            if whole is not None and not whole.complete and chunk in whole.missing:
                apply(run.broker, queue, [Arrive(queue, keys.join(run.id, node["n"]), chunk)])
                done += 1
            continue
        ids = [keys.task_id(run.id, node["n"], chunk * CHUNK + one) for one in tally.missing]
        there = [one for one, id in zip(tally.missing, ids, strict=True) if _arrives(node, run.ended(queue, id))]
        if there:
            apply(run.broker, queue, [Arrive(queue, keys.chunk_join(run.id, node["n"], chunk), one) for one in there])
            done += len(there)
    whole = run.tallies(queue, [keys.join(run.id, node["n"])])[0]
    if whole is not None and whole.complete:
        done += _arrive_again(run, node)
    return done


def _arrives(node: Mapping[str, Any], ended: Any) -> bool:
    """Whether an end is one that arrives."""
    if ended is None or ended.lack[:1] == ("piece",):
        return False
    return bool(ended.success) or node["p"] != "fail"


def _arrive_again(run: Run[Any], node: Mapping[str, Any]) -> int:
    """Arrivals that are missing at the joins of those who wait for it."""
    lost = []
    for queue, join, member in node["a"]:
        tally = run.tallies(queue, [join])[0]
        if tally is not None and not tally.complete and not tally.shut and member in tally.missing:
            lost.append((queue, join, member))
    for target in lost:
        apply(run.broker, target[0], [Arrive(*target)])
    return len(lost)


def _tend_step(run: Run[Any], plan: Plan, node: Mapping[str, Any], payloads: Mapping[str, list[Any]]) -> int:
    id = keys.task_id(run.id, node["n"])
    ended = run.ended(node["q"], id)
    if ended is not None:
        if ended.success and ended.lack[:1] == ("piece",):
            return 0
        return _arrive_again(run, node) if ended.success or node["p"] == "continue" else 0
    if node["k"] == "gate" or node["n"] not in payloads:
        return 0
    if node["j"]:
        waits = run.tallies(node["j"][0], [node["j"][1]])[0]
        if waits is None or not waits.complete:
            return 0
    queue, priority, text, delay = payloads[node["n"]]
    sent: Sequence[int] = apply(
        run.broker, queue, [Send(queue, [base64.b64decode(text)], priority, delay, ids=[id])]
    ).left_out
    return 0 if sent else 1
