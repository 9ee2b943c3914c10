"""`raise Later(seconds)`: what a task found out, that nothing more may go for a while, said to all workers."""

from __future__ import annotations

import logging
import threading
from typing import Any, Literal

from regiment import log
from regiment.bounds import limit, seen
from regiment.build import make_connector
from regiment.config import Use
from regiment.context import attempt_now
from regiment.contracts import Flowing, Spot
from regiment.errors import ArgumentsError, ConfigError, Requeue
from regiment_limits.stores import flowing

Scope = Literal["lane", "pool", "queue"]
SCOPES = ("lane", "pool", "queue")


class Later(Requeue):
    """Close the gate of this task's lane (or pool, or queue) for so many seconds, for all workers, and run this task again
    then; this run counts as none. What runs already goes on.

    `ArgumentsError` for wrong arguments, `ConfigError` in a task of a queue without `Limits()`.
    """

    def __init__(self, seconds: float = 1.0, scope: Scope = "lane", *, reason: object = None) -> None:
        if not limit(seconds):
            raise ArgumentsError(f"Later got {seen(seconds)}; expected seconds above 0 for which nothing more may go")
        if scope not in SCOPES:
            raise ArgumentsError(f"the scope of Later is {seen(scope)}; expected one of {', '.join(SCOPES)}")
        runtime = getattr(attempt_now.get(None), "runtime", None)
        if runtime is not None and not extended(runtime.config):
            raise ConfigError(
                f'Later closes a gate, and queue "{runtime.config.name}" has none: name the extension, plugins=[Limits()], or '
                f"raise Requeue(delay={seconds:g}), which puts off this task alone"
            )
        super().__init__(delay=seconds, reason=reason)
        self.seconds, self.scope = float(seconds), scope

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (self.seconds, self.scope, self.reason)


def _made(seconds: float, scope: Scope, reason: object) -> Later:
    return Later(seconds, scope, reason=reason)


def extended(config: Any) -> bool:
    """True if the queue names the extension."""
    return any(isinstance(item, Use) and item.name == "limits" for item in config.plugins)


class Gatekeeper:
    """Closes gates from within a worker, over a connection of its own, which is opened when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._store: Flowing | None = None

    def close(self, config: Any, payload: bytes, asked: Later) -> None:
        """Close what a task has asked for, unless it is closed for longer; what that raises is the caller's to say."""
        with self._lock:
            try:
                self._close(config, payload, asked)
            except BaseException:
                self.end()
                raise

    def _close(self, config: Any, payload: bytes, asked: Later) -> None:
        store = self._opened(config)
        spot: Spot | None = ("", "")
        if asked.scope != "queue":
            spot = spot_of(store.ticket(config.name, payload), asked.scope)
        if spot is None:
            log.event(
                logging.WARNING,
                "limits.no_gate",
                reason=f"the task has no {asked.scope}",
                next="only this task waits",
                **log.attempt_fields(),
            )
            return
        if store.flow(config.name, [spot])[0].gate < asked.seconds:
            store.gate(config.name, spot, asked.seconds)
        log.event(
            logging.INFO,
            "limits.closed",
            what=written(spot),
            seconds=asked.seconds,
            reason=str(asked.reason or ""),
            **log.attempt_fields(),
        )

    def _opened(self, config: Any) -> Flowing:
        if self._store is None:
            made = make_connector(config)()
            made.open("duty")
            self._store = flowing(made, "Later needs")
        return self._store

    def end(self) -> None:
        """Give up the connection; the next gate opens one."""
        store, self._store = self._store, None
        if store is not None:
            store.close()


def spot_of(ticket: Any, scope: str) -> Spot | None:
    """The pool or lane of a ticket; None if it has none."""
    if ticket is None or not (ticket.lane if scope == "lane" else ticket.pool):
        return None
    return (ticket.pool, ticket.lane) if scope == "lane" else (ticket.pool, "")


def written(spot: Spot) -> str:
    """A spot as people type it: queue, pool:crm, lane:crm/acme."""
    pool, lane = spot
    return f"lane:{pool}/{lane}" if lane else f"pool:{pool}" if pool else "queue"
