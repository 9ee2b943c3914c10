"""The handle of a task: its result, waited for or looked up, from the process that pushed it or any other."""

from __future__ import annotations

import sys
import time
from _thread import allocate_lock
from collections.abc import Callable
from functools import partial
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from regiment import pushing
from regiment.broker import Broker, Pushed
from regiment.context import attempt_now
from regiment.contracts import Drop, Record
from regiment.errors import DecodeError, StoreUnavailable
from regiment.task import new_id
from regiment_results.errors import (
    CLASSES,
    ResultError,
    ResultsOff,
    ResultTimeout,
    ResultTooLarge,
    ResultUnreadable,
    TaskDead,
    WouldBlock,
    gone,
)
from regiment_results.finding import broker_of, call_on, keeping_of, refuse_timeout
from regiment_results.keepers import OURS, fetched, keepers_of
from regiment_results.listening import Answer, Want, listen
from regiment_results.records import FINAL, WAITING, Note, Outcome, Progress, key_of, rank_of, read, try_key
from regiment_results.settings import Choices

if TYPE_CHECKING:
    from regiment.queue import Queue
    from regiment.worker import Worker

R = TypeVar("R")
T = TypeVar("T")
YOUNG = 5.0
"""Seconds after a push within which a wait does not look whether anything is still known of it."""


class Handle(Pushed, Generic[R]):
    """What a push answers on a queue that keeps results: a `Pushed` whose task can be waited for.

    `result` and `aresult` wait without polling, any number of them in any threads and coroutines. All other methods ask the
    store once. `StoreUnavailable` if it does not answer within the queue's `push_timeout`.
    """

    _broker: Broker
    _rank: int
    _off: str
    _track: bool
    _found: Answer | None

    # Waiting

    def result(self, timeout: float | None = None) -> R:
        """What the task returned, waited for up to `timeout` seconds (None: without end; 0: it is looked for once).

        Raises `TaskFailed` (or `TaskTimedOut`, `TaskDead`, `TaskExpired`, `TaskCancelled`) if it did not succeed,
        `ResultTimeout` if it has not ended in time, `ResultGone` if nothing is known of it, `ResultTooLarge` and
        `ResultUnreadable` if it succeeded and its value cannot be had, `ResultsOff` and `WouldBlock` at once where waiting is
        of no use.
        """
        return self._value(self._found or self._wait(timeout))

    async def aresult(self, timeout: float | None = None) -> R:
        """`result` without blocking the event loop."""
        import asyncio

        record = self._found or await self._await(timeout)
        # What is kept elsewhere is read from there, which may take a while.
        return await asyncio.to_thread(self._value, record) if keepers_of(self._broker.config) else self._value(record)

    def join(self, timeout: float | None = None) -> None:
        """Wait until the task has ended, however that may be; raises what `result` does, but for how it ended."""
        self._found = self._found or self._wait(timeout)
        if isinstance(self._found, BaseException):
            raise self._found

    # Looking

    def state(self) -> str:
        """waiting, running, retrying, success, failure, timeout, dead, expired or cancelled; unknown if nothing is known."""
        found = self.look()
        return "unknown" if found is None else found.state

    def outcome(self) -> Outcome | None:
        """How the task ended; None if it has not, or nothing is known of it."""
        found = self.look()
        return found if isinstance(found, Outcome) else None

    def progress(self) -> Progress | None:
        """How far the running task is, as it last said by `current().progress`: looked at once a second. None if it does not run,
        or has not for a second; a task that has said nothing is at 0 of 0.
        """
        found = self.look()
        return found.progress if isinstance(found, Note) else None

    def history(self) -> list[Outcome]:
        """The failed tries of the task, the first one first, as far as `Results(history=…)` keeps them."""
        keeping = self._keeping()
        if keeping is None or not keeping.history:
            return []
        keys = [try_key(self.id, number) for number in range(1, keeping.history + 1)]
        found = self._ask(lambda store: store.records(self.queue, keys))
        tries = (self._read(key, record) for key, record in zip(keys, found, strict=True) if record is not None)
        return [one for one in tries if isinstance(one, Outcome)]

    # Changing

    def forget(self) -> None:
        """Delete what is kept of the task. If it has not ended, its outcome will be kept all the same."""
        keeping = self._keeping()
        tries = range(1, (keeping.history if keeping else 0) + 1)
        drop = Drop([key_of(self.id), *(try_key(self.id, number) for number in tries)])
        token = new_id()
        self._ask(lambda store: store.apply(self.queue, [drop], token=token))
        self._found = None

    def cancel(self) -> bool:
        """Cancel the task. False if it has ended already, or nothing is known of it.

        One that waits ends as cancelled when its turn comes. One that runs is struck within a second, or within a quarter of the
        lease where all workers of its queue are busy (`docs/killers.md`); if it succeeds all the same, it has succeeded.
        """
        if self._over():
            return False
        if pushing.override is not None:
            raise ResultError("capture() has no notice board: what cancel() does is seen with a store and a worker")
        self._ask(lambda store: store.post(self.queue, cancel=[self.id]))
        if not self._over():
            return True
        # It ended meanwhile: who has this id next is not meant.
        self._ask(lambda store: store.post(self.queue, clear=[self.id]))
        return False

    def _over(self) -> bool:
        found = self.look()
        return isinstance(found, Outcome) or (found is None and self._track)

    # How it is done

    def __reduce__(self) -> Any:
        return Pushed, tuple(self)

    def __repr__(self) -> str:
        return f"<Handle {self.id} of queue {self.queue}>"

    def look(self) -> Outcome | Note | None:
        """What is kept of the task now."""
        self._refuse_off()
        found = self._found
        if not isinstance(found, Record):
            record: Record | None = self._ask(lambda store: store.records(self.queue, [key_of(self.id)]))[0]
            if record is None:
                return None
            if FINAL <= record.rank < self._rank:
                return Note(WAITING)  # what is there is the outcome of an earlier push with this id
            found = record
        return self._read(key_of(self.id), found)

    def of(self, record: Record) -> Outcome | Note | ResultUnreadable:
        """What a record of this task says, or why that cannot be read here."""
        try:
            return self._read(key_of(self.id), record)
        except ResultUnreadable as error:
            return error

    def _read(self, key: str, record: Record) -> Outcome | Note:
        try:
            return read(self._broker.codec, record, (self.queue, key))
        except DecodeError as error:
            raise ResultUnreadable(
                f"the result of task {self.id} of queue {self.queue} cannot be read here: {error}"
            ) from error

    def _value(self, record: Answer) -> R:
        self._found = record
        if isinstance(record, BaseException):
            self._found = None  # what is not there now may come
            raise record
        found = self._read(key_of(self.id), record)
        if not isinstance(found, Outcome):
            raise ResultUnreadable(f"the record of task {self.id} is {found!r}; expected an outcome")
        if not found.success:
            self._failed(found)
        if found.lack and found.lack[0] not in OURS:
            return self._elsewhere(found.lack)
        if found.lack:
            self._lacking(found.lack)
        value: R = found.value
        return value

    def _elsewhere(self, lack: tuple[Any, ...]) -> R:
        """The value that a plugin keeps; that says itself what is wrong with it."""
        config, what = self._broker.config, f"what task {self.id} of queue {self.queue} returned"
        try:
            value: R = fetched(keepers_of(config), lack, config, what)
        except LookupError as error:
            raise ResultUnreadable(f"{what} cannot be read: {error}") from error
        return value

    def _failed(self, found: Outcome) -> NoReturn:
        error = found.error
        made = CLASSES.get(found.kind, TaskDead)(
            found.kind,
            error.type if error else "",
            error.message if error else "",
            error.traceback if error else "",
            self.id,
            self.queue,
            found.runs,
            error.bases if error else (),
        )
        for note in error.notes if error else ():
            made.add_note(note)
        raise made

    def _lacking(self, lack: tuple[Any, ...]) -> NoReturn:
        what = f"task {self.id} of queue {self.queue} has succeeded, and what it returned"
        if lack[0] == "large":
            raise ResultTooLarge(
                f"{what} has {lack[1]:,} bytes when packed; limit is {lack[2]:,}. Keep it elsewhere and return where it is, "
                "or raise Results(limit=…)"
            )
        raise ResultUnreadable(f"{what} could not be kept: {lack[1]}. Return plain data, or choose another serializer")

    # Waiting, in detail

    def _at_once(self) -> Answer:
        """For who does not want to wait: what is there now."""
        key = key_of(self.id)
        record: Record | None = self._ask(lambda store: store.records(self.queue, [key]))[0]
        if record is None and self._track:
            raise gone(self.queue, self.id)
        if record is None or record.rank < self._rank:
            raise self.late(0.0, "")
        return record

    def _wait(self, timeout: float | None) -> Answer:
        if self.ready(timeout, loop=True):
            return self.found
        if timeout == 0:
            return self._at_once()
        done = allocate_lock()
        done.acquire()
        told: list[Answer] = []

        def tell(answer: Answer) -> None:
            told.append(answer)
            done.release()

        want = self.want(tell)
        listener = listen(self._broker, [want])
        try:
            in_time = done.acquire(timeout=-1 if timeout is None else min(timeout, TIMEOUT_MAX))
        finally:
            listener.leave(want)
        if not in_time and not told:
            raise self.late(timeout, listener.trouble)
        return told[0]

    async def _await(self, timeout: float | None) -> Answer:
        import asyncio

        if self.ready(timeout, loop=False):
            return self.found
        if timeout == 0:
            return await asyncio.to_thread(self._at_once)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Answer] = loop.create_future()

        def settle(answer: Answer) -> None:
            if not done.done():
                done.set_result(answer)

        want = self.want(lambda answer: call_on(loop, settle, answer))
        listener = listen(self._broker, [want])
        try:
            return await asyncio.wait_for(done, timeout)
        except TimeoutError:
            raise self.late(timeout, listener.trouble) from None
        finally:
            listener.leave(want)

    def want(self, told: Callable[[Answer], None]) -> Want:
        """What the listener is to look for, and whom to tell, in its thread."""
        return Want(
            (self.queue, key_of(self.id)),
            self._rank,
            told,
            True if not self._track else False if self.existed or self._old() else None,
        )

    def _old(self) -> bool:
        """True if it was pushed so long ago that what was known of it may be gone."""
        return time.time() - (self._rank - FINAL) / 1000 > YOUNG

    def late(self, timeout: float | None, trouble: str) -> ResultTimeout:
        """The error of a wait that was not long enough."""
        why = f"; the store cannot be reached: {trouble}" if trouble else ""
        return ResultTimeout(
            f"task {self.id} of queue {self.queue} has no outcome within {timeout:g} s{why}. It is not ended by that: wait "
            "again, or ask for its state()"
        )

    @property
    def found(self) -> Answer:
        """The record of its outcome, or why there will be none, once that is known here."""
        assert self._found is not None
        return self._found

    @property
    def broker(self) -> Broker:
        """What this handle asks."""
        return self._broker

    def keep(self, answer: Answer) -> None:
        """What a listener has heard of it."""
        self._found = answer

    def ready(self, timeout: float | None, *, loop: bool) -> bool:
        """Whether there is no need to wait, or it is of no use: then `found` says so. Raises where a wait cannot end well."""
        if self._found is None:
            self._refuse(timeout, loop=loop)
            self._found = self._early()
        return self._found is not None

    def _refuse_off(self) -> None:
        if self._off:
            raise ResultsOff(f"there is no result of task {self.id}: {self._off}")

    def _refuse(self, timeout: float | None, *, loop: bool) -> None:
        """Raise where a wait cannot end well."""
        self._refuse_off()
        if timeout is not None:
            refuse_timeout(timeout)
            return
        if attempt_now.get(None) is not None:
            raise WouldBlock(
                f"a task waits for the result of task {self.id} without a timeout. A task that waits keeps its slot, and when "
                "all slots wait nothing runs any more; give a timeout, or push what comes next from the other task"
            )
        running = sys.modules.get("asyncio")
        if loop and running is not None and running._get_running_loop() is not None:
            raise WouldBlock(
                f"result() of task {self.id} would block the event loop that runs here; use: await handle.aresult()"
            )

    def _early(self) -> Record | None:
        """In `capture()` nothing runs while somebody waits: what is there now is all there will be."""
        if pushing.override is None:
            return None
        record: Record | None = self._ask(lambda store: store.records(self.queue, [key_of(self.id)]))[0]
        if record is not None and record.rank >= (self._rank):
            return record
        if record is None and self._track:
            raise gone(self.queue, self.id, " in this capture()")
        raise WouldBlock(
            f"task {self.id} of queue {self.queue} has not run: in capture() nothing runs by itself. Call drain() first"
        )

    def _ask(self, ask: Callable[[Any], T]) -> T:
        """Ask the store, again where an answer is missing, until `push_timeout`."""
        deadline, pause = time.monotonic() + self._broker.config.push_timeout, 0.02
        while True:
            try:
                with self._broker.connector() as connector:
                    return ask(connector)
            except StoreUnavailable:
                if time.monotonic() + pause > deadline:
                    raise
                time.sleep(pause)
                pause = min(0.5, pause * 2)

    def _keeping(self) -> Choices | None:
        return keeping_of(self._broker)


def answer(broker: Broker, date: float, kept: bool, track: bool) -> Callable[[str, str, bool], Handle[Any]]:
    """What makes the answer of a push."""
    off = (
        ""
        if kept
        else 'it was pushed without one (options(result=False), or Results(by="push") and no options(result=True))'
    )
    return partial(made, broker, rank_of(date), off, track)


def made(broker: Broker, rank: int, off: str, track: bool, id: str, queue: str, existed: bool) -> Handle[Any]:
    """A handle. `rank` is the least of the outcome that it waits for; `off` says why it has none; `track` whether pushes are noted."""
    new = tuple.__new__(Handle, (id, queue, existed))
    # What existed was pushed earlier, nobody knows when: whatever outcome is there may be that of its push.
    new._broker, new._rank, new._off, new._track, new._found = broker, FINAL if existed else rank, off, track, None
    return new


def handle(place: Queue | type[Worker] | Broker, id: str) -> Handle[Any]:
    """The handle of a task that was pushed to this queue, by whomever; `ResultsOff` if the queue keeps no results."""
    broker = place if isinstance(place, Broker) else broker_of(place, "a handle")
    keeping = keeping_of(broker)
    if keeping is None:
        raise ResultsOff(
            f'the queue "{broker.config.name}" keeps no results; name the extension: '
            f'Queue("{broker.config.name}", plugins=[Results()])'
        )
    return made(broker, FINAL, "", keeping.track and keeping.by == "queue", id, broker.config.name, True)
