"""The extension: what it does to a push in a transaction, and to the connections of a worker. It imports no settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from regiment.bounds import seen
from regiment.contracts import Service
from regiment.errors import ArgumentsError
from regiment.hooks import hookimpl
from regiment_django import conf

if TYPE_CHECKING:
    from regiment.contracts import Application, Push
    from regiment.outcome import Outcome
    from regiment.task import Task

DECLARED = "declared"
KEY = "django:"
"""What is kept of a declared task has its id behind this."""
KEPT_FOR = 604_800.0
"""Seconds for which the arguments of a declared task are kept."""


class InDjango:
    """What a queue gets that names `Django(…)`; `regiment_django.Queue` does. Each process builds its own."""

    @staticmethod
    def check(options: Mapping[str, Any]) -> list[str]:
        """All problems of the options, one sentence each."""
        return conf.transactions(options)

    def __init__(self, on_commit: bool = True, using: str | None = None, outbox: str | None = None) -> None:
        self.on_commit, self.using, self.outbox = on_commit, using, outbox
        self._close: Callable[[], None] | None = None
        self._relay: Any = None

    # Where tasks are pushed

    @hookimpl
    def regiment_push_options(self) -> Mapping[str, str]:
        """What a push may say of transactions."""
        return {
            "now": "True: push at once, whatever transaction is open",
            "using": "the alias of the database whose transaction it waits for",
            DECLARED: "the priority of a task of the Tasks framework, whose arguments are kept beside its result",
        }

    @hookimpl
    def regiment_push(self, push: Push) -> None:
        """Let a push in a transaction wait for the commit."""
        if push.options.get(DECLARED) is not None:
            _keep(push, push.options[DECLARED])
        now, using = push.options.get("now"), push.options.get("using")
        if now is not None and not isinstance(now, bool):
            raise ArgumentsError(f"now is {seen(now)}; expected True or False")
        if now and using is not None:
            raise ArgumentsError("now and using were both given; a push is sent at once, or waits for a transaction")
        if now or (using is None and now is None and not self.on_commit):
            return
        from regiment_django.commit import hold

        hold(push, self.using if using is None else using, self.outbox)

    # Beside the keeper

    @hookimpl
    def regiment_notes(self, app: Application) -> Any:
        """Where the outbox is, for the steward, which imports the settings and nothing else of the project."""
        if self.outbox is None:
            return None
        from regiment_django.discovery import settings_module

        return {"alias": self.outbox, **settings_module()}

    @hookimpl
    def regiment_services(self, spec: Mapping[str, Any], notes: Any) -> Mapping[str, Service]:
        """The relay, where there is an outbox."""
        return {} if notes is None else {"django-outbox": Service("regiment_django.relay:Relay")}

    @hookimpl(optionalhook=True)
    def regiment_fetch(self, app: Application) -> bool:
        """In a burst, which has no services: relay what is there."""
        if self.outbox is None:
            return False
        from regiment_django.relay import Relay
        from regiment_outbox.relay import Here, fetch

        if self._relay is None:
            self._relay = Relay()
            self._relay.learn(Here(app.config.name, app.config), self.regiment_notes(app))
        return fetch(self._relay)

    # Where they run

    @hookimpl
    def regiment_worker_started(self, worker: Any) -> None:
        """Get ready to look after the connections of this worker."""
        from regiment_django import connections

        connections.drop_in_children()
        self._close = connections.closer(loop=bool(getattr(worker.config.executor_use(), "name", "") == "asyncio"))

    @hookimpl
    def regiment_prepare(self, task: Task) -> Callable[[], None] | None:
        """Close connections that are too old or broken, before the work and after it."""
        if self._close is not None:
            self._close()
        return self._close

    @hookimpl
    def regiment_task_failed(self, task: Task, outcome: Outcome, seconds: float) -> None:
        """The same after a handler of a failure, which may have opened one."""
        if self._close is not None:
            self._close()


def _keep(push: Push, priority: int) -> None:
    """Keep what the Tasks framework asks for when it looks a result up: nothing of it is in the result."""
    from regiment.broker import KEPT
    from regiment.contracts import Keep

    for task in push.tasks:
        key = f"{KEPT}{KEY}{push.id or task.id}"
        value = {**task.kwargs, "path": task.name, "at": task.date, "priority": priority}
        push.effects.append(Keep(key, push.broker.codec.pack(value, (push.queue, key)), KEPT_FOR))
