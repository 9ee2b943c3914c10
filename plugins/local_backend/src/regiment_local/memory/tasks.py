"""A task, who has it on lease, and who has its key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from regiment.contracts import Terms, Ticket
from regiment_local.entries import NONE

LIVING: Final = "living"
FENCED: Final = "fenced"
CLOSED: Final = "closed"

GONE: Final = ""
READY: Final = "ready"
DELAYED: Final = "delayed"
LEASED: Final = "leased"
"""Where a task is."""


@dataclass(eq=False)
class Entry:
    """One task. `order` is its place within its priority, which it keeps while it is on lease."""

    payload: bytes
    priority: int
    order: int
    since: float
    uid: str | None = None
    count: int = 0
    note: bytes | None = None
    parked: float | None = None
    due: float = 0.0
    ticket: Ticket | None = field(default=None, init=False)
    where: str = field(default=GONE, init=False)
    """Where it is, in a queue with budgets; and where it stands there if it is ready: priority, pool and lane."""
    stands: tuple[int, str, str] = field(default=(0, "", ""), init=False)
    claim: Claim | None = field(default=None, init=False)
    ledger: Mapping[str, bytes] = field(default_factory=lambda: NONE, init=False)
    """What its runs have entered; replaced as a whole, never changed."""

    def place(self) -> tuple[int, int]:
        return self.priority, self.order

    def time(self) -> tuple[float, int]:
        return self.due, self.order


@dataclass(eq=False)
class Consumer:
    """One consumer: what it holds by receipt, its last turn with what was answered, and until when it lives."""

    terms: Terms
    deadline: float
    state: Literal["living", "fenced", "closed"] = "living"
    turn: int = 0
    base: int = 0
    lost: list[int] = field(default_factory=list)
    held: dict[int, Entry] = field(default_factory=dict)
    settled: set[int] = field(default_factory=set)
    """Receipts that a release settled: they are not lost when the worker settles them again."""


@dataclass(eq=False)
class Claim:
    """Who has a key, or comes next. `first` is when it was pushed first (wall clock), `over` when it ends by itself (monotonic)."""

    entry: Entry | None
    """None if the task has ended and its key outlives it."""
    ticket: Ticket
    first: float
    over: float | None

    @property
    def state(self) -> str:
        return "ended" if self.entry is None else self.entry.where
