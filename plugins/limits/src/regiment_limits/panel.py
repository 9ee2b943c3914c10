"""The dashboard's page of limits: each budget with who holds it and who waits for it, unique keys with their holders; and pause, resume."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from regiment.codec import read_head
from regiment.contracts import FOREVER, Flowing, Spot, Standing
from regiment.errors import DecodeError, RegimentError
from regiment_cli.panels import Act, Asked, Done
from regiment_limits.budgets import in_words
from regiment_limits.later import written
from regiment_limits.reasons import closed
from regiment_limits.ruling import pools

MOST_LANES = 20
"""Lanes of a pool that are shown: the fullest."""
LOOKED = 1000
"""Lanes of a pool among which they are looked for."""
MOST_TASKS = 50
"""Tasks of a queue that run, and as many that are ready, of which it is shown what they hold and wait for."""
MANY = 20
"""Queues from which on those without a limit are not looked into for unique tasks: that asks for each task that waits there."""
NAMED = 3
"""Ids that are named beside a number."""


class Member(NamedTuple):
    """A task that holds something, or waits for it."""

    id: str
    state: str
    spots: tuple[Spot, ...]
    unique: str


class Line(NamedTuple):
    """A queue, a pool or a lane, as the page shows it."""

    what: str
    spot: Spot
    limits: str
    by: str
    running: int
    most: int | None
    """How many may run at once; None: any number."""
    waiting: int
    gate: str
    """Why nothing of it may go now; empty if something may."""
    paused: bool
    holders: list[str]
    waiters: list[str]


class LimitsPage:
    """What `regiment limits` says, as a page."""

    templates = Path(__file__).parent / "templates"

    def __init__(self) -> None:
        self.acts: Mapping[str, Act] = {"pause": _pause, "resume": _resume}

    def show(self, asked: Asked) -> tuple[str, Mapping[str, Any]]:
        """The queues that have limits or unique tasks; with `queue` only that one."""
        with asked.broker.connector() as connector:
            store = cast("Flowing", connector)
            queues = [wanted] if (wanted := asked.values.get("queue")) else asked.queues
            every = len(queues) < MANY
            found = {queue: _queue(store, queue, every) for queue in queues}
        shown = {queue: one for queue, one in found.items() if one["lines"] or one["unique"]}
        return "limits.html", {"queues": shown, "most": MOST_TASKS, "every": every}


def _queue(store: Flowing, queue: str, every: bool) -> dict[str, Any]:
    """Its budgets, and its unique tasks: if it has no limit, only with `every`."""
    spots = list(pools(store, queue))
    limited = any(one.rule is not None or one.gate > 0 or one.spot != ("", "") for one in spots)
    if not (limited or every):
        return {"lines": [], "unique": []}
    standings = [each for one in spots for each in (one, *_lanes(store, queue, one))]
    limited = limited or any(one.spot != ("", "") for one in standings)
    members = list(_members(store, queue)) if standings else []
    unique = [one for one in members if one.unique]
    return {"lines": [_line(one, members) for one in standings] if limited else [], "unique": unique}


def _lanes(store: Flowing, queue: str, pool: Standing) -> list[Standing]:
    """The fullest lanes of a pool."""
    lanes = store.standings(queue, LOOKED, pool=pool.spot[0])
    return sorted(lanes, key=lambda one: (-one.waiting, -one.running, one.spot))[:MOST_LANES]


def _members(store: Flowing, queue: str) -> Iterator[Member]:
    for state in ("leased", "ready"):
        for one in store.peek(queue, state, MOST_TASKS):
            ticket = store.ticket(queue, one.payload)
            try:
                id = read_head(one.payload).task_id
            except DecodeError:
                id = "?"
            if ticket is None:
                yield Member(id, state, (("", ""),), "")
            else:
                spots = (("", ""), (ticket.pool, ""), (ticket.pool, ticket.lane))
                yield Member(id, state, tuple(dict.fromkeys(spots)), ticket.unique)


def _line(one: Standing, members: list[Member]) -> Line:
    of = {state: [m.id for m in members if m.state == state and one.spot in m.spots] for state in ("leased", "ready")}
    most = None if one.rule is None else one.rule.at_once
    return Line(
        written(one.spot),
        one.spot,
        in_words(one.rule),
        f"an operator, {one.by}" if one.source == "operator" else one.source,
        one.running,
        most,
        one.waiting,
        "; ".join(closed(one)),
        one.gate > 0,
        of["leased"][:NAMED],
        of["ready"][:NAMED],
    )


def _of(asked: Asked) -> tuple[str, Spot, str]:
    queue, pool, lane = asked.values["queue"], asked.values.get("pool"), asked.values.get("lane")
    if pool is None or lane is None:
        raise RegimentError("nothing was done: expected the fields pool and lane, both empty for the queue itself")
    return queue, (pool, lane), f'{written((pool, lane))} of "{queue}"'


def _gate(asked: Asked, seconds: float | None) -> Done:
    queue, spot, what = _of(asked)
    with asked.broker.connector() as connector:
        store = cast("Flowing", connector)
        before = store.flow(queue, [spot])[0].gate
        if seconds is None and not before:
            return Done(f"{what} is not paused", changed=False)
        if seconds is not None and before == FOREVER:
            return Done(f"{what} is paused already", changed=False)
        store.gate(queue, spot, seconds)
    said = f"resumed {what}" if seconds is None else f"paused {what}: nothing more of it starts"
    return Done(said, written(spot))


def _pause(asked: Asked) -> Done:
    return _gate(asked, FOREVER)


def _resume(asked: Asked) -> Done:
    return _gate(asked, None)


page = LimitsPage()
