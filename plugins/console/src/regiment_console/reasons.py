"""Why a task does not run: one function for each reason, each a sentence if it applies."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from regiment.contracts import Board, Counts
from regiment.contracts.steer import LOOKED_AT, Seen, Steered
from regiment.errors import DecodeError
from regiment.task import Task
from regiment_cli.serving import Tree, lives, stands_still
from regiment_cli.text import age, many
from regiment_console.seen import moment, note_of, place_of
from regiment_console.steering import walk

MANY_CRASHES = 3
"""Ends of workers in an hour from which on they are a reason for what waits."""
YOUNG = 30.0
"""Seconds for which a lease may be older than the first record of the tree that holds it."""


class Facts(NamedTuple):
    """What is known of a task and of its queue."""

    store: Steered
    queue: str
    id: str
    board: Board
    counts: Counts
    served: Sequence[Tree]
    """The living trees that serve the queue."""
    trees: Sequence[Tree]
    """All living trees of the store."""
    acts: Sequence[tuple[float, Mapping[str, Any]]]
    """What was done to the queue, newest first, each with the time of day."""
    seen: Seen = Seen("", b"", "ready", 1)
    task: Task | DecodeError | None = None

    @property
    def waits(self) -> bool:
        """True if no worker has it."""
        return self.seen.state != "leased"

    @property
    def workers(self) -> int:
        """How many workers serve the queue."""
        return sum(tree.number(self.queue) for tree in self.served)

    def orders(self, tree: Tree) -> str | None:
        """What a tree is told, by its own name or by that of its host; the stronger order counts."""
        told = [self.board.orders[name] for name in tree.orders if name in self.board.orders]
        return "drain" if "drain" in told else next(iter(told), None)

    def by(self, what: str, id: str | None = None) -> str:
        """Who did that last, when and why, in words; empty if no account of it is kept."""
        for at, entry in self.acts:
            if entry["what"] == what and (id is None or id in entry.get("ids", ())):
                why = f": {entry['reason']}" if entry.get("reason") else ""
                return f" by {entry['who']} {age(max(0.0, time.time() - at))} ago{why}"
        return ""


def cancelled(facts: Facts) -> str | None:
    """Its id stands on the notice board."""
    if facts.id not in facts.board.cancelled:
        return None
    then = "it ends without a run when its turn comes" if facts.waits else "its worker is told to stop it"
    return f"cancelled{facts.by('cancel', facts.id)}; {then}"


def paused(facts: Facts) -> str | None:
    """Nothing of its queue is leased."""
    if not (facts.board.paused and facts.waits):
        return None
    return f'"{facts.queue}" is paused{facts.by("pause")}; regiment queues resume {facts.queue}'


def nobody(facts: Facts) -> str | None:
    """No worker that would take it lives."""
    if not facts.waits or facts.workers:
        return None
    return f'no living worker serves "{facts.queue}": regiment run'


def quiet(facts: Facts) -> str | None:
    """Every worker that would take it is told to lease nothing."""
    told = {tree.name: facts.orders(tree) for tree in facts.served}
    if not facts.waits or not told or not all(told.values()):
        return None
    words = sorted({str(order) for order in told.values()})
    by = next((text for word in words if (text := facts.by(word))), "")
    hosts = " ".join(dict.fromkeys(tree.host for tree in facts.served))
    what = f"all workers of its queue are told to {' or '.join(words)}{by}"
    return f"{what}: {', '.join(told)}; regiment workers resume {hosts}"


def halted(facts: Facts) -> str | None:
    """Every worker that would take it is here, and stands still."""
    pids = [pid for tree in facts.served for pid, queue in tree.workers.items() if queue == facts.queue]
    here = all(_here(tree.host[:20]) for tree in facts.served)
    if not facts.waits or not pids or not here or not all(map(stands_still, pids)):
        return None
    number = "the worker of its queue is" if len(pids) == 1 else f"all {len(pids)} workers of its queue are"
    return f"{number} stopped or traced; kill -CONT {' '.join(map(str, pids))}"


def crashing(facts: Facts) -> str | None:
    """The workers that would take it end all the time."""
    ends = Counter[str]()
    for tree in facts.served:
        for target in tree.targets:
            ends += Counter(target.ends) if target.queue == facts.queue else Counter()
    number = sum(ends[kind] for kind in ("crash", "oom", "hook", "memory"))
    if not facts.waits or number < MANY_CRASHES:
        return None
    return f"workers of its queue crashed {number:,} times in the last hour; regiment workers says how"


def parked(facts: Facts) -> str | None:
    """No worker that leased it knew what to do with it."""
    if not (facts.waits and facts.seen.parked):
        return None
    if isinstance(facts.task, DecodeError):
        what = f"it cannot be read here either: {facts.task}"
    else:
        tags = getattr(facts.task, "tags", None)
        name = getattr(facts.task, "name", "") or facts.queue
        what = f"the name {name!r}" + (f", or a plugin for its tags ({', '.join(tags)})" if tags else "")
        what = f"a worker lacks {what}"
        knowing = [
            tree.name
            for tree in facts.trees
            for one in tree.targets
            if one.queue == facts.queue and name in (one.tasks or ())
        ]
        told = [one for tree in facts.served for one in tree.targets if one.queue == facts.queue]
        what += f" (known on {', '.join(knowing)})" if knowing else " (known nowhere)" if told else ""
    when = f"; offered again in {age(facts.seen.due)}" if facts.seen.due > 0 else ""
    return f"parked for {age(facts.seen.parked)}: {what}{when}"


def struck(facts: Facts) -> str | None:
    """Runs of it ended workers, and it waits before the next."""
    if not (facts.waits and facts.seen.count):
        return None
    note = note_of(facts.seen)
    last = note.get("reason") or note.get("kind")
    why = f", the last time: {last}" if last else ""
    when = f"; runs again in {age(facts.seen.due)}" if facts.seen.due > 0 else ""
    return f"a run of it has ended its worker {times(facts.seen.count)}{why}{when}"


def alone(facts: Facts) -> str | None:
    """It is suspected of ending workers, and runs with no other task beside it."""
    if facts.seen.state != "ready" or not (note_of(facts.seen).get("kind") == "suspect" or facts.seen.count > 1):
        return None
    return "suspected of ending its workers: its last run is alone, when a worker has no other task"


def retried(facts: Facts) -> str | None:
    """It has failed, and waits for its next try."""
    runs = getattr(facts.task, "run_count", 0)
    if not (facts.waits and runs and not facts.seen.parked and not facts.seen.count):
        return None
    when = f" in {age(facts.seen.due)}" if facts.seen.due > 0 else ""
    return f"failed {times(runs)}: retry {runs}{when}"


def due(facts: Facts) -> str | None:
    """Its time has not come."""
    seen = facts.seen
    if seen.state != "delayed" or seen.due <= 0 or seen.parked or seen.count or getattr(facts.task, "run_count", 0):
        return None
    return f"due at {moment(time.time() + seen.due)}"


def overdue(facts: Facts) -> str | None:
    """Its time has come, and nobody has looked since."""
    if facts.seen.state != "delayed" or facts.seen.due > 0:
        return None
    return "it is due, and no worker has looked since; the next one that asks for a task makes it ready"


def expired(facts: Facts) -> str | None:
    """It will not be run any more."""
    expires = getattr(facts.task, "expires", None)
    if not facts.waits or expires is None or expires > time.time():
        return None
    return f"expired at {moment(expires)}: it ends without a run when its turn comes"


def behind(facts: Facts) -> str | None:
    """Others are before it, and so many workers end so many a second."""
    if facts.seen.state != "ready" or not facts.workers or facts.board.paused or quiet(facts) or halted(facts):
        return None
    before = higher = 0
    found = False
    for one in walk(facts.store, facts.queue, "ready"):
        if one.place == facts.seen.place or before >= LOOKED_AT:
            found = one.place == facts.seen.place
            break
        before += 1
        higher += one.priority < facts.seen.priority
    rate = sum(tree.rates.get(facts.queue, 0.0) for tree in facts.served)
    work = (
        f"; {many(facts.workers, 'worker')} {'has' if facts.workers == 1 else 'have'} {facts.counts.leased:,} on lease"
    )
    work += f", and ended {rate:,.1f} a second of late"
    if found and not before:
        return f"next to be leased{work}"
    number = many(before, "task") if found else f"more than {before:,} of {facts.counts.ready:,} tasks"
    above = f", {higher:,} of them of higher priority" if higher else ""
    turn = f": its turn in about {age(before / rate)}" if rate > 0.05 and found else ""
    return f"{number} before it{above}{work}{turn}"


def silent(facts: Facts) -> str | None:
    """Its worker is not seen any more."""
    place = _place(facts)
    if place is None:
        return None
    host, pid = place
    if _here(host):
        if lives(pid):
            return None
        return f"its worker {host}:{pid} has ended; it is given back within a second, or when the lease is over"
    known = any(tree.host[:20] == host and pid in tree.workers for tree in facts.trees)
    if known or (facts.seen.since is not None and facts.seen.since < YOUNG):
        return None
    return f"its worker {host}:{pid} is not seen, unless it has just started; what a lost host has comes back when the lease is over"


def stopped(facts: Facts) -> str | None:
    """Its worker does not go on."""
    place = _place(facts)
    if place is None or not _here(place[0]):
        return None
    return f"its worker {place[1]} is stopped or traced; its limits go on" if stands_still(place[1]) else None


def leased(facts: Facts) -> str | None:
    """A worker has it: it runs, or waits in the batch that the worker leased."""
    if facts.waits:
        return None
    seen = facts.seen
    who = "{}:{}".format(*place) if (place := _place(facts)) else seen.consumer
    mine = [one for one in walk(facts.store, facts.queue, "leased") if one.consumer == seen.consumer]
    before = sum((one.receipt or 0) < (seen.receipt or 0) for one in mine)
    since = "" if seen.since is None else f" for {age(seen.since)}"
    if not before:
        return f"on lease by {who}{since}, the first of its batch: it runs, or has just ended; regiment workers shows it there"
    return f"in the batch of {who}{since}, behind {before:,} others; goes back by itself if one of these is slow"


def _place(facts: Facts) -> tuple[str, int] | None:
    return place_of(facts.seen.consumer) if facts.seen.consumer else None


def _here(host: str) -> bool:
    return os.uname().nodename[:20] == host


def times(number: int) -> str:
    """once, twice, 3 times."""
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")


ALL: Sequence[Callable[[Facts], str | None]] = (
    *(
        cancelled,
        expired,
        paused,
        nobody,
        quiet,
        halted,
        crashing,
        parked,
        struck,
        alone,
        retried,
        due,
        overdue,
        behind,
    ),
    *(stopped, silent, leased),
)
"""Every reason, the one that explains most first."""


def reasons(facts: Facts, told: Sequence[str] = ()) -> list[str]:
    """All that apply, in their order; what plugins have told explains more than how many are before it."""
    found: list[str] = []
    for reason in ALL:
        found += told if reason is behind else ()
        text = reason(facts)
        found += () if text is None else (text,)
    return found
