"""`current().commit`: what a task wants done in the very step in which it succeeds, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from regiment.bounds import seen, text
from regiment.broker import Pushed
from regiment.build import refuse_without
from regiment.contracts.effects import Effect, Keep, Send
from regiment.errors import ArgumentsError
from regiment.pushing import Pushing
from regiment.registry import registry
from regiment_runner.worker.runtime import Runtime

MOST_EFFECTS, MOST_BYTES = 10_000, 4 * 1024 * 1024
"""What one attempt may leave behind."""
PREFIX = "u:"
"""Before the keys of users, so that they are never those of a plugin."""
LONGEST_KEY = 500


class Commit:
    """Children and records of one attempt. Safe in any thread until the attempt has ended."""

    def __init__(self, runtime: Runtime) -> None:
        runtime.need_effects()
        self._runtime, self._lock = runtime, threading.Lock()
        self._effects: list[Effect] = []
        self._bytes, self._closed = 0, False

    def push(self, task: Any, /, *args: Any, **kwargs: Any) -> Pushed:
        """Push a task of the same store when this one succeeds: `task` is a task function, or one with `.options(…)`.

        Wrong arguments fail here; the id is known at once. It is due, with a delay, so long after the success.
        """
        pushing = task if isinstance(task, Pushing) else getattr(task, "options", dict)()
        if not isinstance(pushing, Pushing):
            raise ArgumentsError(f"commit.push got {seen(task)}; expected a task function, or one with .options(…)")
        made: Pushed = self._runtime.prepared(pushing, args, kwargs, self._add)
        return made

    def keep(self, key: str, value: Any, ttl: float | None) -> None:
        """Keep a value of plain data beside this queue for `ttl` seconds (None: for ever) when this task succeeds;
        `queue.kept(key)` reads it.
        """
        if not text(key, LONGEST_KEY):
            raise ArgumentsError(f"the key of commit.keep is {seen(key)}; expected 1 to {LONGEST_KEY} printable bytes")
        if ttl is not None and not (type(ttl) in (int, float) and 0 < ttl < float("inf")):
            raise ArgumentsError(f"the ttl of commit.keep is {seen(ttl)}; expected seconds above 0, or None")
        data = self._runtime.codec.pack(value)
        self._add(Keep(PREFIX + key, data, ttl), len(data) + len(key))

    def close(self) -> Sequence[Effect]:
        """The attempt has ended: what it leaves behind, in the order in which it was said."""
        with self._lock:
            self._closed = True
            return self._effects

    def _add(self, effect: Keep | Send, size: int) -> None:
        with self._lock:
            if self._closed:
                raise RuntimeError("commit was used after its task had ended; nothing of it would be done")
            if len(self._effects) >= MOST_EFFECTS or self._bytes + size > MOST_BYTES:
                raise ArgumentsError(
                    f"this task wants {len(self._effects) + 1:,} effects of {self._bytes + size:,} bytes in the step in which "
                    f"it succeeds; at most {MOST_EFFECTS:,} of {MOST_BYTES:,} go into one. Push a task that pushes the rest"
                )
            self._effects.append(effect)
            self._bytes += size
