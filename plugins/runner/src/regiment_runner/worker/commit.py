"""`current().commit`: what a task wants done in the very step in which it succeeds, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from regiment.bounds import seen, text
from regiment.broker import KEPT, Broker, Pushed, refuse_without
from regiment.contracts.effects import EFFECTS, Drop, Effect, Keep, Send
from regiment.errors import ArgumentsError, ConfigError
from regiment.pushing import Pushing
from regiment.registry import registry
from regiment_runner.worker.runtime import Runtime

MOST_EFFECTS, MOST_BYTES = 10_000, 4 * 1024 * 1024
"""What one attempt may leave behind."""
LONGEST_KEY = 500
AFTER = "after its task had ended; nothing of it would be done"


class Commit:
    """Children and records of one attempt. Safe in any thread until the attempt has ended."""

    def __init__(self, runtime: Runtime) -> None:
        self._home = _place(runtime, None)
        self._runtime, self._lock = runtime, threading.Lock()
        self._effects: list[Effect] = []
        self._bytes, self._closed = 0, False

    def push(self, task: Any, /, *args: Any, **kwargs: Any) -> Pushed:
        """Push a task of the same store when this one succeeds: `task` is a task function, or one with `.options(…)`.

        Wrong arguments fail here; the id is known at once. It is due, with a delay, so long after the success.
        """
        pushing: Any = task if isinstance(task, Pushing) else getattr(task, "options", dict)()
        if not isinstance(pushing, Pushing):
            raise ArgumentsError(f"commit.push got {seen(task)}; expected a task function, or one with .options(…)")
        answer, broker, effects = pushing.unsent(pushing.parameters.bind(args, kwargs))
        if (place := _place(self._runtime, broker)) != self._home:
            raise ConfigError(
                f"commit.push got a task whose queue lives in {place[0]}, and this one lives in {self._home[0]}; expected one "
                f"connector with the same options, for only what is in "
                f"one store is pushed in one step. Push it with its own push(…), which takes effect at once"
            )
        if answer.queue != self._runtime.config.name:  # what is kept of a push is kept beside its own queue
            effects = [_beside(answer.queue, effect) for effect in effects]
        self._add(effects)
        return answer

    def keep(self, key: str, value: Any, ttl: float | None) -> None:
        """Keep a value of plain data beside this queue for `ttl` seconds (None: for ever) when this task succeeds;
        `queue.kept(key)` reads it.
        """
        if not text(key, LONGEST_KEY):
            raise ArgumentsError(f"the key of commit.keep is {seen(key)}; expected 1 to {LONGEST_KEY} printable bytes")
        if ttl is not None and not (type(ttl) in (int, float) and 0 < ttl < float("inf")):
            raise ArgumentsError(f"the ttl of commit.keep is {seen(ttl)}; expected seconds above 0, or None")
        where = self._runtime.config.name, KEPT + key
        self._add([Keep(where[1], self._runtime.codec.pack(value, where), ttl if ttl is None else float(ttl))])

    def close(self) -> Sequence[Effect]:
        """The attempt has ended: what it leaves behind, in the order in which it was said."""
        with self._lock:
            self._closed = True
            return self._effects

    def _add(self, effects: Sequence[Effect]) -> None:
        size, number = sum(map(_size, effects)), len(self._effects) + len(effects)
        with self._lock:
            if self._closed:
                raise RuntimeError(f"commit was used {AFTER}")
            if number > MOST_EFFECTS or self._bytes + size > MOST_BYTES:
                raise ArgumentsError(
                    f"this task wants {number:,} effects of {self._bytes + size:,} bytes in the step in which "
                    f"it succeeds; at most {MOST_EFFECTS:,} of {MOST_BYTES:,} go into one. Push a task that pushes the rest"
                )
            self._effects += effects
            self._bytes += size


def _beside(queue: str, effect: Effect) -> Effect:
    """The same with the queue that None stands for."""
    return effect._replace(queue=queue) if isinstance(effect, (Keep, Drop)) and effect.queue is None else effect


def _size(effect: Effect) -> int:
    """Bytes that count; what plugins add to a push is small."""
    if isinstance(effect, Send):
        return sum(map(len, effect.payloads))
    return len(effect.value) + len(effect.key) if isinstance(effect, Keep) else 0


def _place(runtime: Runtime, broker: Broker | None) -> tuple[Any, ...]:
    """Where the tasks of a broker live (None: the worker's own): the same for brokers whose connectors are configured the same.

    `ConfigError` if that place keeps no effects.
    """
    broker = broker or runtime.broker
    if broker is None:
        raise RuntimeError("commit works in a task that a worker runs")
    found = runtime.places.get(broker)
    if found is None:
        connector = broker.make()
        refuse_without(EFFECTS, "current().commit needs", connector, registry().scope(broker.config.plugins))
        options = {**getattr(broker.make, "keywords", {}), "push_durability": None}
        found = runtime.places[broker] = connector.describe(), type(connector), options
    return found
