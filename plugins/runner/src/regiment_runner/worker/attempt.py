"""One try at one delivery, from its decoding to its settlement: the only place where an outcome is judged."""

from __future__ import annotations

import contextlib
import inspect
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import CoroutineType
from typing import Any, NoReturn

from regiment import log
from regiment import outcome as outcomes
from regiment.context import attempt_now
from regiment.contracts import Delivery, Done
from regiment.errors import DecodeError, TaskTimeout
from regiment.outcome import Outcome
from regiment.task import Task
from regiment_runner.shared import page
from regiment_runner.worker.controls import UNGUARDED, Controls
from regiment_runner.worker.ending import NO_RULES, Ending, Steps
from regiment_runner.worker.policy import Rules
from regiment_runner.worker.verdict import judge, read_note


class Attempt(Ending):
    """One try. Each slot has one, used again for every delivery that runs there; `task` is None until decoded."""

    __slots__ = ()

    # What an executor calls

    def run(self) -> None:
        """Run to the settlement, here. Never raises what the task raised."""
        self._run_each(self._end_alone)

    def run_on(self) -> None:
        """Run to the settlement, and then what is next in its slot, as long as nothing else is due: for an executor that
        runs one after the other in the thread that takes them. It saves some calls for each task.
        """
        self._run_each(self.source.follow)

    def _run_each(self, follow: Callable[[Controls], bool]) -> None:
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
            if found is None or task.name != self.shown or count or note is not None or task.expires is not None:
                found = self._admit(task)
                if found is None:
                    return
            work, rules = found
            if not plain or self.outcome is not None:
                _drive(self._whole(work, rules, self._work))
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

    def _end_alone(self, attempt: Controls) -> bool:
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
        rules = NO_RULES if found is None else found[1]
        text = "its time limit has passed, and its thread did not stop"
        evidence = {
            "kind": outcomes.TIMEOUT,
            "rung": "written off",
            "reason": text,
            "stacks": stack,
        }
        outcome = Outcome(
            outcomes.TIMEOUT,
            error=TaskTimeout(text),
            text=f"{text}; it stands at\n{stack}",
            evidence={**evidence, **self._measured()},
        )
        _drive(self._ending(outcome, rules))

    def claim(self) -> bool:
        """Whether the caller is the one to end this attempt: its own thread, or who writes that off; the first is."""
        try:
            return self.ending.pop()
        except IndexError:
            return False

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
            self._park(f"no task named {task.name!r} is known on queue {task.queue!r}", outcomes.UNKNOWN)
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
        once = config.delivery == "at_most_once"
        if evidence.get("kind") == "suspect" and not once:
            return None  # R19: alone, as on its last delivery
        if delivery.count >= (1 if once else config.max_deliveries):
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
            return UNGUARDED
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


_COROUTINE = '{} returned a coroutine that nobody awaits; use executor="asyncio" for async def tasks'
_DONE = Outcome(outcomes.SUCCESS)
"""A success of which nobody wants to know more."""
