"""What an attempt leaves behind in the step that settles it: asked of the plugins, and of the task itself (E12)."""

from __future__ import annotations

from typing import Any

from regiment import outcome as outcomes
from regiment.contracts import Back
from regiment.contracts.effects import Effect
from regiment.outcome import Outcome
from regiment_runner.shared import overdue
from regiment_runner.shared.record import packed
from regiment_runner.worker.burying import id_of
from regiment_runner.worker.commit import Commit
from regiment_runner.worker.guarded import DONE
from regiment_runner.worker.hooking import limit_of, limited
from regiment_runner.worker.policy import Rules
from regiment_runner.worker.trial import NOTHING, Left, Trial
from regiment_runner.worker.verdict import judge

_new: Any = tuple.__new__


def left(attempt: Trial, outcome: Outcome, settles: str) -> Left:
    """All that it leaves behind if it ends like this. Raises what a plugin raises, and where one gives what is no effect."""
    made, task = attempt.made, attempt.task
    effects: list[Effect] = []  # `list[Effect]()` would cost ten times as much
    if type(made) is Commit:
        said = made.close()
        effects += said if settles == "done" else ()
    if attempt.runtime.effects:
        task_id = id_of(attempt.delivery.payload) if task is None else task.id
        if settles != "again":
            attempt.runtime.ends.append((attempt.number, task_id))
        sheet, at, limit = attempt.runtime.page, attempt.at, limit_of(attempt)
        try:  # `limited` without its calls: this is paid for each result
            if limit is not None:
                overdue.arm(sheet, at, overdue.EFFECTS, *limit)
            for _, asked in attempt.runtime.effects:
                effects += asked(task, task_id, outcome, settles)
        finally:
            if limit is not None:
                overdue.disarm(sheet, at)
    return _new(Left, (effects, packed(effects))) if effects else NOTHING


def kept(attempt: Trial, outcome: Outcome, rules: Rules) -> Outcome:
    """What a success becomes that needs nothing but its settlement, where it leaves something behind.

    `DONE`, and `attempt.made` is what it leaves; or a failure, if that could not be made (E12).
    """
    if outcome.kind != outcomes.SUCCESS or outcome is DONE:
        return outcome
    if attempt.runtime.forked:
        attempt.source.finish(attempt, Back(attempt.number, attempt.number))  # ends this process
    try:
        attempt.made = left(attempt, outcome, "done")
    except BaseException as error:
        attempt.made = False
        with limited(attempt, overdue.TEXT):
            return judge(error, rules)
    return DONE
