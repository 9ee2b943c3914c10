"""What becomes of an attempt after its work: handlers, settlement, and what is told to whom."""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from regiment import log
from regiment import outcome as outcomes
from regiment.codec import read_head
from regiment.config import WorkerConfig
from regiment.contracts import Again, Back, Dead, Done, Park, Settlement
from regiment.errors import Control, DecodeError, Forged
from regiment.outcome import Outcome
from regiment.task import Task
from regiment_runner.shared import descendants, page, procfs
from regiment_runner.worker import policy
from regiment_runner.worker.controls import Controls
from regiment_runner.worker.policy import Rules, Step
from regiment_runner.worker.verdict import judge, reason_of, safe_repr

Call = tuple[Callable[..., Any], tuple[Any, ...]]
Steps = Generator[Call, Any, None]


class Ending(Controls):
    """One try, from the end of its work to its settlement. Steps are called or awaited by whoever drives them."""

    __slots__ = ()

    def _whole(self, work: Callable[[Task], Any], rules: Rules, guarded: Callable[..., Any]) -> Steps:
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
                outcome = yield guarded, (work, rules)
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
            yield from self._hook("post_work", task, outcome.kind == outcomes.SUCCESS, outcome.error)
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
                logging.ERROR,
                "worker.exhausted",
                error=str(error),
                next="the worker is replaced",
                **log.attempt_fields(),
            )
            self.source.end(respawn=True)

    def _measured(self) -> dict[str, Any]:
        """Seconds since the start, and resident memory (bytes) and CPU seconds of this process."""
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = round((page.now() - self.started) / 1e9, 3)
        return {
            "seconds": seconds,
            "rss": procfs.resident(),
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
            judged = judge(error, NO_RULES)
            if isinstance(judged.error, Control):
                return judged
            log.event(logging.ERROR, "hook.error", exc_info=error, hook=name, **log.attempt_fields())
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
        delay = min(60.0, max(1.0, delivery.parked), max(0.05, config.unknown_for - delivery.parked))
        level = logging.WARNING if not delivery.parked else logging.INFO
        log.event(level, "task.parked", reason=text, next_in=round(delay, 1), queue=config.name)
        self._mark_ended()
        self._close(Park(self.number, delay))

    def _bury(self, kind: str, text: str, task_id: str) -> None:
        self._mark_ended()
        reason = {"kind": kind, "error": text, "queue": self.runtime.config.name, "name": ""}
        settlement = Dead(self.number, task_id, json.dumps(reason).encode())
        log.event(logging.ERROR, f"task.{kind}", reason=text, id=task_id, queue=self.runtime.config.name)
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
            "again": f"runs again in {step.delay:.1f} s",
            "dead": "is a dead letter",
            "back": "goes back to its queue",
            "done": "is done",
        }[step.settle]
        text = outcome.text if outcome.kind in (outcomes.FAILURE, outcomes.TIMEOUT) else ""
        if text:
            fields["traceback"] = text
        log.event(level, f"task.{outcome.kind}", **fields)


def _enter(stack: ExitStack, around: Callable[[Task], AbstractContextManager[Any]], task: Task) -> None:
    """Put a plugin's context around the attempt; neither its entry nor its exit can end the worker."""
    manager = around(task)
    manager.__enter__()
    stack.callback(log.tell, manager.__exit__, None, None, None)


_LEVELS = {
    outcomes.SUCCESS: logging.DEBUG,
    outcomes.FAILURE: logging.WARNING,
    outcomes.TIMEOUT: logging.WARNING,
    outcomes.FAIL: logging.ERROR,
    outcomes.POISON: logging.ERROR,
}
NO_RULES = Rules.of(WorkerConfig("none"))
