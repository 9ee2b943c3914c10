"""The short way: one plain task after another, in the thread that takes them. The only fast path there is.

What it leaves out costs more than what it does. Whatever is not plain goes the ordinary way (`Attempt.run`, `Source.take`), and
the tests hold both ways to the same settlements and the same words on the page.
"""

from __future__ import annotations

import time

from regiment.errors import DecodeError
from regiment.outcome import Outcome
from regiment_runner.shared import page
from regiment_runner.worker.admission import admit
from regiment_runner.worker.ending import drive, ending, settle_unrun
from regiment_runner.worker.guarded import DONE, judged, raised, worked
from regiment_runner.worker.leaving import kept
from regiment_runner.worker.opening import LARGE, admitted
from regiment_runner.worker.policy import Rules
from regiment_runner.worker.saying import say_started, say_success
from regiment_runner.worker.trial import Line, Trial

_clock, _BOOT, _pack = time.clock_gettime_ns, page.CLOCK, page.PACK_START


def sprint(attempt: Trial, line: Line) -> None:
    """Run a delivery that has started and is plain, and then what follows it, as long as nothing else is due.

    The first that succeeds is told to the line at once, which then knows when it is to be settled. Those between it and the last
    are told at the end, as one span: their page says what they are (R2), and no batch is longer than the worker may still run.
    """
    first = attempt.number
    try:
        succeeded = _run_each(attempt, line)
    finally:
        if attempt.number > first + 1:
            line.ran(first + 1, attempt.number - 1)
    if succeeded:
        attempt.task = None
        attempt.source.done(attempt)


def _run_each(attempt: Trial, line: Line) -> bool:
    """The loop; whether the last one is a plain success, and nobody has been told. Any other end is settled."""
    runtime, words, at, batch, first = attempt.runtime, attempt.words, attempt.at, line.batch, attempt.number
    decode, queue, loud, payload = runtime.decode, runtime.queue, runtime.loud, attempt.delivery[1]
    while True:
        try:
            attempt.task = task = decode(payload, queue)
        except DecodeError as error:
            attempt.task = None
            settle_unrun(attempt, admit(attempt.delivery, error, runtime.config, time.time()))
            return False
        found = attempt.found
        if found is None or task.name != attempt.shown or task.expires is not None or task.tags is not None:
            found = admitted(attempt, task)
            if found is None:
                return False
        work, rules = found
        if loud:
            say_started()
        if rules.limited:
            outcome = worked(attempt, work, rules)
        else:
            try:  # `worked` where nothing strikes, without its call
                value = work(task)
                if value is None and attempt.made is None:
                    words[at] = attempt.number << 3 | page.DONE
                    outcome = DONE
                else:
                    outcome = judged(attempt, value)
            except BaseException as error:
                outcome = raised(attempt, error, rules)
        if outcome is not DONE and (ended := _otherwise(attempt, line, outcome, rules)) is not None:
            return ended
        if loud:
            say_success(attempt)
        if not batch or line.check or words[page.ORDERS]:
            return True
        delivery = batch[0]
        number, payload, count, note, _ = delivery
        now = _clock(_BOOT)
        if now >= line.look_by or count or note is not None or len(payload) > LARGE:
            return True
        _pack(attempt.memory, attempt.start_at, now, 0, 0, 0, 0, payload)
        words[at] = number << 3 | page.STARTED
        if words[page.REVOKED]:
            return True
        if attempt.number == first:
            line.ran(first, first)
        batch.popleft()
        attempt.delivery, attempt.number, attempt.started = delivery, number, now


def _otherwise(attempt: Trial, line: Line, outcome: Outcome, rules: Rules) -> bool | None:
    """What is no plain success, or leaves something behind: None if it has its record, and the sprint goes on; else as above."""
    if attempt.made is None or (outcome := kept(attempt, outcome, rules)) is not DONE:
        drive(ending(attempt, outcome, rules))
        return False
    if line.keep(attempt):
        return None
    if attempt.runtime.loud:
        say_success(attempt)
    return True
