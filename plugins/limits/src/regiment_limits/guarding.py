"""The extension of a queue with breakers: beside all else it tells how tasks of their pools ended."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from regiment import log, pushing
from regiment import outcome as outcomes
from regiment.build import make_connector
from regiment.context import attempt_now
from regiment.contracts import Push
from regiment.hooks import hookimpl
from regiment.outcome import Outcome
from regiment.task import Task, new_id
from regiment_limits.budgets import breakers_of, rules_of
from regiment_limits.extension import Limiting
from regiment_limits.stores import flowing

if TYPE_CHECKING:
    from regiment_limits.breaker import Did, State

NAME = "limits"
"""Of the tag that says in which pool a task is; empty: the store knows."""
FAILED = frozenset({outcomes.FAILURE, outcomes.TIMEOUT, outcomes.RETRY, outcomes.MAX_RETRIES})
"""Ends that count as failed. `Later`, `Requeue`, `Fail`, cancelled tasks and killed workers count as neither."""
JUMP = 0.5
"""Seconds by which this host's clock was set, or stood still, after which the store's is asked for anew."""


class Pending:
    """Of one pool: successes that the record has not been told of."""

    def __init__(self) -> None:
        self.good = 0
        self.told = float("-inf")
        """When it was told last, on the monotonic clock."""
        self.tripped = False
        """True if it had tripped by then: then each end is told."""


class Guarding(Limiting):
    """`Limiting`, of a queue with a breaker. Failures are told as they come, two requests each; successes with them, or now and then."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._breakers, self._rules = breakers_of(self.options), rules_of(self.options)
        self._pending = {pool: Pending() for pool in self._breakers}
        self._lock = threading.Lock()
        self._store: Any = None
        self._ahead = 0.0
        """The store's clock less this host's, in seconds."""
        self._steady = 0.0
        """This host's clock less its monotonic one, when that was learned."""

    def guarded(self, push: Push) -> None:
        """Say in which pool the tasks are, where that has a breaker; it costs other tasks nothing."""
        pools = {ticket.pool for ticket in push.tickets or ()}
        if not pools.isdisjoint(self._breakers):
            push.tags[NAME] = pools.pop() if len(pools) == 1 else ""

    @hookimpl
    def regiment_task_finished(self, task: Task, outcome: Outcome, seconds: float) -> None:
        """Tell the breaker of the task's pool how it ended."""
        bad = outcome.kind in FAILED
        if not task.tags or NAME not in task.tags or not (bad or outcome.kind == outcomes.SUCCESS):
            return
        attempt = attempt_now.get(None)
        if attempt is None or pushing.override is not None:  # in a capture there is no store
            return
        with self._lock:
            try:
                self._ended(attempt, task.tags[NAME], bad, seconds)
            except Exception as wrong:
                self._drop()
                log.event(
                    logging.ERROR,
                    "limits.breaker_untold",
                    exc_info=wrong,
                    next="the end of this task counts for no breaker",
                    **log.attempt_fields(),
                )

    @hookimpl
    def regiment_worker_stopping(self, worker: Any) -> None:
        """Give up connections."""
        super().regiment_worker_stopping(worker)
        with self._lock:
            self._drop()

    def _ended(self, attempt: Any, pool: str, bad: bool, seconds: float) -> None:
        config = attempt.runtime.config
        if not pool:
            ticket = self._opened(config).ticket(config.name, attempt.delivery.payload)
            pool = ticket.pool if ticket is not None else ""
        pending, rule = self._pending.get(pool), self._breakers.get(pool)
        if pending is None or rule is None:  # of a push by other code
            return
        pending.good += not bad
        now = time.monotonic()
        if not (bad or pending.tripped) and now - pending.told < min(rule["pause"], rule["window"]) / 4:
            return
        store = self._opened(config)
        if abs(_steady() - self._steady) > JUMP:
            self._learn_clock(store, config.name)
        at = time.time() + self._ahead
        from regiment_limits.breaker import tell

        state, did, said = tell(
            store, config.name, pool, rule, self._rules.get(pool), at, at - seconds, pending.good, int(bad)
        )
        pending.good, pending.told, pending.tripped = 0, now, state.tripped
        self._ahead = said - at + self._ahead if said != at else self._ahead
        _say(pool, state, did)

    def _opened(self, config: Any) -> Any:
        if self._store is None:
            made = make_connector(config)()
            made.open("duty")
            self._store = flowing(made, "a breaker needs")
            self._learn_clock(self._store, config.name)
        return self._store

    def _learn_clock(self, store: Any, queue: str) -> None:
        begun, self._steady = time.time(), _steady()
        said = store.apply(queue, [], token=new_id()).now
        self._ahead = said - begun if said else 0.0

    def _drop(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()


class Limited(Limiting):
    """What a queue gets that names `Limits(…)`: what tells breakers how tasks end only where there is one, for each end costs something then."""

    def __new__(cls, **options: Any) -> Limiting:  # type: ignore[misc]
        """The one or the other."""
        return Guarding(**options) if breakers_of(options) else Limiting(**options)


def _steady() -> float:
    return time.time() - time.monotonic()


def _say(pool: str, state: State, did: Did) -> None:
    if did in ("tripped", "again"):
        log.event(
            logging.WARNING,
            "limits.breaker_tripped",
            what=f"pool:{pool}",
            seconds=state.pause,
            reason="the probe failed" if did == "again" else "too many of its tasks fail",
            next="one task at a time runs when it is over",
            **log.attempt_fields(),
        )
    elif did == "healed":
        log.event(logging.INFO, "limits.breaker_healed", what=f"pool:{pool}", **log.attempt_fields())
