"""The contract of a store: what a connector must do, and what goes to it and comes back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

Role = Literal["push", "lease", "keep", "look", "duty"]
"""Why a connector is opened: to push (durable to the last), to lease and settle, to renew for others, to look only."""

Span = tuple[int, int]
"""First and last receipt of a closed range."""


class Delivery(NamedTuple):
    """A task on lease."""

    receipt: int
    payload: bytes
    count: int = 0  # type: ignore[assignment]  # tuple.count is of no use here
    """How often a run of this delivery ended its worker."""
    note: bytes | None = None
    """What `release` left about the last such end; opaque to the store."""
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
    """Untouched, due again in `delay` seconds; the time of the first parking is kept."""

    receipt: int
    delay: float


class Dead(NamedTuple):
    """A dead letter from now on."""

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
    """Receipts that the settlements named and this consumer does not hold (any more); nothing was done for them.
    One that `release` settled for this same consumer is not lost when it is settled again."""
    deliveries: Sequence[Delivery] = ()
    next_due: float | None = None
    """Seconds until a delayed task is due or another consumer overdue, whichever is first; None: nothing is known.
    Promised where nothing was leased: only then does anyone wait for it."""
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
    """With "at_most_once" a claim and a settlement have to outlive what a push outlives."""


class Counts(NamedTuple):
    """How many tasks of a queue are where; `oldest` is the age in seconds of the oldest ready one."""

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
    """Seconds until it is due; 0 for what is not delayed."""
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


class Capabilities(NamedTuple):
    """What a connector can do; a configuration that needs more is refused at start."""

    shared: bool = True
    """Several processes may use one store."""
    durable: bool = True
    """What was pushed survives the end of every process here."""
    max_payload: int | None = None
    """Bytes of the largest payload it takes."""


@runtime_checkable
class Connector(Protocol):
    """A store of tasks. Constructed with its options only; nothing is touched before `open`.

    One object serves one thread at a time and never crosses a fork. Every verb may raise `StoreUnavailable`
    (`maybe_pushed` says whether it may have taken effect); the caller then repeats it unchanged, and a repeat must be
    harmless. `StoreError` says that the store refuses for good. A queue exists as soon as it is named.

    Two verbs are not asked of every connector: `warnings() -> list[str]`, sentences about what works and does not keep every
    promise, such as a server that writes nothing to disk; `regiment check --connect` shows them. And `reasons`, which is
    `dead` with empty payloads, so that a list of letters need not bring every payload along.
    """

    capabilities: ClassVar[Capabilities]

    def open(self, role: Role) -> None:
        """Connect. A store of a newer layout, a wrong password, a missing right: `StoreError`, in words.

        "look" creates and changes nothing: an absent store then simply has no queues.
        """

    def close(self) -> None:
        """Give up connections and descriptors; on repeat nothing happens."""

    def describe(self) -> str:
        """Where the tasks live, for people, without secrets: `redis://db1:6379/0`, `.regiment/queue.db`."""

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
        `ids` (one for each payload) deduplicate: a payload whose id was pushed to this queue within `id_window`, or
        waits or runs there now, is left out. Returns the indexes of what was left out. `QueueFull` if there is no room.
        """

    def join(self, queue: str, consumer: str, terms: Terms) -> None:
        """Make `consumer` known, with a lease from now. On a living consumer nothing changes; on one that was closed
        or fenced: `Fenced`. Applies the gap rule first, so that a newcomer is not given the gap.
        """

    def renew(self, consumers: Sequence[tuple[str, str]], seconds: float) -> Sequence[tuple[str, str]]:
        """Extend each (queue, consumer) to `seconds` from now; never shortens. Returns those that are not known or
        are fenced. Applies the gap rule first (`docs/guarantees.md`): if no renewal or exchange touched a queue for
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

        `turn` equal to the last one: nothing is done, the same answer again. Last + 1: executed. Anything else, or a
        consumer that is unknown, closed or fenced: `Fenced`, no effect. `holds_nothing` says that the worker holds no
        receipt beyond those it settles here: what the store still lists for it goes back in front first. The batch ends
        before `max_bytes` of payload, but has at least one. The first delivery taken back from an overdue consumer
        fences it for good (also one that holds nothing); its deliveries return in front with count + 1. A paused queue leases nothing. If nothing
        was leased and `limit` > 0, the consumer is registered for a wake-up in the same step. Never blocks.
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
        """For a consumer that cannot speak for itself: settle `done`, then give back everything else it holds, or of
        that only what lies in `only` (a span of receipts that never were: nothing). A suspect goes back with count + 1, due after the poison delay of that count
        (delay 0: in front), with its bytes as note (empty bytes: the old note stays); all others as `Back`.

        `close` ends the consumer and leaves a tombstone that outlives any late request (also for one that was
        never known). On repeat, on an unknown or closed consumer: nothing (but the tombstone). Applies to fenced ones.
        """

    def wait(self, consumers: Sequence[tuple[str, str]], seconds: float, wake_fd: int | None = None) -> Sequence[str]:
        """Sleep until one of the queues has something to lease, `wake_fd` is readable, or `seconds` have passed.

        Holds no lease. Each consumer's last exchange came back empty; a push, a return or a promotion since then ends
        the wait at once. A task pushed meanwhile with a due time earlier than any known ends it too (the exchange
        that follows learns the new `next_due`). Returns the queues it believes to be ready; may return too early with
        none. `wake_fd` is not read.
        """

    def counts(self, queue: str) -> Counts:
        """How many tasks are where; zeros for a queue that never was."""

    def queues(self) -> Sequence[str]:
        """Names of all queues that hold a task, a dead letter, a consumer or a notice, sorted."""

    def peek(self, queue: str, state: Literal["ready", "delayed", "leased"], limit: int = 100) -> Sequence[Peeked]:
        """The first tasks of a state in the order in which they would run; changes nothing."""

    def purge(self, queue: str) -> int:
        """Delete what is ready or delayed; returns how many. What is leased, and dead letters, stay."""

    def dead(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[Letter]:
        """Dead letters, newest first; `after` (a letter's id) goes on behind it."""

    def letters(self, queue: str, id: str) -> Sequence[Letter]:
        """The letters whose id or task id is `id`, newest first."""

    def revive(self, queue: str, letters: Mapping[str, bytes | None]) -> int:
        """Make ready again the letters with these ids, at the tail of their priority, with the payload given (None: as
        it was), count 0. Absent ones are passed over. Returns how many. On repeat nothing is doubled.
        """

    def drop(self, queue: str, ids: Sequence[str] | None = None) -> int:
        """Delete the dead letters with these ids, or all; returns how many."""

    def board(self, queue: str) -> Board:
        """The notices of a queue."""

    def post(
        self,
        queue: str,
        *,
        paused: bool | None = None,
        cancel: Iterable[str] = (),
        clear: Iterable[str] = (),
    ) -> int:
        """Change notices (`clear` takes ids off the cancelled list); wakes waiting consumers. Returns the new version."""

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Keep `value` for `ttl` seconds, or until deleted."""

    def get(self, key: str) -> bytes | None:
        """The value, or None if there is none or its time has passed."""

    def delete(self, key: str) -> bool:
        """Whether there was one."""

    def lock_take(self, name: str, owner: str, ttl: float) -> bool:
        """Take the lock if it is free, or extend it if `owner` has it; it is free again `ttl` seconds from now."""

    def lock_free(self, name: str, owner: str) -> bool:
        """Free the lock if `owner` has it; else nothing changes. Wakes who waits for it."""

    def lock_look(self, name: str) -> tuple[str, float] | None:
        """Owner and seconds left, or None if the lock is free."""

    def lock_wait(self, name: str, seconds: float) -> None:
        """Sleep until the lock may be free, at most `seconds`; may return early."""

    def announce(self, key: str, value: bytes, ttl: float) -> None:
        """Publish a presence record for `ttl` seconds; a second one under the same key replaces it."""

    def presence(self) -> Mapping[str, bytes]:
        """All presence records whose time has not passed."""
