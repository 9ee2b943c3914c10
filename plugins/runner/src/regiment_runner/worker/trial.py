"""One try at one delivery, as all know it who have to do with it: state only. `Attempt` is the same with what may be asked of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, NamedTuple, Protocol

from regiment.contracts import Delivery, Settlement
from regiment.contracts.effects import Effect
from regiment.outcome import Outcome
from regiment.task import Task
from regiment_runner.shared import page
from regiment_runner.shared.record import packed
from regiment_runner.worker.commit import Commit
from regiment_runner.worker.policy import Rules
from regiment_runner.worker.runtime import Runtime


class Left(NamedTuple):
    """What an attempt leaves behind: effects, and the same as the bytes of a record."""

    effects: Sequence[Effect]
    data: bytes


NOTHING = Left((), packed(()))
"""What an attempt leaves behind that leaves nothing, where all that have ended have a record (E3)."""
UNGUARDED: nullcontext[None] = nullcontext()
"""The guard of a task without a limit."""


class Settler(Protocol):
    """Who takes the settlements: the source."""

    def done(self, attempt: Trial) -> None: ...

    def finish(self, attempt: Trial, settlement: Settlement, left: Left = ...) -> None: ...

    def end(self, respawn: bool) -> None: ...

    def came_back(self, attempt: Trial) -> bool: ...


class Line(Protocol):
    """What a sprint may know of the source, where the thread that takes is the one that runs."""

    batch: deque[Delivery]
    """What was leased and has not started."""
    check: bool
    """Whether anything but starting the next delivery may be due."""
    look_by: int
    """When, on the boot clock, something is: the lease, the settlement, the memory."""

    def ran(self, first: int, last: int) -> None: ...

    def keep(self, attempt: Trial) -> bool: ...


class Trial:
    """One try. Each slot has one, used again for every delivery that runs there; `task` is None until it is decoded."""

    __slots__ = (
        "at",
        "began",
        "book",
        "claims",
        "delivery",
        "ended",
        "entry",
        "found",
        "guard",
        "guarded",
        "identity",
        "line",
        "made",
        "memory",
        "number",
        "outcome",
        "over",
        "runtime",
        "shown",
        "slot",
        "source",
        "start_at",
        "started",
        "task",
        "words",
    )

    delivery: Delivery
    number: int
    identity: str
    started: int

    def __init__(self, runtime: Runtime, source: Settler, slot: int, line: Line | None = None) -> None:
        self.runtime, self.source, self.slot, self.line = runtime, source, slot, line
        self.at, self.words, self.memory = page.slot_index(slot), runtime.page.words, runtime.page.map
        self.start_at = self.at * 8 + page.START_AT
        self.book: Any = None
        """What it knows of what its task has entered (`once`)."""
        self.began = self.ended = 0
        """Boot clock, nanoseconds: since when what this slot counts next has run, and when this try ended."""
        self.entry = runtime.tally.others
        """Where tasks of the name that is shown are counted."""
        self.task: Task | None = None
        """None until it is decoded."""
        self.shown = ""
        """The name that stands on the page."""
        self.found: tuple[Callable[[Task], Any], Rules] | None = None
        """What runs tasks of that name."""
        self.outcome: Outcome | None = None
        """How it ended, while its handlers run."""
        self.made: Commit | Left | tuple[()] | Literal[False] | None = None
        """What it is to leave behind: None if nothing is and nobody asks, () if its end has a record all the same, a `Commit`
        where the task has said something, a `Left` once that is settled and has no record yet, False if it could not be made.
        """
        self.over = False
        """True while hooks run that are told of an end that is no success: what they say to `commit` would be done by nobody."""
        self.claims: list[bool] = []
        """Empty once somebody has claimed the end of this try."""
        self.guard: AbstractContextManager[None] = UNGUARDED
        self.guarded: Rules | None = None
        """The rules whose limits `guard` arms."""

    @property
    def struck(self) -> bool:
        """True if its number is marked on the page as to be cancelled."""
        return bool(self.words[self.at + page.CANCELLING] == self.number)

    def claim(self) -> bool:
        """Whether the caller is the one to end this attempt: its own thread, or who writes that off; the first is."""
        try:
            return self.claims.pop()
        except IndexError:
            return False
