"""The contracts of the parts that run tasks: executors, killers, and their views of application, attempt and page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Literal, NamedTuple, NoReturn, Protocol, runtime_checkable

from regiment.config import WorkerConfig
from regiment.task import Task

MOST_SLOTS = 1024
"""The most attempts that one worker may run at once: its page has room for no more."""

Place = Literal["main", "threads", "loop", "elsewhere"]
"""Where a task's code runs: in the main thread, in other threads, on an event loop, in a process that is not regiment's."""


class Application(Protocol):
    """User code as a worker sees it: a `Worker`, or a `Queue` with its functions."""

    @property
    def config(self) -> WorkerConfig:
        """The configuration of the worker."""

    @property
    def handlers(self) -> Mapping[str, Callable[..., Any]]:
        """The hooks that the user defined, by name (pre_work, post_work, on_success, …)."""

    @property
    def works(self) -> Mapping[str, Callable[..., Any]]:
        """The functions that run tasks, by name of the task, for checks."""

    def work_of(self, name: str) -> Callable[[Task], Any] | None:
        """The function that runs tasks of this name; None for an unknown name."""

    def config_of(self, name: str) -> WorkerConfig:
        """The configuration for tasks of this name: that of the worker, with the task's own settings."""


class Commit(Protocol):
    """What a task wants done in the very step in which it succeeds; if it fails, is retried or struck, nothing of it is done."""

    def push(self, task: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Push a task of the same store: a task function, or one with `.options(…)`; the answer is that of a push."""

    def keep(self, key: str, value: Any, ttl: float | None) -> None:
        """Keep a value of plain data beside this queue for `ttl` seconds (None: for ever); `queue.kept(key)` reads it."""


class Attempt(Protocol):
    """One try at one delivery, as the task sees it: `current()` returns this."""

    @property
    def task(self) -> Task | None:
        """The task; None until it is decoded."""

    @property
    def evidence(self) -> dict[str, Any]:
        """What was kept when this task was struck, or ended a worker; empty for any other task."""

    @property
    def cancelled(self) -> bool:
        """True if this task is to be cancelled. It then ends as cancelled, unless it succeeds first."""

    def check(self) -> None:
        """Raise `Cancelled` if this task is to be cancelled; for a task that nothing can interrupt where it runs."""

    @property
    def commit(self) -> Commit:
        """What this task wants done in the very step in which it succeeds, or not at all."""

    def once(self, *words: Any, ask: Any = None, mode: Any = "least", scope: Any = "task", keep: float = 86_400) -> Any:
        """A context manager of an effect on another system, known by these words (strings, integers, UUIDs) in all runs of
        this task: `new`, `id` and `value`. What a kill in the middle leaves is done again ("least"), or is asked for by
        `ask` or a dead letter ("most"). Needs a store that keeps a ledger; `docs/once.md` tells it all.
        """

    def remaining(self) -> float | None:
        """Seconds until this task's limit, negative if it has passed; None if there is no limit."""

    def progress(self, done: int, total: int = 0, note: str = "") -> None:
        """Tell `regiment workers` how far this task is; costs no system call."""

    def take(self, number: int, queue: str | None = None) -> AbstractContextManager[list[Task]]:
        """Take up to `number` tasks of a queue; they are done at the end of the block, and go back if it raises."""

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
    """One try at one delivery, as an executor sees it: the executor decides only where and when to run it."""

    slot: int

    def run(self) -> None:
        """Run the whole attempt here, to its settlement. Never raises what the task raised."""

    def run_on(self) -> None:
        """`run`, and then the next deliveries of this slot while no other work is due, which saves some calls for each
        task. For an executor with one slot, in the thread that takes.
        """

    async def arun(self) -> None:
        """`run` on an event loop; hooks and `work` may be coroutine functions."""


class Source(Protocol):
    """Where an executor gets attempts from. `take` is called by one thread, the driver."""

    wake_fd: int

    def take(self, block: bool = True) -> AttemptLike | None:
        """The next attempt, for a free slot; blocks until there is one. None if the worker has to end (after the
        attempts that still run), or, without `block`, if there is none now.
        """

    @property
    def ended(self) -> bool:
        """True if None meant the end."""

    @property
    def written_off(self) -> int:
        """How many attempts were written off because their threads do not end; an executor does not wait for them."""


@runtime_checkable
class Executor(Protocol):
    """Where attempts run and how many at once; it judges no outcome.

    Four verbs are optional:

    - `carry(app, name, work)`: what runs tasks of this name in place of `work`, for executors of the place "elsewhere". It
      is called with the task, in the attempt's thread, under its limits; what it returns or raises decides.
    - `refuses(app)`, of the class: what it cannot promise for an application, in words; `check` and the start say it.
    - `call(hook, *args)`: runs a hook of the application (`initialize`, `finalize`, `on_starvation`) where its tasks
      run, from any thread, and returns its answer. Without it the hook runs in the main thread. For executors with a
      loop.
    - `close()` gives up threads, loops and everything else, after `run` has returned and `finalize` was called.
    """

    place: ClassVar[Place]
    default_killer: ClassVar[str]
    is_async: ClassVar[bool]
    slots: int

    def run(self, source: Source) -> None:
        """Run attempts until `source.take()` returns None and all of them have ended."""


class Reading(NamedTuple):
    """One consistent look at a slot of a page. Times are nanoseconds of the boot clock; 0 means none."""

    slot: int
    number: int
    phase: int
    started: int
    soft: int
    hard: int
    struck: int
    """The number that last received a soft strike in this slot."""


class View(Protocol):
    """What a killer can see of one worker and do to it, from the supervisor."""

    def readings(self) -> Iterable[Reading]:
        """The slots whose task is started and armed."""

    def soft(self, slot: int, number: int) -> None:
        """Strike softly: the worker's own handler raises `TaskTimeout` in the task (`Cancelled`, if it is to be cancelled), if it
        still runs `number`.
        """

    def condemn(self, slot: int, number: int) -> bool:
        """Name the slot as condemned, wait, read again. True if the worker now stands still or is still in `number`;
        False if it went on, and then nothing is condemned any more.
        """

    def condemn_all(self, late: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
        """`condemn` for several (slot, number) at the price of one; returns those for which it is True."""

    def kill(self, slot: int, number: int, reason: str) -> None:
        """After `condemn`: write the stacks to the black box, then SIGKILL. Call it for each late task: one kill
        follows. If several tasks are late, or others ran beside one, the supervisor finds the guilty task.
        """


class KillerPage(Protocol):
    """The part of a worker's page that the worker's half of a killer may use. Slots count from 0."""

    @property
    def SOFT_SIGNAL(self) -> int:  # noqa: N802  a constant of the page
        """The signal of a soft strike."""

    @property
    def words(self) -> Any:
        """The page as 64-bit words: a sequence that can be written."""

    def arm(self, slot: int, soft: int, hard: int) -> None:
        """Set deadlines (nanoseconds from now, 0 for none), and wake the supervisor if they come before all others."""

    def limits(self, slot: int) -> tuple[int, int, int]:
        """The places in `words` of the soft deadline, the hard deadline, and the end of the supervisor's sleep."""

    def softly_struck(self) -> int | None:
        """The number of the task that the soft strike is for, given once; None if the task has ended meanwhile."""

    def struck(self) -> Iterable[tuple[int, int]]:
        """All (slot, number) that received a soft strike and still run."""

    def cancelling(self, slot: int, number: int) -> bool:
        """True if a strike at this number cancels it: then `Cancelled` is raised in place of `TaskTimeout`."""

    def slot_word(self, slot: int) -> tuple[int, int]:
        """Number and phase of a slot."""

    @property
    def wake_watcher(self) -> Callable[[], object]:
        """Wakes the supervisor."""

    @property
    def write_off(self) -> Callable[[int, int, str], object]:
        """Writes off the thread that runs a number in a slot, with its stack; its task ends as a timeout."""


@runtime_checkable
class Killer(Protocol):
    """Stops a task that hangs. One half works in the worker (`install`, `guard`), the other in the supervisor
    (`watch`).

    With `reusable = True` a class promises that one guard may be entered for task after task of its slot while the
    limits stay the same; without it, `guard` is called for every task.
    """

    softens: ClassVar[frozenset[Place]]
    """Places where it can end a task and keep the worker (soft limits)."""
    ends: ClassVar[frozenset[Place]]
    """Places where it ends a task, whatever the task does (hard limits)."""

    def install(self, page: KillerPage, place: Place) -> None:
        """Prepare the worker, in its main thread, once, before any task: signal handlers and the like."""

    def guard(self, slot: int, soft: float | None, hard: float | None) -> AbstractContextManager[None]:
        """Arm the limits (seconds from now) for the task noted in `slot`; disarm at exit."""

    def watch(self, view: View, now: int) -> int | None:
        """In the supervisor: strike tasks that are late at `now` (nanoseconds, boot clock); returns the next look."""
