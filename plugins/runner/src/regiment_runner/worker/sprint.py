"""The short way: one plain task after another, in the thread that takes them. The only fast path there is.

What it leaves out costs more than what it does. Anything that is not plain goes the ordinary way (`Attempt.run`) from where it is.
"""

from __future__ import annotations

import time

from regiment.errors import DecodeError
from regiment_runner.shared import page
from regiment_runner.worker.admission import admit
from regiment_runner.worker.ending import drive, ending, settle_unrun
from regiment_runner.worker.guarded import DONE, judged, raised, worked
from regiment_runner.worker.opening import LARGE, admitted
from regiment_runner.worker.trial import Trial


def sprint(attempt: Trial) -> bool:
    """Run this delivery, and then what is next in its slot, as long as nothing else is due and every one is plain.

    False, and nothing has been done, if the delivery is none of these: it was struck, has ended a worker, or is large.
    """
    runtime, words, at, follow = attempt.runtime, attempt.words, attempt.at, attempt.source.follow
    decode, queue = runtime.decode, runtime.queue
    while True:
        _, payload, count, note, _ = attempt.delivery
        if count or note is not None or len(payload) > LARGE:
            return False
        try:
            attempt.task = task = decode(payload, queue)
        except DecodeError as error:
            settle_unrun(attempt, admit(attempt.delivery, error, runtime.config, time.time()))
            return True
        found = attempt.found
        if found is None or task.name != attempt.shown or task.expires is not None:
            found = admitted(attempt, task)
            if found is None:
                return True
        work, rules = found
        if rules.limited:
            outcome = worked(attempt, work, rules)
        else:
            # `worked` where nothing strikes, without its call.
            try:
                value = work(task)
                if value is None:
                    words[at] = attempt.number << 3 | page.DONE
                    outcome = DONE
                else:
                    outcome = judged(attempt, value)
            except BaseException as error:
                outcome = raised(attempt, error, rules)
        if outcome is not DONE:
            drive(ending(attempt, outcome, rules))
            return True
        if not follow(attempt):
            return True
