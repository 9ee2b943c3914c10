"""The extra `steer`: what an operator's hand asks of a store. Look through a queue, change what waits, tell workers what to do,
and keep account of who did what.

A store that keeps the extra says so in `Capabilities(extras=frozenset({"steer"}))`, and has the verbs of `Steered` beside those
of `Connector`. They are verbs for people: they may cost what their answer is worth, but one call never stops a shared store
for longer than `STEP` tasks take, and none of them changes what a task costs that nobody looks at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from regiment.contracts.store import Board, Connector, Counts

STEER = "steer"
"""The name of the extra."""
LOOKED_AT = 10_000
"""Tasks that one call of `look` goes through at most."""
STEP = 500
"""Tasks that one blocking step of a shared store goes through at most."""
MOST_NOTICES = 10_000
"""Ids that stand on the board of one queue at most; `post` refuses more with `StoreError`."""
NOTICE_AGE = 30 * 86_400.0
"""Seconds after which a cancelled id is taken off the board."""
MOST_ACTS = 10_000
"""Acts that are kept for one queue; the oldest go first."""
ACT_AGE = 90 * 86_400.0
"""Seconds for which an act is kept."""
ACT_SIZE = 4096
"""Bytes of the largest act; `act` refuses more with `ValueError`."""


class Seen(NamedTuple):
    """A task seen without leasing it."""

    place: str
    """Names this task as long as it is in this state, for `steer`; opaque, and never that of another task."""
    payload: bytes
    state: Literal["ready", "delayed", "leased"]
    priority: int
    due: float = 0.0
    """Seconds until it is due; 0 if it is not delayed."""
    since: float | None = None
    """Seconds since it was pushed, came back or was leased, whichever was last; None if the store does not know."""
    count: int = 0  # type: ignore[assignment]  # tuple.count is of no use here
    """How often a run of it ended its worker."""
    note: bytes | None = None
    """As `Delivery.note`."""
    parked: float = 0.0
    """Seconds since it was first parked; 0 if it never was."""
    consumer: str | None = None
    """Who has it on lease."""
    receipt: int | None = None
    """Under which receipt; None if it is not leased."""


class Glance(NamedTuple):
    """One look through a queue."""

    tasks: Sequence[Seen]
    after: str | None = None
    """Where the next look goes on; None if this was the end. A look may find nothing and still not be at the end."""


class Act(NamedTuple):
    """What somebody did to a queue."""

    id: str
    """For `acts(after=)`."""
    at: float
    """The store's wall clock, in seconds since the epoch."""
    entry: bytes
    """A JSON object; opaque to the store."""


@runtime_checkable
class Steered(Connector, Protocol):
    """A connector with the extra `steer`."""

    def look(
        self,
        queue: str,
        state: Literal["ready", "delayed", "leased"],
        limit: int = 100,
        *,
        after: str | None = None,
        holding: bytes = b"",
    ) -> Glance:
        """The tasks of a state in the order in which they would run (leased ones: by consumer and receipt), from behind
        `after` on: at most `limit` of them, after going through at most `LOOKED_AT`. With `holding` only those whose payload
        holds these bytes. A task that stays where it is while somebody goes through the whole queue is seen exactly once.
        A queue nobody knows has none. Changes nothing.
        """

    def steer(
        self,
        queue: str,
        places: Sequence[str],
        *,
        drop: bool = False,
        priority: int | None = None,
        delay: float | None = None,
    ) -> Sequence[str]:
        """Change tasks that wait: delete them (`drop`, as if they had never been pushed: their ids are free), or give them
        another `priority`, at its tail, or another time, `delay` seconds from now (0: ready at the tail of their priority). Count,
        note and parking stay as they are. Returns the places at which this was done; the others are leased, gone or moved by now, and
        nothing was done to them. Each is changed in one atomic step, so that either a worker or this verb has it. Wakes
        who waits. A repeat is harmless. `ValueError` if it says neither what to delete nor what to change, or both.
        """

    def counts_many(self, queues: Sequence[str]) -> Sequence[Counts]:
        """`counts` of these queues, in this order, in as few requests as the store allows."""

    def board(self, queue: str) -> Board:
        """As `Connector.board`, with the orders."""

    def post(
        self,
        queue: str,
        *,
        paused: bool | None = None,
        cancel: Iterable[str] = (),
        clear: Iterable[str] = (),
        orders: Mapping[str, str | None] = MappingProxyType({}),
    ) -> int:
        """As `Connector.post`. `orders` says whom to tell what: `host:NAME` or `tree:HOST:PID` to `quiet` (lease nothing more) or
        `drain` (that, and end when nothing runs); None takes the order back. At most `MOST_NOTICES` ids, none older than `NOTICE_AGE`.
        """

    def act(self, queue: str, entry: bytes, *, token: str) -> None:
        """Keep account of an act. A call with a `token` that the queue's acts hold already changes nothing. An act makes no queue exist."""

    def acts(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[Act]:
        """What was done to the queue, newest first; `after` (an act's id) continues behind that."""
