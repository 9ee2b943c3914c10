"""One try at one delivery, from its decoding to its settlement: the only place where an outcome is judged."""

from __future__ import annotations

import contextlib
import errno
import inspect
import json
import logging
import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from types import CoroutineType
from typing import Any, NoReturn, Protocol

from garrison import descendants, log, page, policy
from garrison import outcome as outcomes
from garrison.codec import Codec, read_head
from garrison.config import WorkerConfig
from garrison.contracts import Again, Back, Dead, Delivery, Done, Park, Settlement
from garrison.errors import (
    Control,
    DecodeError,
    Fail,
    Forged,
    Requeue,
    Respawn,
    Retry,
    Stop,
    TaskTimeout,
)  # fmt: skip
from garrison.outcome import Outcome
from garrison.policy import Rules, Step
from garrison.taking import Desk, Taking
from garrison.task import Task, attempt_now
from garrison.verdict import judge, read_note, reason_of, safe_repr

Call = tuple[Callable[..., Any], tuple[Any, ...]]
Steps = Generator[Call, Any, None]


class Application(Protocol):
    """What user code looks like from here: a `Worker`, or a `Queue` with its functions."""

    config: WorkerConfig
    handlers: Mapping[str, Callable[..., Any]]
    """The hooks that the user defined, by name: pre_work, post_work, on_success, …; absent ones are not called."""

    def work_for(self, task: Task) -> tuple[Callable[[Task], Any], Rules] | None:
        """What runs the task, and under which rules; None for a name that is not known here."""


class Settler(Protocol):
    """Who takes the settlements: the source."""

    def done(self, attempt: Attempt) -> None: ...

    def follow(self, attempt: Attempt) -> bool: ...

    def finish(self, attempt: Attempt, settlement: Settlement) -> None: ...

    def end(self, respawn: bool) -> None: ...


class Runtime:
    """What all attempts of one worker share."""

    def __init__(
        self, app: Application, codec: Codec, sheet: page.Page, killer: Any, **hooks: Any
    ) -> None:
        self.app, self.codec, self.page, self.killer = app, codec, sheet, killer
        self.config, self.handlers = app.config, app.handlers
        self.around: Sequence[Callable[[Task], AbstractContextManager[Any]]] = hooks.get(
            "around", ()
        )
        self.started: Sequence[Callable[[Task], None]] = hooks.get("started", ())
        self.finished: Sequence[Callable[[Task, Outcome, float], None]] = hooks.get("finished", ())
        self.died: Sequence[Callable[[Any], None]] = hooks.get("died", ())
        self.call: Callable[..., Any] = hooks.get("call", _plainly)
        """Calls a hook that belongs to no task where this worker's code runs."""
        self.desk: Desk | None = None
        self.slots, self.elsewhere, self.forked = 1, False, False
        """`elsewhere`: attempts end in other threads than the source's driver; `forked`: this is a process that a task
        forked, and no worker any more.
        """
        self.reusable: bool = getattr(killer, "reusable", False)
        """Whether a killer's guard may be entered for one task after another of its slot."""
        self._awaits: dict[str, bool] = {}
        self.decode, self.queue, self.work_for = codec.decode, self.config.name, app.work_for
        self.debug = log.logger.isEnabledFor(logging.DEBUG)
        has = self.handlers.keys()
        self.plain = not (
            self.around or self.started or self.finished or self.debug
            or has & {"pre_work", "post_work", "on_success"}
        )  # fmt: skip
        """Whether a success needs nothing but its settlement."""
        self.levels = self.config.logging.events

    def awaits(self, name: str) -> bool:
        """Whether what runs tasks of this name is a coroutine function."""
        known = self._awaits.get(name)
        if known is None:
            works = getattr(self.app, "works", {})
            known = inspect.iscoroutinefunction(works.get(name) or works.get("work"))
            self._awaits[name] = known
        return known


class Attempt:
    """One try. Each slot has one, used again for every delivery that runs there; `task` is None until decoded."""

    __slots__ = (
        "at",
        "delivery",
        "ending",
        "found",
        "guard",
        "guarded",
        "identity",
        "number",
        "outcome",
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

    def __init__(self, runtime: Runtime, source: Settler, slot: int) -> None:
        self.runtime, self.source, self.slot = runtime, source, slot
        self.at, self.words = page.slot_index(slot), runtime.page.words
        self.start_at = self.at * 8 + page.START_AT
        self.task: Task | None = None
        self.shown = ""
        """The name that stands on the page."""
        self.found: tuple[Callable[[Task], Any], Rules] | None = None
        """What runs tasks of that name."""
        self.outcome: Outcome | None = None
        """How it ended, while its handlers run."""
        self.ending: list[bool] = []
        self.guard: AbstractContextManager[None] = _UNGUARDED
        self.guarded: Rules | None = None
        """The rules whose limits `guard` arms."""

    # What an executor calls

    def run(self) -> None:
        """Run to the settlement, here. Never raises what the task raised."""
        self._run_each(self._end_alone)

    def run_on(self) -> None:
        """Run to the settlement, and then what is next in its slot, as long as nothing else is due: for an executor that
        runs one after the other in the thread that takes them. It saves some calls for each task.
        """
        self._run_each(self.source.follow)

    def _run_each(self, follow: Callable[[Attempt], bool]) -> None:
        if attempt_now.get(None) is not self:
            attempt_now.set(self)
        runtime, words, at = self.runtime, self.words, self.at
        plain, decode, queue = runtime.plain, runtime.decode, runtime.queue
        while True:
            _, payload, count, note, _ = self.delivery
            try:
                self.task = task = decode(payload, queue, count)
            except DecodeError as error:
                self._unreadable(error)
                return
            found = self.found
            if (
                found is None or task.name != self.shown
                or count or note is not None or task.expires is not None
            ):  # fmt: skip
                found = self._admit(task)
                if found is None:
                    return
            work, rules = found
            if not plain or self.outcome is not None:
                _drive(self._whole(work, rules))
                return
            if rules.limited:
                outcome = self._work(work, rules)
            else:
                # `_work` where nothing strikes, without its call.
                try:
                    value = work(task)
                    if value is None:
                        words[at] = self.number << 3 | page.DONE
                        outcome = _DONE
                    else:
                        outcome = self._judge_value(value)
                except BaseException as error:
                    outcome = self._raised(error, rules)
            if outcome is not _DONE:
                _drive(self._ending(outcome, rules))
                return
            if not follow(self):
                return

    def _end_alone(self, attempt: Attempt) -> bool:
        self.task = None
        self.source.done(self)
        return False

    async def arun(self) -> None:
        """The same on an event loop, where hooks and `work` may be coroutine functions."""
        attempt_now.set(self)
        found = self._open()
        if found is None:
            return
        work, rules = found
        if self.outcome is not None or not self.runtime.plain:
            await _adrive(self._whole(work, rules, self._awork))
            return
        outcome = await self._awork(work, rules)
        if outcome is _DONE:
            self.task = None
            self.source.done(self)
        else:
            await _adrive(self._ending(outcome, rules))

    def abandon(self, stack: str) -> None:
        """End it as a timeout without its thread, which stands at `stack` and is not waited for any more.

        For a thread of its own, after `claim`: the handlers that run here may take their time.
        """
        attempt_now.set(self)
        task = self.task
        found = None if task is None else self.runtime.work_for(task)
        rules = _NO_RULES if found is None else found[1]
        text = "its time limit has passed, and its thread did not stop"
        evidence = {
            "kind": outcomes.TIMEOUT,
            "rung": "written off",
            "reason": text,
            "stacks": stack,
        }
        outcome = Outcome(
            outcomes.TIMEOUT, error=TaskTimeout(text), text=f"{text}; it stands at\n{stack}",
            evidence={**evidence, **self._measured()},
        )  # fmt: skip
        _drive(self._ending(outcome, rules))

    def claim(self) -> bool:
        """Whether the caller is the one to end this attempt: its own thread, or who writes that off; the first is."""
        try:
            return self.ending.pop()
        except IndexError:
            return False

    # What a task may call, through `current()`

    def remaining(self) -> float | None:
        """Seconds until this task's limit; None without one. Negative if it has passed."""
        words, at = self.words, self.at
        limit = words[at + page.SOFT] or words[at + page.HARD]
        return (limit - page.now()) / 1e9 if limit else None

    def progress(self, done: int, total: int = 0, note: str = "") -> None:
        """Tell `garrison workers` how far this task is; costs no system call."""
        self.runtime.page.progress(self.slot, done, total, note)

    @property
    def evidence(self) -> dict[str, Any]:
        """What was kept when this task was struck, or ended a worker before: `rung`, `reason`, `stacks`, `rss` (bytes),
        `cpu` and `seconds`, as far as they are known; empty for an ordinary task.
        """
        if self.outcome is not None and self.outcome.evidence:
            return self.outcome.evidence
        return read_note(self.delivery.note)

    def take(self, number: int, queue: str | None = None) -> Taking:
        """`with current().take(100) as tasks:` up to `number` tasks of a queue (this one by default) to do in one go.

        They are done at the end of the block and go back if it raises.
        """
        if self.runtime.desk is None:
            raise RuntimeError("take works in a task that a worker runs")
        return self.runtime.desk.take(number, queue)

    def retry(self, **options: Any) -> NoReturn:
        """Run this task again as one of its retries: `delay` seconds from now, or `at` a time; `priority`."""
        raise Retry(**options)

    def requeue(self, **options: Any) -> NoReturn:
        """Run this task again without counting a run: `delay`, `at`, `priority`."""
        raise Requeue(**options)

    def fail(self, reason: object = None) -> NoReturn:
        """Make this task a dead letter at once."""
        raise Fail(reason=reason)

    def stop(self, *, done: bool = False) -> NoReturn:
        """End all workers of this target; the task goes back, or is finished if `done`."""
        raise Stop(done=done)

    def respawn(self, *, done: bool = False) -> NoReturn:
        """Replace this worker process; the task goes back, or is finished if `done`."""
        raise Respawn(done=done)

    # The life of an attempt

    def _open(self) -> tuple[Callable[[Task], Any], Rules] | None:
        """Decode; (work, rules), or None if it is settled already. What must not run has its `outcome` set."""
        runtime, delivery = self.runtime, self.delivery
        try:
            self.task = runtime.decode(delivery.payload, runtime.queue, delivery.count)
        except DecodeError as error:
            self._unreadable(error)
            return None
        return self._admit(self.task)

    def _admit(self, task: Task) -> tuple[Callable[[Task], Any], Rules] | None:
        """What runs a task that was decoded, and its rules; as `_open`."""
        runtime, delivery = self.runtime, self.delivery
        if task.name != self.shown or self.found is None:
            self.shown = task.name
            runtime.page.name(self.slot, task.name)
            self.found = runtime.work_for(task)
        if self.found is None:
            self._park(
                f"no task named {task.name!r} is known on queue {task.queue!r}", outcomes.UNKNOWN
            )
            return None
        if task.expires is not None and time.time() >= task.expires:
            log.event(logging.INFO, "task.expired", **log.attempt_fields())
            self._close(Done(self.number, self.number))
            return None
        self.outcome = None
        if delivery.count or delivery.note is not None:
            self.outcome = self._foregone(delivery)
        return self.found

    def _foregone(self, delivery: Delivery) -> Outcome | None:
        """The outcome of a delivery that was struck, or has ended its worker too often; None for one that may run."""
        evidence = read_note(delivery.note)
        if evidence.get("kind") == outcomes.TIMEOUT:
            text = f"{evidence.get('reason', 'killed at its time limit')}\n{evidence.get('stacks', '')}".rstrip()
            late = TaskTimeout(evidence.get("reason", "killed at its time limit"))
            return Outcome(outcomes.TIMEOUT, error=late, text=text, evidence=evidence)
        config = self.runtime.config
        if delivery.count >= (1 if config.delivery == "at_most_once" else config.max_deliveries):
            times = "once" if delivery.count == 1 else f"{delivery.count} times, the last time"
            text = f"ended its worker {times}: {evidence.get('reason', 'its host was lost')}"
            return Outcome(outcomes.POISON, text=text, evidence=evidence)
        return None

    def _work(self, work: Callable[[Task], Any], rules: Rules) -> Outcome:
        """The guarded region. A strike lands inside of it or nowhere: it ends by a word on the page (R12).

        A plain success is marked done at once; whatever has more to do is marked *ended*.
        """
        words, at, number = self.words, self.at, self.number
        elsewhere = self.runtime.elsewhere and rules.limited
        ended = number << 3 | (page.DONE if self.runtime.plain else page.ENDED)
        if elsewhere:
            self.ending = [True]
        try:
            with self.guard if rules is self.guarded else self._guard(rules):
                value = work(self.task)  # type: ignore[arg-type]
                words[at] = ended if value is None else number << 3 | page.ENDED
            if words[at + page.CONDEMNED] == number:
                self._stand_still_if_condemned()
            if elsewhere and not self.claim():
                _stand_still_for_ever()
        except BaseException as error:
            if elsewhere and not self.claim():
                _stand_still_for_ever()
            return self._raised(error, rules)
        return _DONE if value is None else self._judge_value(value)

    def _raised(self, error: BaseException, rules: Rules) -> Outcome:
        self.words[self.at] = self.number << 3 | page.ENDED
        self._stand_still_if_condemned()
        return judge(error, rules)

    def _judge_value(self, value: Any) -> Outcome:
        """The outcome of work that returned something."""
        words, at, number = self.words, self.at, self.number
        words[at] = number << 3 | page.ENDED
        if type(value) is CoroutineType:
            value.close()
            text = _COROUTINE.format(self.task)
            return Outcome(outcomes.FAILURE, error=TypeError(text), text=text)
        if self.runtime.plain:
            words[at] = number << 3 | page.DONE
            return _DONE
        return Outcome(outcomes.SUCCESS, value)

    def _guard(self, rules: Rules) -> AbstractContextManager[None]:
        """The killer's guard for these limits, kept if it may be used again."""
        if not rules.limited:
            return _UNGUARDED
        killer = self.runtime.killer
        made: AbstractContextManager[None] = killer.guard(self.slot, rules.soft, rules.hard)
        if self.runtime.reusable:
            self.guard, self.guarded = made, rules
        return made

    async def _awork(self, work: Callable[[Task], Any], rules: Rules) -> Outcome:
        """The same on a loop: a coroutine function is awaited, a plain function runs in a thread."""
        runtime, task, words, at = self.runtime, self.task, self.words, self.at
        assert task is not None
        ended = self.number << 3 | (page.DONE if runtime.plain else page.ENDED)
        try:
            with self._guard(rules):
                value = work(task) if runtime.awaits(task.name) else await _in_thread(work, task)
                if inspect.isawaitable(value):
                    value = await value
                words[at] = ended
        except BaseException as error:
            words[at] = self.number << 3 | page.ENDED
            self._stand_still_if_condemned()
            if type(error).__name__ == "CancelledError" and words[page.ORDERS] & page.STOP:
                return Outcome(outcomes.INTERRUPTED, error=error)
            return judge(error, rules)
        if rules.limited:
            self._stand_still_if_condemned()
        return _DONE if runtime.plain else Outcome(outcomes.SUCCESS, value)

    def _stand_still_if_condemned(self) -> None:
        """R12, R16: named by the supervisor, the worker waits for the strike, or for the name to be taken back."""
        words, at = self.words, self.at
        while words[at + page.CONDEMNED] == self.number:
            time.sleep(0.0005)

    def _whole(self, work: Callable[[Task], Any], rules: Rules, guarded: Any = None) -> Steps:
        """Everything around the work, as steps: whoever drives them decides whether to call or to await."""
        runtime, task, outcome = self.runtime, self.task, self.outcome
        assert task is not None
        if outcome is None and runtime.debug:
            log.event(logging.DEBUG, "task.started", **log.attempt_fields())
        with ExitStack() as stack:
            for around in runtime.around:
                log.tell(_enter, stack, around, task)
            for told in runtime.started:
                log.tell(told, task)
            if outcome is None and "pre_work" in runtime.handlers:
                try:
                    yield runtime.handlers["pre_work"], (task,)
                except BaseException as error:
                    outcome = judge(error, rules)
            if outcome is None:
                outcome = yield (guarded or self._work), (work, rules)
            yield from self._ending(outcome, rules)

    def _ending(self, outcome: Outcome, rules: Rules) -> Steps:
        """post_work, the handler, the settlement."""
        runtime, task = self.runtime, self.task
        assert task is not None
        if runtime.forked:
            self._close(Back(self.number, self.number))  # ends this process, before any handler
        self._mark_ended()
        self._look_at(outcome)
        self.outcome = outcome
        if "post_work" in runtime.handlers:
            yield from self._hook(
                "post_work", task, outcome.kind == outcomes.SUCCESS, outcome.error
            )
        step = policy.next_step(outcome, task.run_count, rules)
        replaced = yield from self._handler(outcome)
        if replaced is not None and outcome.kind in (outcomes.FAILURE, outcomes.TIMEOUT):
            replaced.evidence = outcome.evidence
            self.outcome = outcome = replaced
            step = policy.next_step(outcome, task.run_count, rules)
        if step.exhausted:
            yield from self._hook(outcomes.HANDLERS[outcomes.MAX_RETRIES], task)
        seconds = (page.now() - self.started) / 1e9
        self._log(outcome, step, seconds)
        for told in runtime.finished:
            log.tell(told, task, outcome, seconds)
        settlement = self._settlement(outcome, step, task)
        if isinstance(settlement, Dead):
            yield from self._hook("on_dead", task, json.loads(settlement.reason))
            self._tell_dead(settlement)
        if outcome.kind in (outcomes.STOP, outcomes.RESPAWN):
            self.source.end(respawn=outcome.kind == outcomes.RESPAWN)
        self.outcome = None
        self._close(settlement)

    def _look_at(self, outcome: Outcome) -> None:
        """What an end asks for besides its handlers: evidence of a soft strike, and an end of what cannot go on."""
        error = outcome.error
        if outcome.kind == outcomes.TIMEOUT and outcome.evidence is None:
            reason = safe_repr(error, 500) if error is not None else ""
            outcome.evidence = {
                "kind": outcomes.TIMEOUT,
                "rung": "soft",
                "reason": reason,
                **self._measured(),
            }
            if self.runtime.slots == 1:
                descendants.end_since(self.started)
        elif isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            log.event(
                logging.ERROR, "worker.exhausted", error=str(error), next="the worker is replaced",
                **log.attempt_fields(),
            )  # fmt: skip
            self.source.end(respawn=True)

    def _measured(self) -> dict[str, Any]:
        """Seconds since the start, and resident memory (bytes) and CPU seconds of this process."""
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = round((page.now() - self.started) / 1e9, 3)
        return {
            "seconds": seconds,
            "rss": _resident(),
            "cpu": round(used.ru_utime + used.ru_stime, 2),
        }

    def _handler(self, outcome: Outcome) -> Generator[Call, Any, Outcome | None]:
        """Call the handler of the outcome; a control that it raises is returned, judged."""
        name = outcomes.HANDLERS.get(outcome.kind)
        if name is None or name not in self.runtime.handlers:
            return None
        extra: tuple[Any, ...] = ()
        if name == "on_success":
            extra = (outcome.value,)
        elif name == "on_failure":
            extra = (outcome.error,)
        return (yield from self._hook(name, self.task, *extra))

    def _hook(self, name: str, *args: Any) -> Generator[Call, Any, Outcome | None]:
        """Call a hook if the user has it; what it raises is logged, and a control is returned, judged."""
        hook = self.runtime.handlers.get(name)
        if hook is None:
            return None
        if name == "on_stop":
            args = args[:1]
        try:
            yield hook, args
        except BaseException as error:
            judged = judge(error, _NO_RULES)
            if isinstance(judged.error, Control):
                return judged
            log.event(
                logging.ERROR, "hook.error", exc_info=error, hook=name, **log.attempt_fields()
            )
        return None

    def _settlement(self, outcome: Outcome, step: Step, task: Task) -> Settlement:
        if step.settle == "done":
            return Done(self.number, self.number)
        if step.settle == "back":
            return Back(self.number, self.number)
        if step.counts:
            task.run_count += 1
        if step.settle == "again":
            return Again(self.number, self.runtime.codec.encode(task), step.delay, step.priority)
        return Dead(self.number, task.id, reason_of(outcome, task), self.runtime.codec.encode(task))

    def _close(self, settlement: Settlement) -> None:
        self.source.finish(self, settlement)

    def _mark_ended(self) -> None:
        words, at = self.words, self.at
        if words[at] & 7 == page.STARTED:
            words[at] = self.number << 3 | page.ENDED

    def _unreadable(self, error: DecodeError) -> None:
        if error.parkable:
            self._park(str(error), outcomes.UNKNOWN)
            return
        try:
            task_id = read_head(self.delivery.payload).task_id
        except DecodeError:
            task_id = ""
        kind = "forged" if isinstance(error, Forged) else outcomes.UNREADABLE
        self._bury(kind, str(error), task_id)

    def _park(self, text: str, kind: str) -> None:
        """Leave it for a worker of another release; dead once it has been parked for `unknown_for`."""
        config, delivery = self.runtime.config, self.delivery
        if delivery.parked >= config.unknown_for:
            task_id = self.task.id if self.task else read_head(delivery.payload).task_id
            self._bury(kind, f"{text}; parked for {delivery.parked:.0f} s", task_id)
            return
        delay = min(
            60.0, max(1.0, delivery.parked), max(0.05, config.unknown_for - delivery.parked)
        )
        level = logging.WARNING if not delivery.parked else logging.INFO
        log.event(level, "task.parked", reason=text, next_in=round(delay, 1), queue=config.name)
        self._mark_ended()
        self._close(Park(self.number, delay))

    def _bury(self, kind: str, text: str, task_id: str) -> None:
        self._mark_ended()
        reason = {"kind": kind, "error": text, "queue": self.runtime.config.name, "name": ""}
        settlement = Dead(self.number, task_id, json.dumps(reason).encode())
        log.event(
            logging.ERROR, f"task.{kind}", reason=text, id=task_id, queue=self.runtime.config.name
        )
        self._tell_dead(settlement)
        self._close(settlement)

    def _tell_dead(self, letter: Dead) -> None:
        reason = json.loads(letter.reason)
        for told in self.runtime.died:
            log.tell(told, {"task_id": letter.task_id, "queue": self.runtime.config.name, **reason})

    def _log(self, outcome: Outcome, step: Step, seconds: float) -> None:
        """A failing task is loud: its traceback, and what happens next."""
        level = _LEVELS.get(outcome.kind, logging.INFO)
        if step.settle == "dead":
            level = logging.ERROR
        named = self.runtime.levels.get(f"task.{outcome.kind}", "")
        if named is None:
            return
        level = getattr(logging, named) if named else level
        if not log.logger.isEnabledFor(level):
            return
        fields: dict[str, Any] = {**log.attempt_fields(), "seconds": round(seconds, 6)}
        if outcome.error is not None:
            fields["error_type"], fields["error"] = (
                type(outcome.error).__name__,
                safe_repr(outcome.error, 500),
            )
        if outcome.evidence:
            fields["evidence"] = {k: v for k, v in outcome.evidence.items() if k != "stacks"}
        fields["next"] = {
            "again": f"runs again in {step.delay:.1f} s", "dead": "is a dead letter",
            "back": "goes back to its queue", "done": "is done",
        }[step.settle]  # fmt: skip
        text = outcome.text if outcome.kind in (outcomes.FAILURE, outcomes.TIMEOUT) else ""
        if text:
            fields["traceback"] = text
        log.event(level, f"task.{outcome.kind}", **fields)


def _stand_still_for_ever() -> NoReturn:
    """In a thread that was written off and has come back: its task has ended without it, and its worker is leaving."""
    while True:
        time.sleep(3600)


async def _in_thread(work: Callable[[Task], Any], task: Task) -> Any:
    """Run plain work in a thread of the loop's, with this context. A cancellation does not end it: nothing can."""
    import asyncio
    import contextvars

    def caught() -> tuple[Any, BaseException | None]:
        try:
            return work(task), None
        except BaseException as error:
            return None, error

    loop = asyncio.get_running_loop()
    future = loop.run_in_executor(None, contextvars.copy_context().run, caught)
    while not future.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(future)
    value, error = future.result()
    if error is not None:
        raise error
    return value


def _plainly(hook: Callable[..., Any], *args: Any) -> Any:
    return hook(*args)


def _resident() -> int | None:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return None


_UNGUARDED: contextlib.nullcontext[None] = contextlib.nullcontext()
_COROUTINE = (
    '{} returned a coroutine that nobody awaits; use executor="asyncio" for async def tasks'
)
_DONE = Outcome(outcomes.SUCCESS)
"""A success of which nobody wants to know more."""

_LEVELS = {
    outcomes.SUCCESS: logging.DEBUG, outcomes.FAILURE: logging.WARNING, outcomes.TIMEOUT: logging.WARNING,
    outcomes.FAIL: logging.ERROR, outcomes.POISON: logging.ERROR,
}  # fmt: skip
_NO_RULES = Rules.of(WorkerConfig("none"))


def _enter(
    stack: ExitStack, around: Callable[[Task], AbstractContextManager[Any]], task: Task
) -> None:
    """Put a plugin's context around the attempt; neither its entry nor its exit can end the worker."""
    manager = around(task)
    manager.__enter__()
    stack.callback(log.tell, manager.__exit__, None, None, None)


def _drive(steps: Steps) -> None:
    """Run steps by calling them."""
    try:
        call, args = next(steps)
        while True:
            try:
                value = call(*args)
            except BaseException as error:
                call, args = steps.throw(error)
            else:
                call, args = steps.send(value)
    except StopIteration:
        pass


async def _adrive(steps: Steps) -> None:
    """Run steps on an event loop: what they return is awaited where it can be."""
    try:
        call, args = next(steps)
        while True:
            try:
                value = call(*args)
                if inspect.isawaitable(value):
                    value = await value
            except BaseException as error:
                call, args = steps.throw(error)
            else:
                call, args = steps.send(value)
    except StopIteration:
        pass


def hooks_of(app: Application) -> Iterator[str]:
    """Names of the user's hooks that are coroutine functions."""
    return (name for name, hook in app.handlers.items() if inspect.iscoroutinefunction(hook))
