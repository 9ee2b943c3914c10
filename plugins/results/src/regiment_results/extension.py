"""The extension itself: what it does to a push, and what it keeps of an end, in the step that settles it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any

from regiment import log
from regiment.bounds import YEARS, limit, period, seen
from regiment.codec import Codec
from regiment.context import attempt_now
from regiment.contracts import Effect, Keep, Push, Service
from regiment.errors import ArgumentsError, EncodeError, PayloadTooLarge
from regiment.hooks import hookimpl
from regiment.outcome import CANCELLED, COUNTED, EXPIRED, SUCCESS, Outcome
from regiment.task import Task
from regiment_results.keepers import Keepers, keepers_of, least, weighed
from regiment_results.records import (
    FINAL,
    FINISHED,
    FORMAT,
    RETRYING,
    WAITING,
    host_and_pid,
    key_of,
    note,
    note_rank,
    outcome_record,
    plain,
    rank_of,
    try_key,
)
from regiment_results.settings import Choices, problems_of

NAME = "results"
"""Of the extension, and of what it writes into a message."""
OPTION = "result"
_EFFECTS = frozenset({"effects"})


class Keeping(Choices):
    """What a queue gets that names `Results(…)`. Each process builds its own: that which pushes, and the worker."""

    needs = _EFFECTS
    understands = frozenset({NAME})

    @staticmethod
    def check(options: Mapping[str, Any]) -> list[str]:
        """All problems of the options, one sentence each."""
        return problems_of(options)

    def __init__(
        self,
        ttl: float = 3600.0,
        failure_ttl: float = 86_400.0,
        wait_ttl: float = 604_800.0,
        limit: int = 1_048_576,
        track: bool = True,
        history: int = 0,
        by: str = "queue",
        listed: bool = False,
    ) -> None:
        self.ttl, self.failure_ttl, self.wait_ttl = float(ttl), float(failure_ttl), float(wait_ttl)
        self.limit, self.track, self.history, self.by, self.listed = limit, track, history, by, listed
        self._each, self._worker = by == "queue", ""
        self._codecs: dict[str, Codec] = {}
        self._keepers: Keepers = {}
        self._most: int = limit
        self._config: Any = None

    # Where tasks are pushed

    @hookimpl
    def regiment_push_options(self) -> Mapping[str, str]:
        """What a push may say of its result."""
        return {OPTION: "False: keep no result; True: keep it; seconds: keep it so long"}

    @hookimpl
    def regiment_push(self, push: Push) -> None:
        """Note the push, in its own step, and let its answer be a handle."""
        wanted = push.options.get(OPTION)
        kept = self.by == "queue" if wanted is None else wanted is not False
        if wanted is not None:
            push.tags[NAME] = _seconds(wanted)
        push.answer = _answers()(push.broker, push.tasks[0].date, kept, self.track)
        if not kept or not self.track:
            return
        value, ttl, rank = note(WAITING), self.wait_ttl, note_rank(push.tasks[0].date)
        if push.id is not None:
            push.effects.append(Keep(key_of(push.id), value, ttl, rank, self.listed))
        else:
            push.effects += [Keep(key_of(task.id), value, ttl, rank, self.listed) for task in push.tasks]

    # Beside the keeper

    @hookimpl
    def regiment_services(self, spec: Mapping[str, Any], notes: Any) -> Mapping[str, Service]:
        """What notes, once a second, which tasks run and how far they are."""
        options = {"ttl": self.wait_ttl, "listed": self.listed}
        return {NAME: Service("regiment_results.duty:Tracking", options)} if self.track else {}

    # Where they run

    @hookimpl
    def regiment_worker_started(self, worker: Any) -> None:
        """Learn how this worker's queue writes its values."""
        self._codec(worker.config)
        self._worker, self._config = host_and_pid(), worker.config
        self._keepers = keepers_of(worker.config)
        self._most = least(self._keepers, self.limit)

    def _codec(self, config: Any) -> Codec:
        from regiment.build import make_codec
        from regiment.registry import registry

        if config.name not in self._codecs:
            self._codecs[config.name] = make_codec(config, registry().scope(config.plugins))
        return self._codecs[config.name]

    @hookimpl
    def regiment_effects(self, task: Task | None, task_id: str, outcome: Outcome, settles: str) -> Iterable[Effect]:
        """Keep the outcome of a task that has ended for good, and of its tries as many as are wanted."""
        if settles == "done" and outcome.kind == SUCCESS and task is not None and task.tags is None and self._each:
            # The way of nearly all, written out: it is what a result costs a worker.
            key, queue, now = f"r:{task_id}", task.queue, _time()
            try:
                attempt: Any = attempt_now.get()
                began = now - (_clock(_boot) - attempt.started) / 1e9
                record = [FORMAT, SUCCESS, outcome.value, None, task.run_count + 1, began, now, self._worker]
                value, date = self._codecs[queue].pack(record, (queue, key)), int(task.date * 1000)
                if len(value) <= self._most and 0 <= date < FINAL:
                    return (_new(Keep, (key, value, self.ttl, FINAL + date, self.listed, None)),)
            except Exception as error:
                del error  # it is met again, and said, below
        return self._kept(task, task_id, outcome, settles)

    def _kept(self, task: Task | None, task_id: str, outcome: Outcome, settles: str) -> Iterable[Effect]:
        kept: Any = None
        if task is not None and task.tags is not None:
            kept = task.tags.get(NAME)
            kept = kept if period(kept, -1) else None  # another release may write something else
        if kept is None:
            if self.by == "push":
                return ()
        elif kept == 0:
            return ()
        queue, codec = self._place(task)
        if settles == "again":
            return self._tried(codec, queue, task, outcome)
        now = time.time()
        ttl = kept if kept and kept > 0 else self.ttl if outcome.kind in FINISHED else self.failure_ttl
        # The task is as it was when this run began: the run itself counts where it was one.
        unrun = outcome.kind == EXPIRED or (outcome.kind == CANCELLED and outcome.error is None)
        ran = outcome.kind in COUNTED if settles == "dead" else not unrun
        runs = 0 if task is None else task.run_count + ran
        key, make = key_of(task_id), partial(outcome_record, runs, outcome, now, _ran())
        value = self._packed(codec, (queue, key), make, outcome.value, ttl)
        return (Keep(key, value, ttl, rank_of(now if task is None else task.date), self.listed),)

    def _place(self, task: Task | None) -> tuple[str, Codec]:
        """The queue of a task, and the codec that writes its outcome: that of this worker, also for what it took elsewhere."""
        if task is not None and (found := self._codecs.get(task.queue)) is not None:
            return task.queue, found
        queue, codec = next(iter(self._codecs.items()))
        return queue if task is None else task.queue, codec

    def _packed(
        self, codec: Codec, where: tuple[str, str], make: Callable[..., list[Any]], returned: Any, ttl: float
    ) -> bytes:
        """The bytes of an outcome; where its value is kept elsewhere, or cannot be kept, of the outcome without it, which says so."""
        lack: tuple[Any, ...]
        try:
            value, lack = weighed(self._keepers, codec, make, where, returned, ttl, self._config)
            if lack:
                return codec.pack(make(lack), where)
            if len(value) <= self.limit:
                return value
            lack = ("large", len(value), self.limit)
        except (EncodeError, PayloadTooLarge) as error:
            lack = ("refused", plain(str(error)[:500]))
        except Exception as error:  # a stranger's serializer may raise anything; the task has succeeded all the same
            lack = ("refused", plain(f"{type(error).__name__}: {error}"[:500]))
        said = str(lack[1]) if lack[0] == "refused" else f"{lack[1]:,} bytes, more than limit ({self.limit:,})"
        log.event(
            logging.WARNING, "result.refused", why=said, next="its outcome is kept without it", **log.attempt_fields()
        )
        return codec.pack(make(lack), where)

    def _tried(self, codec: Codec, queue: str, task: Task | None, outcome: Outcome) -> Sequence[Effect]:
        """A try that is followed by another one: an exchange of its own anyway, so this costs no round trip."""
        made: list[Effect] = []
        if task is None:
            return made
        if self.track:
            state = RETRYING if outcome.kind in COUNTED else WAITING
            made.append(Keep(key_of(task.id), note(state), self.wait_ttl, note_rank(task.date), self.listed))
        number = task.run_count + 1
        if number <= self.history and outcome.kind in COUNTED:
            key, now = try_key(task.id, number), time.time()
            record = outcome_record(number, outcome, now, _ran())
            made.append(Keep(key, codec.pack(record, (queue, key)), self.failure_ttl, rank_of(task.date)))
        return made


@cache
def _answers() -> Callable[..., Any]:
    """What makes the answers of pushes; a worker never loads it."""
    from regiment_results.handles import answer

    return answer


_new: Any = tuple.__new__  # half as dear as the call of a named tuple
_clock, _boot, _time = time.clock_gettime_ns, time.CLOCK_BOOTTIME, time.time


def _ran() -> float:
    """Seconds since the attempt that runs here has started."""
    started = getattr(attempt_now.get(None), "started", 0)
    return (_clock(_boot) - started) / 1e9 if started else 0.0


def _seconds(wanted: object) -> float:
    """What the tag of a push says: 0 for no result, -1 for one that is kept as long as the queue keeps them, or seconds."""
    if isinstance(wanted, bool):
        return -1 if wanted else 0
    if limit(wanted):
        return float(wanted)  # type: ignore[arg-type]
    raise ArgumentsError(
        f"{OPTION} is {seen(wanted)}; expected True, False, or seconds above 0 for which the result is kept, at most {YEARS} years"
    )
