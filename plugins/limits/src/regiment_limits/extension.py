"""The extension itself: what it does to a push, to a task that is declared, and in a worker."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from regiment import log, pushing
from regiment.broker import Pushed
from regiment.contracts import Application, Push, Service, Ticket
from regiment.errors import ArgumentsError, ConfigError, StoreUnavailable, nearest
from regiment.hooks import hookimpl
from regiment.outcome import Outcome
from regiment.task import Task
from regiment_limits.answers import Sent, answered
from regiment_limits.budgets import all_problems, breakers_of, rules_of
from regiment_limits.naming import OPTIONS, chosen, defaults_of, lonely, recipe

STARTED = time.time()
"""When this process began, as far as releases are compared; workers are forked by a supervisor that has loaded this."""
PATIENCE = 5.0
"""Seconds for which a worker tries to write the rules of its code before its first task."""
_NONE = (None,) * len(OPTIONS)
_solo = False
"""True in a process that is worker and supervisor in one."""


class Limiting:
    """What a queue gets that names `Limits(…)`. Each process builds its own."""

    needs = frozenset({"flow", "effects"})
    understands = frozenset({"limits"})
    """The tag of tasks in a pool with a breaker (`guarding`)."""

    @staticmethod
    def check(options: Mapping[str, Any]) -> list[str]:
        """All problems of the options, one sentence each."""
        return all_problems(options)

    def __init__(
        self,
        at_once: int | None = None,
        rate: Any = None,
        burst: int | None = None,
        waiting: int | None = None,
        lane: Mapping[str, Any] | None = None,
        pools: Mapping[str, Any] | None = None,
    ) -> None:
        options = {"at_once": at_once, "rate": rate, "burst": burst, "waiting": waiting, "lane": lane, "pools": pools}
        self.options = {name: value for name, value in options.items() if value is not None}
        self.pools = dict(pools or {})
        budgets = [self.options, *self.pools.values()]
        lanes = [one["lane"] for one in budgets if one.get("lane")]
        self._bounded = any(one.get("waiting") for one in [*budgets, *lanes])
        self._defaults: dict[tuple[str, str], dict[str, Any]] = {}
        self._gates: Any = None

    # Where tasks are declared and pushed

    @hookimpl
    def regiment_push_options(self) -> Mapping[str, str]:
        """What a push, and all pushes of a task, may say."""
        return OPTIONS

    @hookimpl
    def regiment_task_declared(self, task: Any) -> None:
        """What is wrong with the names that a task gives is said where they are written."""
        given = chosen(task.always)
        if given == _NONE:
            return
        try:
            made = recipe(given)
        except ArgumentsError as error:
            raise ConfigError(f"{task!r}: {error}") from None
        parameters: Any = task.parameters
        names = parameters.names
        problems = [] if parameters.open else [made.names[what].problem(names) for what in made.names]
        problems += [lonely(given), self._unknown(made)]
        if any(problems):
            raise ConfigError([f"{task!r}: {problem}" for problem in problems if problem])
        self._defaults[task.queue.name, task.name] = defaults_of(task.function)

    @hookimpl(tryfirst=True)  # of those that a queue names the last one that is asked: it sees what the others add
    def regiment_push(self, push: Push) -> None:
        """Give each task its ticket."""
        given = chosen(push.options)
        if given == _NONE:
            if not self.options:
                return
            push.tickets = [
                Ticket(id=push.id or task.id) for task in push.tasks
            ]  # for what waits is bounded for these alone
            self._on_its_way(push, self._bounded)
            return
        made, problem = recipe(given), lonely(given)
        problem = problem if "unique" not in push.options else None  # switched off, with what belongs to it
        if problem or (problem := self._unknown(made)):
            raise ArgumentsError(problem)
        if made.unique and made.clash == "later" and not (push.delay or push.at):
            raise ArgumentsError(
                'clash is "later" and this push has no delay, so nothing would be put off; give it one'
            )
        defaults = self._defaults.get((push.broker.config.name, push.name), {})
        tickets = [
            made.ticket({**defaults, **task.kwargs} if defaults else task.kwargs, push.id or task.id)
            for task in push.tasks
        ]
        push.tickets = tickets
        self.guarded(push)
        self._on_its_way(push, made.unique or self._bounded)

    def guarded(self, push: Push) -> None:
        """What a breaker asks of a push with tickets: here there is none."""

    def _on_its_way(self, push: Push, admitted: bool) -> None:
        """What it answers; `admitted` is True if the store is to answer, too, who has a key, and whether too many wait."""
        sent = Sent(push, admitted)
        push.answer = partial(answered, push, sent, push.answer or Pushed)
        push.put = push.put or sent  # of another plugin's that stores it later, nobody says what it will meet

    def _unknown(self, made: Any) -> str | None:
        """What is wrong with a pool that is named as it stands: no rule of that name would ever count."""
        name = made.names["pool"].plain if "pool" in made.names else ""
        if not name or name in self.pools:
            return None
        there = ", ".join(self.pools) or "none"
        return f"there is no pool {name!r}.{nearest(name, self.pools)} Limits(pools=…) has: {there}"

    # Beside the keeper

    @hookimpl
    def regiment_notes(self, app: Application) -> Any:
        """The budgets, for the steward."""
        return self.options

    @hookimpl
    def regiment_services(self, spec: Mapping[str, Any], notes: Any) -> Mapping[str, Service]:
        """What keeps the rules of the code at the store; a worker alone writes them at its start, and they count without it."""
        if spec.get("solo"):
            global _solo
            _solo = True
            return {}
        return {"limits": Service("regiment_limits.duty:Ruling", tree_of(os.getpid()))}

    # Where they run

    @hookimpl
    def regiment_worker_started(self, worker: Any) -> None:
        """The rules of this code count before its first task is leased."""
        rules = rules_of(self.options)
        if not rules or pushing.override is not None:  # in a capture there is no store
            return
        from regiment.build import make_connector
        from regiment_cli.release import Release
        from regiment_limits.breaker import tripped
        from regiment_limits.ruling import settle

        # Alone nobody looks after it later, so who is not there is gone.
        breakers = list(breakers_of(self.options))
        mine = Release(**tree_of(os.getpid() if _solo else os.getppid()))

        until, config = time.monotonic() + PATIENCE, worker.config
        while True:
            store: Any = make_connector(config)()
            try:
                store.open("duty")
                shut = partial(tripped, store, config.name, breakers)
                settle(store, config.name, rules, mine, sure=None if _solo else (), tripped=shut, look=True)
                return
            except StoreUnavailable as error:
                if time.monotonic() > until:
                    log.event(
                        logging.ERROR,
                        "limits.unwritten",
                        queue=config.name,
                        error=str(error),
                        next="its steward writes them when the store is back",
                    )
                    return
                time.sleep(0.2)
            finally:
                store.close()

    @hookimpl
    def regiment_task_failed(self, task: Task, outcome: Outcome, seconds: float) -> None:
        """Close the gate that a task asks for; ordinary successes pay nothing for this."""
        from regiment_limits.later import Gatekeeper, Later

        error, attempt = outcome.error, _attempt()
        if not isinstance(error, Later) or pushing.override is not None or attempt is None:
            return
        if self._gates is None:
            self._gates = Gatekeeper()
        try:
            self._gates.close(attempt.runtime.config, attempt.delivery.payload, error)
        except Exception as wrong:
            log.event(
                logging.ERROR,
                "limits.not_closed",
                exc_info=wrong,
                next="only this task waits",
                **log.attempt_fields(),
            )

    @hookimpl
    def regiment_worker_stopping(self, worker: Any) -> None:
        """Give up what was opened for gates."""
        if self._gates is not None:
            self._gates.end()


def tree_of(pid: int) -> dict[str, Any]:
    """Which tree this is, and of which release, as data; `pid` is its supervisor's."""
    by = f"{os.uname().nodename}:{pid}"
    return {"release": os.environ.get("REGIMENT_RELEASE", ""), "started": STARTED, "by": by}


def _attempt() -> Any:
    from regiment.context import attempt_now

    return attempt_now.get(None)
