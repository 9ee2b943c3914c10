"""The extra `effects`: what an attempt leaves behind, applied in the very step that settles it.

A store that keeps the extra says so in `Capabilities(extras=frozenset({"effects"}))`, and has the verbs of `Effective`
beside those of `Connector`. Rules E1 to E12 and V1 to V5 are in `docs/guarantees.md`.

A *place* is what one atomic step can reach: a store; in a Redis Cluster a slot; with several nodes a node. What belongs to
another place is kept with the settlement, in the same step (the outbox), and sent on by the connector that made the step
before it returns, and by every later `exchange`, `release` and `renew` of that queue (E8). A place that cannot be reached
delays nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

from regiment.contracts.flow import Ticket
from regiment.contracts.store import Connector, Settlement, Span, Taken

EFFECTS = "effects"
"""The name of the extra."""
MOST_MEMBERS = 4096
"""Members of one join."""
ANSWERED_VALUE = 4096
"""A mark of `heard` brings the record with it if its value has at most so many bytes (V5)."""


class Keep(NamedTuple):
    """Keep a record beside a queue: it is read by `records` and waited for by `follow`.

    A record with a higher rank stays as it is, one with the same or a lower rank is replaced, and its time to live counts
    anew (E11).
    """

    key: str
    value: bytes
    ttl: float | None
    """Seconds, by the store's clock; None: until it is dropped."""
    rank: int = 0
    """From 0 to 2**53 - 1."""
    listed: bool = False
    """True if `listed` names its key."""
    queue: str | None = None
    """None: the queue of the settlement, or of `apply`; in the `then` of a join, the queue of the join."""


class Send(NamedTuple):
    """Push, as `push` does, at the tail of `priority`; due in `delay` seconds or at time `at`.

    With `ids` (one for each payload) a payload whose id waits, runs or was pushed within the `id_window` is left out. A full
    queue takes them all the same: settling never stops.
    """

    queue: str
    payloads: Sequence[bytes]
    priority: int = 1
    delay: float = 0.0
    at: float | None = None
    ids: Sequence[str] | None = None
    id_window: float = 3600.0
    tickets: Sequence[Ticket] | None = None
    """One for each payload (extra `flow`). A payload whose key is held is left out, or takes the holder's place, as `admit` does;
    `waiting` bounds none."""


class Arrive(NamedTuple):
    """A member (from 0) has arrived at a join of `queue`. Arriving again changes nothing, nor how long the join is kept (E7).

    A number that is no member's, because it is not below the size of the join, completes nothing. Who arrives at a join that
    is not opened is remembered for a week.
    """

    queue: str
    join: str
    member: int


class Join(NamedTuple):
    """Open a join of `members` at `queue`; `then` is applied once, in the step in which the last of them arrives.

    It is a set of members, not a counter (E7). Who arrived before it was opened is in it. A join of none is complete as soon
    as it is opened. Opening it again, or one that is shut or complete, changes nothing. It is forgotten `ttl` seconds after
    it was opened or a member arrived last that had not before.
    """

    queue: str
    name: str
    members: int | None
    """At most `MOST_MEMBERS`; None: it is open, and complete only after a `Seal`."""
    then: Sequence[Keep | Send | Arrive]
    ttl: float


class Seal(NamedTuple):
    """Say how many members an open join has; once, later ones change nothing. It may come before the join is opened (E10)."""

    queue: str
    join: str
    members: int


class Shut(NamedTuple):
    """The join never completes from now on, also if it is opened later. On one that is complete: nothing.

    A join that is shut before it was opened is remembered for `ttl` seconds.
    """

    queue: str
    join: str
    ttl: float = 604_800.0


class Drop(NamedTuple):
    """Delete records. Absent ones do not matter."""

    keys: Sequence[str]
    queue: str | None = None
    """None: the queue of the settlement."""


Effect = Keep | Send | Join | Arrive | Seal | Shut | Drop


class Record(NamedTuple):
    """A record that is there. `version` grows with each step that keeps this key, and none comes back, not even after the
    record was dropped or has expired. Two records that one step keeps at one queue may have the same version.
    """

    value: bytes
    version: int
    rank: int = 0


class When(NamedTuple):
    """A condition of `apply`, on a record beside its queue: that its version is this; 0: that there is none."""

    key: str
    version: int = 0


class Applied(NamedTuple):
    """The answer of `apply`."""

    done: bool = True
    """False if a condition does not hold: then nothing was done."""
    left_out: Sequence[int] = ()
    """Indexes, over the payloads of all `Send` to `apply`'s own queue in order, of those whose id was known, or whose key was
    held (extra `flow`)."""
    version: int = 0
    """Version of the records that this step has kept at its own queue; 0 if it has kept none."""
    found: Mapping[str, Record | None] = MappingProxyType({})
    """If not `done`: what there is under the keys of `when`."""
    now: float = 0.0
    """The store's wall clock at this step, in seconds since the epoch; 0 if the store does not say it."""


class Tally(NamedTuple):
    """State of a join."""

    members: int | None
    """None if it has not been opened (a shell), or is open and not sealed."""
    arrived: int
    complete: bool
    shut: bool
    missing: Sequence[int] = ()
    """The first 100 members that have not arrived; empty while `members` is None."""


Followed = tuple[str, str]
"""A queue and the key of a record beside it."""


@runtime_checkable
class Effective(Connector, Protocol):
    """A connector with the extra `effects`."""

    def exchange(
        self,
        queue: str,
        consumer: str,
        turn: int,
        base: int,
        settlements: Sequence[Settlement],
        limit: int,
        max_bytes: int,
        holds_nothing: bool = False,
        *,
        effects: Mapping[int, Sequence[Effect]] = MappingProxyType({}),
    ) -> Taken:
        """As `Connector.exchange`. `effects` are those of receipts in `settlements`: they are applied in the same atomic
        step, after all is settled and before anything is leased, in the order of the receipts, if and only if that step
        takes the receipt from this consumer by `Done`, `Again` or `Dead` (E1). None for a receipt that is lost, settled
        before, `Back` or `Park`; none by a repeated turn (E6). A task that is sent to this queue may be leased by the same
        exchange. Without effects it sends the store what `Connector.exchange` sends.
        """

    def release(
        self,
        queue: str,
        consumer: str,
        done: Sequence[Span],
        suspects: Mapping[int, bytes],
        *,
        only: Span | None = None,
        close: bool = False,
        effects: Mapping[int, Sequence[Effect]] = MappingProxyType({}),
    ) -> None:
        """As `Connector.release`. `effects` are those of receipts in `done`, applied if this step settles them (E1)."""

    def apply(
        self,
        queue: str,
        effects: Sequence[Effect],
        *,
        token: str,
        token_window: float = 60.0,
        when: Sequence[When] = (),
    ) -> Applied:
        """Effects without a lease: all of them or none, in one atomic step at `queue`'s place, elsewhere by its outbox.

        A call with a `token` that was seen at this queue within `token_window` changes nothing and answers what the first
        answered, if that was `done`; a token whose call was not done counts for nothing. The step is as durable as a push.
        """

    def records(self, queue: str, keys: Sequence[str]) -> Sequence[Record | None]:
        """The records with these keys, in this order; None for one that is absent or has expired."""

    def listed(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[str]:
        """Keys of records kept with `listed`, the one that was kept last first; `after` (a key) continues behind that. None where
        that is listed no longer (dropped, over, kept without `listed`): where it stood is not known, and whoever goes page by
        page begins anew.
        """

    def tallies(self, queue: str, joins: Sequence[str]) -> Sequence[Tally | None]:
        """The states of these joins, in this order; None for one of which nothing is known."""

    def follow(self, keys: Mapping[Followed, int], seconds: float = 60.0) -> Mapping[Followed, Record]:
        """Register this connector for keys, and read them, in one step for each place (V1): the answer holds those records
        that are there with at least the rank given. For the others a mark is left for this connector when one is kept with
        at least that rank within `seconds`. Following again counts anew. A mark outlives the connection (V2).

        For a connector that was opened in the role `follow`; its marks are its own.
        """

    def heard(self, seconds: float, wake_fd: int | None = None) -> Mapping[Followed, Record | None] | None:
        """Sleep until something followed was kept, `wake_fd` is readable, or `seconds` have passed; what was kept, with its
        record, or None where that is to be read. A key that was heard is followed no longer. The answer None says: marks may
        have been lost, follow all again. A hint; it may return early with none. Does not read `wake_fd`.
        """
