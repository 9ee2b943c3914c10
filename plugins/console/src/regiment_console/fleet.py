"""Rules of `regiment doctor` that hold for every store: how fast it answers, and how its queues and their workers are."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from regiment.broker import extras
from regiment.build import make_codec
from regiment.config import WorkerConfig
from regiment.contracts import STEER, Connector, Counts, Examined, Finding, Terms
from regiment.errors import StoreError
from regiment.registry import registry
from regiment.task import Task
from regiment_cli.serving import Tree, counts_of, served_by, trees
from regiment_cli.text import age, many
from regiment_console import costs, hosts
from regiment_console.hosts import LOOKED_AT, each
from regiment_console.letters import reason_of
from regiment_console.pausing import paused_by
from regiment_console.seen import decoded
from regiment_console.steering import id_of, steered
from regiment_console.store import shown_name

State = Literal["ready", "delayed", "leased"]

ASKED = 20
"""Requests whose middle is taken for how fast a store answers."""
SLOW = 0.02
"""Seconds of a request from which on a store is slow: a worker waits for one at each exchange."""
OLD = 300.0
"""Seconds for which a ready task may wait where there are workers."""
LATELY = 3600.0
"""Seconds in which dead letters count as new."""
ALMOST = 0.9
"""Share of `dead_limit` from which on letters are nearly too many."""


def answers(store: Connector) -> Iterator[Finding]:
    """ST01, ST02 and ST04: whether a store answers, and how fast; that it has our layout, it has shown when it was opened."""
    taken = []
    try:
        for _ in range(ASKED):
            began = time.perf_counter()
            store.get("regiment:doctor")
            taken.append(time.perf_counter() - began)
    except StoreError as error:
        yield Finding(
            "ST01", "fail", f"the store does not answer: {error}", "start it, or name another: --connector URL"
        )
        return
    yield Finding("ST01")
    yield Finding("ST04")
    middle = sorted(taken)[ASKED // 2]
    if middle > SLOW:
        text = f"a request takes {middle * 1000:.0f} ms ({ASKED} tried), and each exchange of a worker waits that long"
        yield Finding("ST02", "warn", text, "use a store that is nearer, or a larger tasks_per_transaction")
    else:
        yield Finding("ST02")


def told(counts: Mapping[str, Counts], known: Sequence[Tree]) -> Iterator[Finding]:
    """What the rules find that look at counts and at what keepers announce, and ask the store nothing."""
    served, limit = served_by(known), Terms().dead_limit
    yield from hosts.told(counts, known)
    for name, one in counts.items():
        workers = served.get(name, (0, 0.0))
        found = nobody(name, one, workers[0]), old(name, one, workers), many_dead(name, one, limit)
        yield from (each for each in found if each is not None)


def asked_of(store: Connector, name: str, counts: Counts, known: Sequence[Tree]) -> Iterator[Finding]:
    """What the rules find that ask the store, of one queue; they ask nothing of a state in which nothing is."""
    limit = WorkerConfig(name="cli").payload_limit
    found = (
        died(store, name, counts),
        parked(store, name, counts, known),
        paused(store, name, counts),
        costs.largest(store, name, limit) if counts.ready or counts.delayed else None,
    )
    yield from (each for each in found if each is not None)
    yield from killers(store, name, counts)
    yield from hosts.unreadable(store, {name: counts}, known)
    yield from hosts.gone(store, name, known) if counts.leased else ()


def rules(asked: Examined) -> Iterator[Finding]:
    """F01 to F13, C05 and C06: of each queue of the store, and of those who serve it."""
    store = asked.store
    if store is None:
        return
    counts = counts_of(store, store.queues())
    known = trees(store)
    served = served_by(known)
    limits = {app.config.name: app.config.dead_limit for app in asked.targets.values()}
    yield from each("F01", (nobody(name, one, served.get(name, (0, 0.0))[0]) for name, one in counts.items()))
    yield from each("F03", (old(name, one, served.get(name, (0, 0.0))) for name, one in counts.items()))
    yield from each("F04", (died(store, name, one) for name, one in counts.items()))
    limit = Terms().dead_limit
    yield from each("F05", (many_dead(name, one, limits.get(name, limit)) for name, one in counts.items()))
    yield from each("F07", (found for name in counts for found in killers(store, name, counts[name])))
    yield from each("F06", (parked(store, name, one, known) for name, one in counts.items()))
    yield from each("F12", (paused(store, name, one) for name, one in counts.items()))
    yield from hosts.rules(store, counts, known)
    yield from costs.rules(asked, store)


def nobody(name: str, counts: Counts, workers: int) -> Finding | None:
    """F01: a queue has tasks, and no living worker."""
    if not counts.ready or workers or counts.paused:
        return None
    queue = shown_name(name)
    text = f'"{queue}" has {many(counts.ready, "ready task")}, the oldest {age(counts.oldest)}, and no living worker'
    return Finding("F01", "fail", text, f'start one: regiment run TARGET; delete them: regiment queues purge "{queue}"')


def old(name: str, counts: Counts, served: tuple[int, float]) -> Finding | None:
    """F03: tasks wait for long, although there are workers."""
    workers, rate = served
    if not workers or counts.oldest is None or counts.oldest < OLD:
        return None
    ends = (
        f"empty in {age(counts.ready / rate)} if nothing comes" if rate else "none of them has ended anything of late"
    )
    text = (
        f'"{shown_name(name)}": the oldest of {many(counts.ready, "ready task")} waits for {age(counts.oldest)}; '
        f"{many(workers, 'worker')}, {rate:,.1f}/s, {ends}"
    )
    return Finding("F03", "warn", text, "start more workers, or see what runs: regiment top")


def died(store: Connector, name: str, counts: Counts) -> Finding | None:
    """F04: tasks died of late."""
    if not counts.dead:
        return None
    letters = getattr(store, "reasons", store.dead)(name, LOOKED_AT)
    new = [letter for letter in letters if letter.at > time.time() - LATELY]
    if not new:
        return None
    kinds = Counter(
        (reason.get("error_type") or reason.get("kind"), reason.get("name")) for reason in map(reason_of, new)
    )
    (kind, task), number = kinds.most_common(1)[0]
    at_least = "at least " if len(new) == LOOKED_AT else ""
    text = f'"{shown_name(name)}": {at_least}{many(len(new), "task")} died in the last hour, {number:,} × {kind}'
    return Finding(
        "F04",
        "warn",
        text + (f" in {task}" if task else ""),
        f"regiment dead show {new[0].id}; all: regiment dead list --group",
    )


def many_dead(name: str, counts: Counts, limit: int) -> Finding | None:
    """F05: there are nearly as many dead letters as are kept."""
    if counts.dead < ALMOST * limit:
        return None
    text = f'"{shown_name(name)}" has {counts.dead:,} dead letters of at most {limit:,}: the oldest are deleted beyond that'
    return Finding("F05", "warn", text, f'regiment dead replay "{shown_name(name)}", or regiment dead purge')


def killers(store: Connector, name: str, counts: Counts) -> Iterator[Finding]:
    """F07: tasks that have ended workers."""
    states: Sequence[tuple[State, int]] = (
        ("ready", counts.ready),
        ("delayed", counts.delayed),
        ("leased", counts.leased),
    )
    for state, _ in filter(lambda each: each[1], states):
        for one in store.peek(name, state, LOOKED_AT):
            if one.count:
                text = f'"{shown_name(name)}": {_who(one.payload)} has ended {many(one.count, "worker")}'
                yield Finding("F07", "warn", text, "see its last end in the log (worker.crashed, worker.killed)")


def _who(payload: bytes) -> str:
    id = id_of(payload)
    return f"the task {id}" if id else "a task that cannot be read"


def parked(store: Connector, name: str, counts: Counts, known: Sequence[Tree] = ()) -> Finding | None:
    """F06: tasks that no living worker knows are put aside again and again, until they die."""
    if not counts.delayed or STEER not in extras(store):
        return None
    found = [one for one in steered(store, "F06").look(name, "delayed", LOOKED_AT).tasks if one.parked]
    if not found:
        return None
    longest = age(max(one.parked for one in found))
    codec = make_codec(WorkerConfig(name="cli"), registry())
    read = (decoded(one, name, codec) for one in found)
    tasks = Counter(task.name for task in read if isinstance(task, Task))
    what = (
        f", most of them {task!r} ({where(name, task, known)})"
        if (task := next((name for name, _ in tasks.most_common(1)), ""))
        else ""
    )
    text = f'"{shown_name(name)}": {many(len(found), "task")} parked, as no worker knows what they are{what}; the first for {longest}'
    return Finding("F06", "warn", text, "deploy what knows them; regiment tasks list --state parked says what they are")


def where(queue: str, task: str, known: Sequence[Tree]) -> str:
    """Who knows a task, of those that serve its queue and say so."""
    knowing = [tree.name for tree in known for one in tree.targets if one.queue == queue and task in (one.tasks or ())]
    return f"known on {', '.join(knowing)}" if knowing else "known nowhere"


def paused(store: Connector, name: str, counts: Counts) -> Finding | None:
    """F12: a queue is paused."""
    if not counts.paused:
        return None
    by = paused_by(store, name) if STEER in extras(store) else ""
    text = f'"{shown_name(name)}" is paused{by}, with {many(counts.ready, "ready task")}'
    return Finding("F12", "warn", text, f'regiment queues resume "{shown_name(name)}"')
