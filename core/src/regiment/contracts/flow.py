"""The extra `flow`: budgets and turns that a store counts in the very steps that lease and end, and keys that live as long as a task.

A store that keeps the extra says so in `Capabilities(extras=frozenset({"flow"}))`, and has the verbs of `Flowing` beside those of
`Connector`. Rules L1 to L12 and U1 to U4 are in `docs/limits.md`. A task pushed without a ticket stands in pool "" and lane "".
A queue that has never seen a ticket or a rule costs what it costs without this extra, byte for byte (L12).

*What runs* is what is leased (L1): it is counted up by the exchange that leases, and down by whatever ends the lease (a settlement,
`release`, taking back), in the same step. A lane belongs to its pool: "acme" in two pools is two lanes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from regiment.contracts.store import Connector

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
    """The key is free when the task is done, dead, dropped or purged; when it is first leased; or so many seconds after the push."""
    clash: Literal["keep", "replace", "later"] = "keep"
    """If the key is held: this task is left out; it takes the place of one that waits (U3); the same, due anew (debounce)."""
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
    """Of a pool: the rule of each of its lanes that has none of its own."""


class Met(NamedTuple):
    """What one payload of `admit` met."""

    index: int  # type: ignore[assignment]  # tuple.index is of no use here
    did: Literal["known", "kept", "replaced"]
    """Left out, for its id is known; left out, for its key is held; taken, in the place of the holder."""
    holder: str = ""
    """The id of the task that has the key, or had it until it was replaced."""
    state: str = ""
    """What the holder is: "ready", "delayed" or "leased"; "ended" if its key outlives it. Empty if not known."""


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
    tasks each, and in a pool its lanes in the same way; in a lane the oldest goes first (L3). In a batch of `limit` a turn is
    max(weight, limit // lanes that take turns). What goes `Back`, or is taken back, stands in front of its lane. Who may not
    lease (at_once reached, rate, gate) is not looked at until the event that lets it (L2), and ready tasks that may not go are no
    reason to wake anybody: `wait` sleeps, and if a time is all that can change it, one waiting consumer of the queue is told it by
    `next_due`, and hands over when it leases (L8). Of a spot with `at_once` or `rate` a consumer never holds more than
    `Terms.slots` (L5). Verbs that look (`peek`, `counts`, `look`) see what stands in lanes as ready.
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
        answered. `QueueFull`, and nothing is taken, if a `waiting` would be exceeded; it names the spot, its limit, and what waits.

        A holder that waits is replaced: payload, id and the rest of the ticket but pool and lane are the new one's. Ready, it keeps its place;
        delayed, it gets the new priority, and the earlier of both times; with "later" the new time, but not after the first push + `longest`.
        While the holder runs, one successor may wait for its key: the next push replaces that one; "keep" leaves out as ever.
        """

    def rule(self, queue: str, spot: Spot, rule: Rule | None, *, operator: bool = False, by: str = "") -> None:
        """Set the rule of the code, or the operator's, which stands above it (L11); None takes it away. It holds from the next
        exchange on: a raised one wakes who waits, a lowered one ends nothing. `by` is kept beside it, opaque, at most 200 bytes.
        """

    def gate(self, queue: str, spot: Spot, seconds: float | None) -> None:
        """Lease nothing of this spot for so long (`FOREVER`: until it is opened); None or 0 opens it. A later closing counts anew,
        but never opens earlier one that waits for somebody.
        """

    def flow(self, queue: str, spots: Sequence[Spot]) -> Sequence[Standing]:
        """How these spots stand, in this order; one that nobody knows has nothing."""

    def standings(
        self, queue: str, limit: int = 100, *, pool: str | None = None, after: Spot | None = None
    ) -> Sequence[Standing]:
        """Spots that have a rule, a gate, something that waits or runs, sorted: the queue and its pools, or the lanes of a `pool`; from
        behind `after` on.
        """

    def recount(self, queue: str) -> Sequence[tuple[Spot, int, int]]:
        """Spots whose count of what waits or runs is not what is there, with the true numbers; puts them right. Empty, or there is a bug."""

    def ticket(self, queue: str, payload: bytes) -> Ticket | None:
        """The ticket of the first task with this payload that waits or runs; None if it has none. A verb for people, as those of `steer`."""
