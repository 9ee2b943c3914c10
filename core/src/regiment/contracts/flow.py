"""The extra `flow`: budgets and turns that a store counts in the very steps that lease and end, and keys that live as long as a task.

A store that keeps the extra says so in `Capabilities(extras=frozenset({"flow"}))`, and has the verbs of `Flowing` beside those of
`Connector`. Rules L1 to L12 and U1 to U4 are in `docs/guarantees.md`. A task pushed without a ticket stands in pool "" and lane "".
A queue that has never seen a ticket or a rule costs what it costs without this extra, byte for byte (L12).

*What runs* is what is leased (L1): it is counted up by the exchange that leases, and down by whatever ends the lease (a settlement,
`release`, taking back), in the same step. A lane belongs to its pool: "acme" in two pools is two lanes.

Tasks of a pool without a lane are in its lane "", which takes turns like the others, with weight 1; it has no spot and no rule. The spot
of pool "" is that of the queue: its numbers, budgets and gate are of the whole queue, its `weight` and `lanes` of pool "".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from regiment.contracts.store import Connector
from regiment.errors import QueueFull

FLOW = "flow"
"""The name of the extra."""
LONGEST_NAME = 64
"""Bytes of the longest name of a pool, a lane or a unique key, in UTF-8; `ValueError` for a longer one."""
FOREVER = float("inf")
"""Of a gate: closed until it is opened."""

Scope = Literal["queue", "pool", "lane"]
Spot = tuple[str, str]
"""What has a budget: a pool, and a lane of it: ("", "") names the queue, ("crm", "") the pool, ("crm", "acme") the lane."""


class Ticket(NamedTuple):
    """What a task is charged to. It lives with the task: through retries, returns, parking, taking back, dead letters and revival."""

    pool: str = ""
    lane: str = ""
    unique: str = ""
    """A key that only one task of the queue has at a time; empty: none (U1)."""
    until: Literal["done", "start"] | float = "done"
    """The key is free when the task is done or dead; when it is first leased (no return takes it again); or so many seconds after the
    push, whatever became of the task. Of a task that is dropped or purged it is free at once."""
    clash: Literal["keep", "replace", "later"] = "keep"
    """If the key is held: this task is left out; it takes the place of one that waits (U3); the same, due anew (debounce). What the
    new ticket says counts."""
    longest: float = 0.0
    """Seconds after the first push beyond which "later" puts nothing off; 0: no such end."""
    id: str = ""
    """The task's id: who asks for a held key is told it."""


class Rule(NamedTuple):
    """What a queue, a pool or a lane may have. None and 0: no limit."""

    at_once: int | None = None
    """Tasks that run."""
    rate: tuple[int, float] | None = None
    """Leases in so many seconds (GCRA, by the store's clock, L6). `Back` gives a lease's share back, nothing else does."""
    burst: int = 1
    """Leases that may come at once after a pause, of a rate."""
    weight: int = 1
    """Tasks of one turn: of a pool among pools, of a lane among the lanes of its pool (L3)."""
    waiting: int | None = None
    """Ready and delayed tasks. It bounds `admit` alone (L10)."""
    lanes: Rule | None = None
    """Of a pool: the rule of each of its lanes that has none of its own; it has no `lanes`."""


def as_rule(fields: Sequence[Any]) -> Rule:
    """For stores: the rule of these fields, with lists where there were tuples, as JSON makes them of one."""
    at_once, rate, burst, weight, waiting, lanes = fields
    return Rule(at_once, rate and (rate[0], rate[1]), burst, weight, waiting, lanes and as_rule(lanes))


class Met(NamedTuple):
    """What one payload of `admit` met."""

    index: int  # type: ignore[assignment]  # tuple.index is of no use here
    did: Literal["known", "kept", "replaced"]
    """Left out, for its id is known; left out, for its key is held; taken, in the place of the holder."""
    holder: str = ""
    """The id (`Ticket.id`) of the task that has the key, or was replaced. Empty if "known"."""
    state: str = ""
    """What it is, or was until it was replaced: "ready", "delayed" or "leased"; "ended" if its key outlives it. Empty if not known."""


class Standing(NamedTuple):
    """The state of a queue, a pool or a lane."""

    spot: Spot
    waiting: int = 0
    """Ready and delayed."""
    running: int = 0
    rule: Rule | None = None
    """The rule that holds: an operator's if there is one, else that of the code, else what its pool says of its lanes."""
    source: str = ""
    """Who made that rule: "code", or "operator"; empty for a lane that has the rule of its pool."""
    by: str = ""
    """As `rule` was given it."""
    gate: float = 0.0
    """Seconds until its gate opens, `FOREVER` if it waits for somebody; 0: open."""
    until_rate: float = 0.0
    """Seconds until its rate lets the next one go; 0: now, or no rate."""


@runtime_checkable
class Flowing(Connector, Protocol):
    """A connector with the extra `flow`.

    `exchange` leases the highest priority first; in a priority the pools that have something and may lease take turns, `weight`
    tasks each, and in a pool its lanes in the same way; in a lane the oldest goes first (L3). A turn goes on in the next exchange, of
    whichever consumer. In a batch of `limit` a turn is max(weight, limit // those that take turns there). A lane that comes to have
    something, or may lease again, goes behind those that take turns. What goes `Back`, or is given or taken back, stands in front of its
    lane. Who may not
    lease (at_once reached, rate, gate) is not looked at until the event that lets it (L2), and ready tasks that may not go are no
    reason to wake anybody: `wait` sleeps, and if a time is all that can change it, one waiting consumer of the queue is told it by
    `next_due`, and hands over when it leases (L8). Of a spot with `at_once` or `rate` a consumer never holds more than
    `Terms.slots` (L5). A queue that is paused is as one whose gate waits for somebody. Verbs that look (`peek`, `counts`, `look`) see what stands in lanes as ready.
    """

    def admit(
        self,
        queue: str,
        payloads: Sequence[bytes],
        tickets: Sequence[Ticket],
        *,
        priority: int,
        delay: float = 0.0,
        at: float | None = None,
        token: str,
        ids: Sequence[str] | None = None,
        id_window: float = 3600.0,
        token_window: float = 60.0,
    ) -> Sequence[Met]:
        """`push` with a ticket for each payload; what those met that met something. All is one step: within one call a later
        payload meets an earlier one of its key. A call with a `token` that was seen changes nothing and answers what the first
        answered. `QueueFull` (`too_many`), and nothing is taken, if a `waiting` would be exceeded; tasks that are left out or replace
        one add nothing to what waits. `ValueError` as `check_tickets` has it.

        A holder that waits is replaced: payload, id and the rest of the ticket but pool and lane are the new one's; count, note and parking
        start anew. Ready, it keeps its place and priority, also with "later"; delayed (for whatever reason), it gets the new priority, and
        the earlier of both times; with "later" the new time, but not after the first push + `longest`. While the holder runs, "replace" and
        "later" make a successor, a new task that met nothing; the next push replaces that one; "keep" leaves out as ever, and names the
        holder. The successor has the key when the holder's claim ends, or when it is leased itself, whichever comes first (one until
        "start" has no claim then, and the holder keeps its own). A holder that comes back meanwhile keeps the key, and both wait. Of a
        holder that has ended "replace" and "later" take the key over; that task is new and met nothing.

        A letter that is revived has its pool and lane. Its key until "done" it takes if that is free, else it stays a letter, and `revive`
        does not count it; keys until "start" or a time it does not take again.
        """

    def rule(self, queue: str, spot: Spot, rule: Rule | None, *, operator: bool = False, by: str = "") -> None:
        """Set the rule of the code, or the operator's, which stands above it (L11); None takes it away. It holds from the next
        exchange on: a raised one wakes who waits, a lowered one ends nothing. `by` is kept beside it, opaque, at most 200 bytes.
        `ValueError` as `check_rule` has it.
        """

    def gate(self, queue: str, spot: Spot, seconds: float | None) -> None:
        """Lease nothing of this spot for so long (`FOREVER`: until it is opened); None or 0 opens it. A later closing counts anew,
        but never opens earlier one that waits for somebody. `ValueError` as `check_spot` has it.
        """

    def flow(self, queue: str, spots: Sequence[Spot]) -> Sequence[Standing]:
        """How these spots stand, in this order; one that nobody knows has nothing."""

    def standings(
        self, queue: str, limit: int = 100, *, pool: str | None = None, after: Spot | None = None
    ) -> Sequence[Standing]:
        """Spots that have a rule of their own, a gate that is closed, something that waits or runs, sorted: the queue and its pools, or the
        lanes of a `pool`; from behind `after` on.
        """

    def recount(self, queue: str) -> Sequence[tuple[Spot, int, int]]:
        """Spots whose count of what waits or runs is not what is there, with the true numbers; puts them right. Empty, or there is a bug."""

    def ticket(self, queue: str, payload: bytes) -> Ticket | None:
        """The ticket of the first task with this payload that waits or runs; None if it has none. A verb for people, as those of `steer`."""


def check_spot(spot: Spot) -> None:
    """`ValueError` for a name that is too long."""
    for what, name in zip(("pool", "lane"), spot, strict=True):
        _check_name(what, name)


def check_tickets(payloads: Sequence[bytes], tickets: Sequence[Ticket], ids: Sequence[str] | None = None) -> None:
    """`ValueError` for tickets that no store takes."""
    for given, what in ((tickets, "tickets"), (ids, "ids")):
        if given is not None and len(given) != len(payloads):
            raise ValueError(f"{len(given)} {what} for {len(payloads)} payloads; expected one for each")
    for ticket in tickets:
        check_spot(ticket[:2])
        _check_name("unique key", ticket.unique)
        if ticket.clash not in ("keep", "replace", "later"):
            raise ValueError(f"clash is {ticket.clash!r}; expected 'keep', 'replace' or 'later'")
        if ticket.until not in ("done", "start") and (isinstance(ticket.until, str) or not 0 < ticket.until < FOREVER):
            raise ValueError(f"until is {ticket.until!r}; expected 'done', 'start' or seconds above 0")
        if not 0 <= ticket.longest < FOREVER:
            raise ValueError(f"longest is {ticket.longest!r}; expected seconds, or 0 for no such end")


def check_rule(spot: Spot, rule: Rule | None, by: str = "") -> None:
    """`ValueError` for a rule that no store takes."""
    check_spot(spot)
    if len(by.encode()) > 200:
        raise ValueError(f"by has {len(by.encode())} bytes; expected at most 200")
    for one in () if rule is None else (rule,) if rule.lanes is None else (rule, rule.lanes):
        if min(one.at_once or 0, one.waiting or 0) < 0 or min(one.weight, one.burst) < 1:
            raise ValueError(f"{one} is no rule; expected at_once and waiting from 0 on, weight and burst from 1 on")
        if one.rate is not None and not (one.rate[0] > 0 and 0 < one.rate[1] < FOREVER):
            raise ValueError(f"rate is {one.rate}; expected so many leases above 0, in so many seconds above 0")
        if one.lanes is not None and (one is not rule or spot[1]):
            raise ValueError("a lane has no lanes; expected `lanes` in the rule of a pool alone")


def too_many(queue: str, spot: Spot, limit: int, waits: int, more: int) -> QueueFull:
    """What `admit` raises: `more` would wait at this spot, where `waits` do."""
    where = f"queue {queue!r}"
    if spot[1]:
        where = f"lane {spot[1]!r} of pool {spot[0]!r} of {where}"
    elif spot[0]:
        where = f"pool {spot[0]!r} of {where}"
    return QueueFull(
        f"{where} may have {limit:,} tasks waiting; {waits:,} wait there, and {more:,} more were pushed; nothing was taken"
    )


def _check_name(what: str, name: str) -> None:
    if len(name.encode()) > LONGEST_NAME:
        raise ValueError(
            f"the name of a {what} has {len(name.encode())} bytes: {name[:20]}…; expected at most {LONGEST_NAME}"
        )
