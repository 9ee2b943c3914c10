"""The contract of a store: what a connector must do, what it receives and what it returns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

Role = Literal["push", "lease", "keep", "look", "duty", "follow"]
"""Why a connector is opened: to push (fully durable), to lease and settle, to renew for other processes, only to look, for a duty,
to wait for records (asked only of a store with the extra `effects`)."""

Span = tuple[int, int]
"""First and last receipt of a closed range."""


class Delivery(NamedTuple):
    """A task on lease."""

    receipt: int
    payload: bytes
    count: int = 0  # type: ignore[assignment]  # tuple.count is of no use here
    """How often a run of this delivery ended its worker."""
    note: bytes | None = None
    """What `release` noted about the last such end; opaque to the store."""
    parked: float = 0.0
    """Seconds since the delivery was first parked; 0 if it never was."""


class Done(NamedTuple):
    """Finished: forget every receipt from `first` to `last`."""

    first: int
    last: int


class Back(NamedTuple):
    """As if never leased: in front, with priority, order, count and note unchanged."""

    first: int
    last: int


class Again(NamedTuple):
    """A new try: `payload` replaces the old one, count starts anew, note and parking end; due in `delay` seconds."""

    receipt: int
    payload: bytes
    delay: float = 0.0
    priority: int | None = None
    """None keeps the priority that the delivery has."""


class Park(NamedTuple):
    """Put aside unchanged, due again in `delay` seconds; the time of the first parking is kept."""

    receipt: int
    delay: float


class Dead(NamedTuple):
    """Failed for good: becomes a dead letter."""

    receipt: int
    task_id: str
    reason: bytes
    """A JSON object; opaque to the store."""
    payload: bytes | None = None
    """None keeps the payload as it is stored."""


Settlement = Done | Back | Again | Park | Dead


class Taken(NamedTuple):
    """The answer of an exchange."""

    lost: Sequence[int] = ()
    """Receipts in the settlements that this consumer does not hold, or no longer holds; the store did nothing for them.
    A receipt that `release` settled for the same consumer is not lost when it is settled again."""
    deliveries: Sequence[Delivery] = ()
    next_due: float | None = None
    """Seconds until a delayed task is due or another consumer is overdue, whichever comes first; None if neither is
    known. Required only if nothing was leased, because only then the worker waits for it.
    """
    board: int = 0
    """Version of the queue's notice board."""


class Terms(NamedTuple):
    """What a consumer asks of its queue when it joins. All periods in seconds."""

    lease: float = 30.0
    poison_delays: Sequence[float] = (0.0, 1.0, 5.0, 25.0, 125.0)
    """Delay of the n-th redelivery after a run that ended its worker; the last one repeats."""
    dead_limit: int = 100_000
    dead_age: float = 90 * 86_400.0
    id_window: float = 3600.0
    token_window: float = 60.0
    delivery: str = "at_least_once"
    """With "at_most_once", claims and settlements must be as durable as a push."""
    slots: int = 1
    """Tasks that this consumer runs at a time (extra `flow`)."""


class Counts(NamedTuple):
    """How many tasks of a queue are in each state; `oldest` is the age in seconds of the oldest ready task."""

    ready: int = 0
    delayed: int = 0
    leased: int = 0
    dead: int = 0
    oldest: float | None = None
    consumers: int = 0
    paused: bool = False


class Peeked(NamedTuple):
    """A task seen without leasing it."""

    payload: bytes
    state: Literal["ready", "delayed", "leased"]
    priority: int
    due: float = 0.0
    """Seconds until it is due; 0 if it is not delayed."""
    count: int = 0  # type: ignore[assignment]  # tuple.count is of no use here
    consumer: str | None = None


class Letter(NamedTuple):
    """A dead letter. `at` is the store's wall clock when it died (seconds since the epoch)."""

    id: str
    task_id: str
    payload: bytes
    reason: bytes
    at: float
    priority: int


class Board(NamedTuple):
    """A queue's notice board. Every change adds one to `version`; a queue without notices has version 0."""

    version: int = 0
    paused: bool = False
    cancelled: frozenset[str] = frozenset()
    orders: Mapping[str, str] = MappingProxyType({})
    """What hosts and trees are told (extra `steer`)."""


class Capabilities(NamedTuple):
    """What a connector can do; the start refuses a configuration that needs more."""

    shared: bool = True
    """True if several processes may use one store."""
    durable: bool = True
    """True if pushed tasks survive the end of every process here."""
    max_payload: int | None = None
    """Bytes of the largest payload it takes; None: no limit."""
    extras: frozenset[str] = frozenset()
    """Optional parts of the contract, each offered whole. A connector that keeps some only with some of its options has
    `extras() -> frozenset[str]`, which says what this one keeps."""


@runtime_checkable
class Connector(Protocol):
    """A store of tasks. Its constructor takes options and touches nothing before `open`.

    One object serves one thread at a time and never crosses a fork. Every verb may raise `StoreUnavailable`
    (`maybe_pushed` is True if it may have taken effect); the caller then repeats it unchanged, and a repeat must be
    harmless. `StoreError` means that the store refuses for good. A queue exists as soon as a verb names it.

    Two verbs are optional. `warnings() -> list[str]` returns sentences about a store that works but does not keep every
    promise, such as a server that writes nothing to disk; `regiment check --connect` shows them. `reasons` is `dead`
    with empty payloads, so that a list of letters need not transfer every payload.
    """

    capabilities: ClassVar[Capabilities]

    def open(self, role: Role) -> None:
        """Connect. Raises `StoreError`, with a clear message, for a newer layout, a wrong password, a missing right.

        "look" creates and changes nothing: an absent store then simply has no queues.
        """

    def close(self) -> None:
        """Close connections and descriptors; a repeat does nothing."""

    def describe(self) -> str:
        """Where the tasks live, in words for people, without secrets: `redis://db1:6379/0`, `.regiment/queue.db`."""

    def push(
        self,
        queue: str,
        payloads: Sequence[bytes],
        *,
        priority: int,
        delay: float = 0.0,
        at: float | None = None,
        token: str,
        ids: Sequence[str] | None = None,
        id_window: float = 3600.0,
        token_window: float = 60.0,
    ) -> Sequence[int]:
        """Store all payloads or none, in order, at the tail of `priority`; due in `delay` seconds or at time `at`.

        A call with a `token` that was seen within `token_window` changes nothing and returns what the first returned.
        `ids` (one for each payload) deduplicate: the store leaves out a payload whose id was pushed to this queue
        within `id_window`, or waits or runs there now. Returns the indexes of the payloads left out. `QueueFull` if
        there is no room.
        """

    def join(self, queue: str, consumer: str, terms: Terms) -> None:
        """Register `consumer`, with a lease from now. A living consumer stays unchanged; a closed or fenced one gets
        `Fenced`. Applies the gap rule first, so that the gap is not added to a newcomer's lease.
        """

    def renew(self, consumers: Sequence[tuple[str, str]], seconds: float) -> Sequence[tuple[str, str]]:
        """Extend each (queue, consumer) to `seconds` from now; never shortens. Returns those that are unknown or
        fenced. Applies the gap rule first (`docs/guarantees.md`): if no renewal or exchange touched a queue for
        more than a third of the lease, all its deadlines move by the gap. Sets the queue's stamp.
        """

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
    ) -> Taken:
        """In one atomic step: check the consumer and its turn, apply the gap rule, settle, return overdue consumers'
        deliveries (bounded per call), promote due tasks, and lease up to `limit` ready ones (highest priority first,
        then oldest) under the receipts `base`, `base + 1`, …

        If `turn` equals the last one, the store does nothing and returns the same answer again. Last + 1 is executed.
        Anything else, and a consumer that is unknown, closed or fenced, gets `Fenced`, without effect. `holds_nothing`
        is True if the worker holds no receipt except those it settles here: then deliveries that the store still lists
        for it first go back in front. The batch ends before `max_bytes` of payload, but has at least one delivery.
        Taking back the first delivery of an overdue consumer fences that consumer for good (also one that holds
        nothing); its deliveries return in front with count + 1. A paused queue leases nothing. If nothing was leased
        and `limit` > 0, the same step registers the consumer for a wake-up. Never blocks.
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
    ) -> None:
        """Settle and give back on behalf of a consumer that no longer can: settle `done`, then give back everything
        else it holds, or only those receipts that lie in `only` (none if it never held them). A suspect goes back
        with count + 1, due after the poison delay of that count (delay 0: in front), with its bytes as note (empty
        bytes keep the old note); all others go back as with `Back`.

        `close` ends the consumer and leaves a tombstone that outlives any late request (also for a consumer that was
        never known). A repeat, or an unknown or closed consumer, changes nothing except the tombstone. Fenced consumers
        are released like others.
        """

    def wait(self, consumers: Sequence[tuple[str, str]], seconds: float, wake_fd: int | None = None) -> Sequence[str]:
        """Sleep until one of the queues has something to lease, `wake_fd` is readable, or `seconds` have passed.

        Holds no lease. Each consumer's last exchange came back empty; a push, a return or a promotion since then ends
        the wait at once. A task that is pushed meanwhile with a due time earlier than any known one ends at least one of the
        waits (the next exchange learns the new `next_due`); when that consumer stops waiting or ends, one of the others.
        Returns the queues that it believes to be ready; may return too early, with none. Does not read `wake_fd`.
        """

    def counts(self, queue: str) -> Counts:
        """How many tasks are in each state; zeros for an unknown queue."""

    def queues(self) -> Sequence[str]:
        """Names of all queues that hold a task, a dead letter, a consumer or a notice, sorted."""

    def peek(self, queue: str, state: Literal["ready", "delayed", "leased"], limit: int = 100) -> Sequence[Peeked]:
        """The first tasks of a state in the order in which they would run; changes nothing."""

    def purge(self, queue: str) -> int:
        """Delete ready and delayed tasks; returns how many. Leased tasks and dead letters stay."""

    def dead(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[Letter]:
        """Dead letters, newest first; `after` (a letter's id) continues behind that letter."""

    def letters(self, queue: str, id: str) -> Sequence[Letter]:
        """The letters whose id or task id is `id`, newest first."""

    def revive(self, queue: str, letters: Mapping[str, bytes | None]) -> int:
        """Make the letters with these ids ready again, at the tail of their priority, with the given payload (None: the
        old one) and count 0. Ignores absent letters. Returns how many it revived. A repeat makes no duplicate.
        """

    def drop(self, queue: str, ids: Sequence[str] | None = None) -> int:
        """Delete the dead letters with these ids, or all; returns how many."""

    def board(self, queue: str) -> Board:
        """The notices of a queue."""

    def post(
        self, queue: str, *, paused: bool | None = None, cancel: Iterable[str] = (), clear: Iterable[str] = ()
    ) -> int:
        """Change notices (`clear` takes ids off the cancelled list), wake waiting consumers, return the new version."""

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Keep `value` for `ttl` seconds; None: until it is deleted."""

    def get(self, key: str) -> bytes | None:
        """The value; None if it does not exist or has expired."""

    def delete(self, key: str) -> bool:
        """Delete the value; True if it existed."""

    def lock_take(self, name: str, owner: str, ttl: float) -> bool:
        """Take a free lock, or extend it if `owner` has it, to `ttl` seconds from now; True if `owner` has it then."""

    def lock_free(self, name: str, owner: str) -> bool:
        """Free the lock if `owner` has it, and wake the waiting ones; True if it did. Else nothing changes."""

    def lock_look(self, name: str) -> tuple[str, float] | None:
        """Owner and seconds left, or None if the lock is free."""

    def lock_wait(self, name: str, seconds: float) -> None:
        """Sleep until the lock may be free, at most `seconds`; may return early."""

    def announce(self, key: str, value: bytes, ttl: float) -> None:
        """Publish a presence record for `ttl` seconds, in place of one with the same key."""

    def presence(self) -> Mapping[str, bytes]:
        """All presence records that have not expired."""
