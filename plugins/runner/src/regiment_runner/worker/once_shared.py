"""`current().once(…, scope="queue")`: an effect that no two tasks of a queue do (G4). It is a record beside the queue, taken by version."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any, Final, cast

from regiment.bounds import SECONDS, limit, seen
from regiment.broker import refuse_without
from regiment.contracts import EFFECTS, Drop, Effect, Effective, Keep, Record, When
from regiment.errors import ArgumentsError, Fenced, Requeue, StoreUnavailable
from regiment.registry import registry
from regiment.task import new_id
from regiment_runner.shared.pause import Pause
from regiment_runner.worker.once import NONE, Mode, Once, once
from regiment_runner.worker.trial import Trial

BEGUN, DONE = b"b", b"d"
"""What a record begins with: then the id of the task that has it; then what the effect gave."""
HELD = 3600.0
"""Seconds for which what was begun and not done is its task's; then another one may do it."""
AGAIN = 2.0
"""Seconds after which a task looks again that has found another one at it."""
TRIES: Final = 5


def shared(attempt: Trial, words: tuple[Any, ...], ask: Any, mode: Mode, scope: str, keep: float) -> Once:
    """The effect of these words, of the queue; an error in words for what makes no sense, or a store without the extras."""
    if scope != "queue" or mode != "least" or ask is not None:
        raise ArgumentsError(
            f'once got scope={seen(scope)}, mode={seen(mode)} and ask={seen(ask)}; expected the scope "task", or "queue" in the mode '
            '"least", which asks nobody'
        )
    once(attempt, words, None, "least")  # its checks
    return Shared(attempt, words, keep)


class Shared(Once):
    """As `Once`, of a queue: the same words in another task are the same effect. A task that finds another one at it comes again later."""

    def __init__(self, attempt: Trial, words: tuple[Any, ...], keep: float) -> None:
        super().__init__(attempt, words, None, "least")
        if not limit(keep):
            raise ArgumentsError(
                f"once got keep={seen(keep)}; expected {SECONDS} for which a done effect is remembered"
            )
        runtime = attempt.runtime
        assert runtime.broker is not None
        refuse_without(
            EFFECTS, 'once(…, scope="queue") needs', runtime.broker.make(), registry().scope(runtime.config.plugins)
        )
        self._keep, self._task = keep, str(cast("Any", attempt.task).id)
        text = json.dumps([runtime.queue, *[word if type(word) is int else str(word) for word in words]])
        self.id = hashlib.sha256(text.encode()).hexdigest()
        self._key, self._version = f"once:{self.id}", 0
        self._where = runtime.queue, self._key

    def _begin(self) -> None:
        book = self._book
        if self.id in book.inside:
            raise RuntimeError(
                f"{self._words} was begun inside of itself, or twice at a time; expected one after the other"
            )
        self._entered(NONE)  # G2: whoever has lost the task learns it before the effect
        for _ in range(TRIES):
            record = cast(
                "Record | None", self._asked(lambda store: store.records(self._runtime.queue, [self._key])[0])
            )
            if record is not None and record.value[:1] == DONE:
                self.new, self._value = False, self._runtime.codec.unpack(record.value[1:], self._where)
                break
            if record is not None and record.value[1:].decode() != self._task:
                raise Requeue(delay=AGAIN, reason=f"{self._words} is under way in task {record.value[1:].decode()}")
            mine = BEGUN + self._task.encode()
            if self._kept(Keep(self._key, mine, HELD), 0 if record is None else record.version):
                break
        else:
            raise Requeue(delay=AGAIN, reason=f"{self._words} is under way in other tasks")
        self._inside = True
        book.inside.add(self.id)

    def _leaves(self, error: BaseException | None) -> bool:
        return super()._leaves(error) or self.new

    def _end(self) -> None:
        if not self._done:  # the block has raised: whoever comes next does it
            with contextlib.suppress(StoreUnavailable):  # then it stays this task's for a while
                self._kept(Drop([self._key]), self._version)
            return
        done = Keep(self._key, DONE + self._runtime.codec.pack(self._value, self._where), self._keep)
        # Where its hour was over and nobody has begun it since, it is entered all the same.
        if not (self._kept(done, self._version) or self._kept(done, 0)):
            raise Fenced(
                f"{self._words}: it was done, and not entered: it took longer than {HELD:g} s, and another task has it now, which may do it "
                "again under the same id"
            )

    def _kept(self, effect: Effect, version: int) -> bool:
        """True if the record was as it was known, and is changed now."""
        token, when = new_id(), [When(self._key, version)]
        applied = self._asked(lambda store: store.apply(self._runtime.queue, [effect], token=token, when=when))
        if applied.done:
            self._version = applied.version
        return bool(applied.done)

    def _asked(self, what: Callable[[Effective], Any]) -> Any:
        """Ask the store, repeatedly if it does not answer."""
        runtime = self._runtime
        assert runtime.broker is not None
        end, pause = time.monotonic() + runtime.config.push_timeout, Pause(0.02, 0.5)
        while True:
            try:
                with runtime.broker.connector() as connector:
                    return what(cast("Effective", connector))
            except StoreUnavailable:
                if time.monotonic() > end:
                    raise
                time.sleep(pause())
