"""The contracts of what runs: executors, killers, and what each sees of an application, an attempt and a worker's page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Literal, NamedTuple, NoReturn, Protocol, runtime_checkable

from regiment.config import WorkerConfig
from regiment.task import Task

MOST_SLOTS = 1024
"""The most attempts that one worker may run at once: its page has room for no more."""

Place = Literal["main", "threads", "loop"]
"""Where a task's code runs: in the main thread, in other threads, on an event loop."""


class Application(Protocol):
    """User code as a worker sees it: a `Worker`, or a `Queue` with its functions."""

    @property
    def config(self) -> WorkerConfig:
        """The configuration of the worker."""

    @property
    def handlers(self) -> Mapping[str, Callable[..., Any]]:
        """The hooks that the user defined, by name (pre_work, post_work, on_success, …); absent ones are not called."""

    @property
    def works(self) -> Mapping[str, Callable[..., Any]]:
        """What runs tasks, by name, for checks."""

    def work_of(self, name: str) -> Callable[[Task], Any] | None:
        """What runs tasks of this name; None for a name that is not known here."""

    def config_of(self, name: str) -> WorkerConfig:
        """The configuration for tasks of this name: the worker's, with the task's own settings."""


class Attempt(Protocol):
    """One try at one delivery, as the task sees it: what `current()` gives."""

    @property
    def task(self) -> Task | None:
        """The task; None until it is decoded."""

    @property
    def evidence(self) -> dict[str, Any]:
        """What was kept when this task was struck, or ended a worker before; empty for an ordinary task."""

    def remaining(self) -> float | None:
        """Seconds until this task's limit; None without one. Negative if it has passed."""

    def progress(self, done: int, total: int = 0, note: str = "") -> None:
        """Tell `regiment workers` how far this task is; costs no system call."""

    def take(self, number: int, queue: str | None = None) -> AbstractContextManager[list[Task]]:
        """Up to `number` tasks of a queue to do in one go; they are done at the end of the block, and go back if it raises."""

    def retry(self, **options: Any) -> NoReturn:
        """Run this task again as one of its retries."""

    def requeue(self, **options: Any) -> NoReturn:
        """Run this task again without counting a run."""

    def fail(self, reason: object = None) -> NoReturn:
        """Make this task a dead letter at once."""

    def stop(self, *, done: bool = False) -> NoReturn:
        """End all workers of this target."""

    def respawn(self, *, done: bool = False) -> NoReturn:
        """Replace this worker process."""


class AttemptLike(Protocol):
    """One try at one delivery, as an executor sees it: where and when to run it is all an executor decides."""

    slot: int

    def run(self) -> None:
        """Run the whole attempt here, to its settlement. Never raises what the task raised."""

    def run_on(self) -> None:
        """`run`, and then what is next in this slot while nothing else is due: some calls less for each task. For an
        executor with one slot, in the thread that takes.
        """

    async def arun(self) -> None:
        """The same on an event loop; hooks and `work` may be coroutine functions."""


class Source(Protocol):
    """Where an executor gets attempts from. `take` is called by one thread, the driver."""

    wake_fd: int

    def take(self, block: bool = True) -> AttemptLike | None:
        """The next attempt, for a slot that is free; blocks until there is one. None: the worker is to end (after
        the attempts that still run), or, without `block`, there is none now.
        """

    @property
    def ended(self) -> bool:
        """Whether None meant the end."""

    @property
    def written_off(self) -> int:
        """How many attempts were given up because their threads do not end; an executor does not wait for these."""


@runtime_checkable
class Executor(Protocol):
    """Where attempts run and how many at once; it judges no outcome.

    Two verbs are not asked of every executor, and used where it has them:

    - `call(hook, *args)`: run a hook of the application (`initialize`, `finalize`, `on_starvation`) where its tasks run,
      from any thread, and return its answer. Without it the hook is called in the main thread. For executors with a loop.
    - `close()`: after `run` has returned and `finalize` was called: give up threads, loops and what else is left.
    """

    place: ClassVar[Place]
    default_killer: ClassVar[str]
    is_async: ClassVar[bool]
    slots: int

    def run(self, source: Source) -> None:
        """Run attempts until `source.take()` returns None and all of them have ended."""


class Reading(NamedTuple):
    """One consistent look at a slot of a page. Times are nanoseconds of the boot clock; 0: none."""

    slot: int
    number: int
    phase: int
    started: int
    soft: int
    hard: int
    struck: int
    """The number that was struck softly in this slot last."""


class View(Protocol):
    """What a killer sees and may do to one worker, from its supervisor."""

    def readings(self) -> Iterable[Reading]:
        """The slots that have a task started and armed."""

    def soft(self, slot: int, number: int) -> None:
        """Strike softly: the worker's own handler raises `TaskTimeout` in the task, if it still runs `number`."""

    def condemn(self, slot: int, number: int) -> bool:
        """Name the slot as condemned, wait, read again: True if the worker now stands still or is still in `number`.
        False: it went on, nothing is condemned any more.
        """

    def condemn_all(self, late: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
        """`condemn` for several (slot, number) at the price of one; those for which it is true."""

    def kill(self, slot: int, number: int, reason: str) -> None:
        """After `condemn`: stacks to the black box, then SIGKILL. Call it for each that is late: one kill follows, and
        where there are several, or others ran beside one, the supervisor finds out who is guilty.
        """


class KillerPage(Protocol):
    """What of a worker's page is open to the worker's half of a killer. Slots count from 0."""

    @property
    def SOFT_SIGNAL(self) -> int:  # noqa: N802  a constant of the page
        """The signal that is sent for a soft strike."""

    @property
    def words(self) -> Any:
        """The page as 64-bit words: a sequence that can be written."""

    def arm(self, slot: int, soft: int, hard: int) -> None:
        """Set deadlines (nanoseconds from now, 0 for none), and wake the supervisor if they come before all others."""

    def limits(self, slot: int) -> tuple[int, int, int]:
        """Where in `words` stand the slot's soft and hard deadline, and the time the supervisor sleeps until."""

    def softly_struck(self) -> int | None:
        """The number of the task that the soft strike is for, once; None if it has ended meanwhile."""

    def struck(self) -> Iterable[tuple[int, int]]:
        """All (slot, number) that were struck softly and still run."""

    def slot_word(self, slot: int) -> tuple[int, int]:
        """Number and phase of a slot."""

    @property
    def wake_watcher(self) -> Callable[[], object]:
        """Wakes the supervisor."""

    @property
    def write_off(self) -> Callable[[int, int, str], object]:
        """Gives up the thread that runs a number in a slot and stands at a stack; its task ends as a timeout."""


@runtime_checkable
class Killer(Protocol):
    """What stops a task that hangs. One half works in the worker (`install`, `guard`), one in the supervisor (`watch`).

    A class with `reusable = True` promises that one guard may be entered for task after task of its slot as long as the
    limits stay the same; without it `guard` is called for every task.
    """

    softens: ClassVar[frozenset[Place]]
    """Places where it can end a task and keep the worker (soft limits)."""
    ends: ClassVar[frozenset[Place]]
    """Places where it ends a task whatever that does (hard limits)."""

    def install(self, page: KillerPage, place: Place) -> None:
        """In the worker's main thread, once, before any task: signal handlers and the like."""

    def guard(self, slot: int, soft: float | None, hard: float | None) -> AbstractContextManager[None]:
        """Arm the limits (seconds from now) for the task noted in `slot`; disarm at exit."""

    def watch(self, view: View, now: int) -> int | None:
        """In the supervisor: strike what is late at `now` (nanoseconds, boot clock); returns when to look again."""
