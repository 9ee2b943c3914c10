"""`current().once(…)`: an effect on the world outside that a later run of the same task finds done (G1 to G5)."""

from __future__ import annotations

import _thread
import asyncio
import contextvars
import hashlib
import inspect
import json
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Literal, TypeVar, cast
from uuid import UUID

from regiment.bounds import seen
from regiment.broker import refuse_without
from regiment.contracts.ledger import LEDGER, Ledgered
from regiment.errors import (
    ArgumentsError,
    Cancelled,
    ConfigError,
    Fail,
    Fenced,
    RegimentError,
    StoreUnavailable,
    TaskTimeout,
)
from regiment.registry import registry
from regiment_runner.shared.pause import Pause
from regiment_runner.worker.trial import Trial

T = TypeVar("T")
Mode = Literal["least", "most"]
NONE: Final[Mapping[str, bytes]] = {}
BEGUN: Final = b""
"""Value of an entry that says: begun, and perhaps done. The record of a value is never empty."""
STRIKES = (TaskTimeout, Cancelled, asyncio.CancelledError)


class Unknown(RegimentError, Fail):
    """An effect in the mode "most" was begun by a run that ended before it could say how it went. Unless it is caught, the task becomes
    a dead letter at once.
    """

    def __init__(self, text: str) -> None:
        Fail.__init__(self, reason=text)


def once(attempt: Trial, words: tuple[Any, ...], ask: Callable[[], Any] | None, mode: Mode) -> Once:
    """The effect of these words; an error in words for what makes no sense, or a store without the extra."""
    runtime, task = attempt.runtime, attempt.task
    if runtime.broker is None or task is None:
        raise RuntimeError("once works in a task that a worker runs")
    if not words or not all(type(word) in (str, int) or isinstance(word, UUID) for word in words):
        raise ArgumentsError(
            f"the words of once are {seen(words)}; expected one or more str, int or UUID that name the effect within its task, "
            'such as once("charge", order.id)'
        )
    if mode not in ("least", "most"):
        raise ArgumentsError(f'the mode of once is {seen(mode)}; expected "least" or "most"')
    if ask is not None and (inspect.iscoroutinefunction(ask) or mode != "most" or not callable(ask)):
        raise ArgumentsError(
            f'once got ask={seen(ask)} in the mode "{mode}"; expected a plain function without arguments, in the mode "most": it looks up '
            "what became of an effect that was begun"
        )
    if runtime.config.delivery == "at_most_once":
        raise ConfigError(
            f'once was asked for in queue {runtime.queue!r}, whose delivery is "at_most_once": no run comes after a crash that could '
            'find what was entered. Do the effect without once, or set delivery="at_least_once"'
        )
    if runtime.broker not in runtime.ledgered:
        refuse_without(LEDGER, "current().once needs", runtime.broker.make(), registry().scope(runtime.config.plugins))
        runtime.ledgered.add(runtime.broker)
    return Once(attempt, words, ask, mode)


class Book:
    """What one attempt knows of the entries of its task."""

    def __init__(self, receipt: int, consumer: str) -> None:
        self.receipt, self.consumer = receipt, consumer
        self.entries: dict[str, bytes] = {}
        self.was_read = False
        self.inside: set[str] = set()
        """Effects whose block is under way."""

    @classmethod
    def of(cls, attempt: Trial) -> Book:
        """That of this attempt, which is new at its first effect."""
        book: Book | None = attempt.book
        if book is None or (book.receipt, book.consumer) != (attempt.number, attempt.identity):
            attempt.book = book = cls(attempt.number, attempt.identity)
        return book


class Once:
    """`with current().once("charge", order.id) as effect:`, or `async with`.

    If `effect.new`, do the effect with `effect.id` as its idempotency key, and set `effect.value`. Else `effect.value` is what an earlier run
    has set. A block that raises enters nothing, but for a strike that comes after the value was set.
    """

    def __init__(self, attempt: Trial, words: tuple[Any, ...], ask: Callable[[], Any] | None, mode: Mode) -> None:
        task = cast("Any", attempt.task)
        self.new = True
        """True if no run of this task has done it, as far as is known."""
        text = json.dumps([task.id, *[word if type(word) is int else str(word) for word in words]])
        self.id = hashlib.sha256(text.encode()).hexdigest()
        """The same in each run of this task, 64 characters: a key for the other side."""
        self._value: Any = None
        self._set = self._inside = self._done = False
        self._runtime, self._book, self._ask, self._mode = attempt.runtime, Book.of(attempt), ask, mode
        self._where = attempt.runtime.queue, f"once:{self.id}"
        self._words = "once(" + ", ".join(map(repr, words)) + ")"

    @property
    def value(self) -> Any:
        """What the effect gave: plain data, as the queue's serializer takes it. Set it in the block."""
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        if not self._inside or not self.new:
            raise RuntimeError(
                f"the value of {self._words} was set {'where it was done before' if self._inside else 'outside of its block'}; it would "
                "be kept by nobody. Set it in the block, if effect.new"
            )
        self._value, self._set = value, True

    def __enter__(self) -> Once:
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._leaves(error):
            held_back(self._end)

    async def __aenter__(self) -> Once:
        try:
            await aheld_back(self._begin)
        except BaseException:
            self._book.inside.discard(self.id)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._leaves(error):
            await aheld_back(self._end)

    # Before and after the block

    def _begin(self) -> None:
        book = self._book
        if self.id in book.inside:
            raise RuntimeError(
                f"{self._words} was begun inside of itself, or twice at a time; expected one after the other"
            )
        if self.id not in book.entries and (self._mode == "least" or not book.was_read):
            book.entries.update(self._entered(NONE))  # G2: whoever has lost the task learns it before the effect
            book.was_read = True
        found = book.entries.get(self.id)
        if found:
            self.new, self._value = False, self._runtime.codec.unpack(found, self._where)
        elif found is not None:
            self._look_up()
        elif self._mode == "most":
            self._enter(BEGUN)
        self._inside = True
        book.inside.add(self.id)

    def _look_up(self) -> None:
        """It was begun, and not done as far as is known: ask, or say so. An answer of None means that it was not done."""
        if self._mode == "least":
            return  # another mode before: it may be done again
        if self._ask is None:
            raise Unknown(
                f"{self._words} was begun by an earlier run of this task, which ended before it could say whether it was done. Look at the other "
                f"side for the key {self.id}; once(…, ask=…) looks for itself"
            )
        value = self._ask()
        if value is None:
            self._enter(BEGUN)  # still held, before it is done after all
            return
        self.new, self._value = False, value
        self._end()

    def _leaves(self, error: BaseException | None) -> bool:
        """The block has ended; whether there is something to enter."""
        self._inside = False
        self._book.inside.discard(self.id)
        self._done = self.new and (error is None or (self._set and isinstance(error, STRIKES)))
        return self._done

    def _end(self) -> None:
        self._enter(self._runtime.codec.pack(self._value, self._where))

    def _enter(self, entry: bytes) -> None:
        self._entered({self.id: entry})
        self._book.entries[self.id] = entry

    def _entered(self, entries: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Ask the store, repeatedly if it does not answer; `Fenced` if this worker does not hold the task any more."""
        runtime, book = self._runtime, self._book
        assert runtime.broker is not None
        end, pause = time.monotonic() + runtime.config.push_timeout, Pause(0.02, 0.5)
        while True:
            try:
                with runtime.broker.connector() as connector:
                    able = cast("Ledgered", connector)
                    found = able.enter(runtime.queue, book.consumer, book.receipt, entries)
                break
            except StoreUnavailable:
                if time.monotonic() > end:
                    raise
                time.sleep(pause())
        if found is None:
            what = (
                "it was done, and not entered: the other may do it again, under the same id"
                if self._done
                else "it was not begun"
            )
            raise Fenced(
                f"{self._words}: this worker does not hold its task any more, another one may run it now; {what}"
            )
        return found


def held_back(work: Callable[[], T]) -> T:
    """Do this in a thread of its own, and wait for its end, whatever strikes here; the strike comes after it."""
    answer: list[Any] = []
    claim, ended = _thread.allocate_lock(), _thread.allocate_lock()
    ended.acquire()

    def run() -> None:
        if not claim.acquire(blocking=False):
            return  # a strike came just after the first start
        try:
            answer.append((True, work()))
        except BaseException as error:
            answer.append((False, error))
        finally:
            ended.release()

    strikes: list[BaseException] = []
    started = False
    while not answer:
        try:
            if not started:
                started = bool(_thread.start_new_thread(run, ()))
            ended.acquire()
        except BaseException as strike:
            strikes.append(strike)
    if strikes:
        raise strikes[0]
    good, value = answer[0]
    if not good:
        raise value
    return cast("T", value)


async def aheld_back(work: Callable[[], T]) -> T:
    """The same beside an event loop, in this context."""
    future = asyncio.get_running_loop().run_in_executor(None, contextvars.copy_context().run, work)
    strikes: list[BaseException] = []
    while not future.done():
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError as strike:
            strikes.append(strike)
        except BaseException:  # what it has raised, which is raised below
            break
    answer = future.result()
    if strikes:
        raise strikes[0]
    return answer
