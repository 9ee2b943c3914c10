"""From a delivery to what runs it: decoding, and what admission says of the task."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from regiment import outcome as outcomes
from regiment.errors import DecodeError
from regiment.outcome import Outcome
from regiment.task import Task
from regiment_runner.shared import page
from regiment_runner.worker.admission import CANCELLED, RUN, Judge, admit, beyond
from regiment_runner.worker.ending import settle_unrun
from regiment_runner.worker.guarded import stand_still_if_condemned
from regiment_runner.worker.meant import meant
from regiment_runner.worker.policy import Rules
from regiment_runner.worker.trial import Trial

LARGE = 4096
"""Bytes of a payload above which its decoding has a limit. What fewer bytes can make a decoder do takes milliseconds."""


def opened(attempt: Trial) -> tuple[Callable[[Task], Any], Rules] | None:
    """Decode; (work, rules), or None if it is settled already. What must not run has its `outcome` set."""
    config, delivery = attempt.runtime.config, attempt.delivery
    end = beyond(delivery, config)
    if end is None:
        try:
            attempt.task = task = _decoded(attempt)
        except DecodeError as error:
            settle_unrun(attempt, admit(delivery, error, config, time.time()))
            return None
        return admitted(attempt, task)
    settle_unrun(attempt, end)
    return None


def _decoded(attempt: Trial) -> Task:
    """The task. A stranger may write bytes that take for ever to decode, so large ones are decoded under a hard limit.

    What was struck before is in the phase *judging*, which is never struck: for the decoding it is *started* again.
    """
    runtime, (_, payload, count, _, _) = attempt.runtime, attempt.delivery
    if len(payload) <= LARGE:
        return runtime.decode(payload, runtime.queue, count)
    words, at, number = attempt.words, attempt.at, attempt.number
    before = words[at]
    words[at] = number << 3 | page.STARTED
    runtime.page.arm(attempt.slot, 0, runtime.decode_ns)
    try:
        return runtime.decode(payload, runtime.queue, count)
    finally:
        words[at + page.HARD] = 0
        stand_still_if_condemned(attempt)
        words[at] = before


def admitted(attempt: Trial, task: Task) -> tuple[Callable[[Task], Any], Rules] | None:
    """What runs a task that was decoded, and its rules; as `_open`."""
    runtime = attempt.runtime
    if task.name != attempt.shown or attempt.found is None:
        attempt.shown = task.name
        runtime.page.name(attempt.slot, task.name)
        attempt.found = runtime.work_for(task)
        runtime.tally.turn(attempt, runtime.tally.entry(task.name) if attempt.found else runtime.tally.others)
    known = attempt.found is not None
    if runtime.cancelled and meant(runtime.cancelled, task):
        if known and "on_cancel" in runtime.handlers:
            attempt.outcome = Outcome(outcomes.CANCELLED)
            return attempt.found
        settle_unrun(attempt, CANCELLED)
        return None
    decided = admit(attempt.delivery, task, runtime.config, time.time(), known)
    if decided is RUN:
        attempt.outcome = None
        return attempt.found
    if isinstance(decided, Judge):
        attempt.outcome = decided.outcome
        return attempt.found
    settle_unrun(attempt, decided)
    return None
