"""The executor "trio": each attempt in a thread of a trio loop, on which its task can run async functions.

The loop has a thread of its own. The main thread takes, as in every executor with threads, and so sees the signals.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, ClassVar

import trio

from regiment.contracts import AttemptLike, Place, Source

PAUSE = 0.05
"""Seconds between two looks whether an attempt that still runs was written off."""


class TrioExecutor:
    """Runs up to `slots` attempts at once. In a task, `trio.from_thread.run(function, …)` runs it on the loop."""

    place: ClassVar[Place] = "threads"
    default_killer: ClassVar[str] = "process"
    is_async: ClassVar[bool] = False

    def __init__(self, slots: int = 8) -> None:
        self.slots = slots

    @staticmethod
    def check(options: Mapping[str, Any]) -> list[str]:
        """What is wrong with these options; asked before anything is built."""
        slots = options.get("slots", 8)
        if isinstance(slots, int) and not isinstance(slots, bool) and 1 <= slots <= 1024:
            return []
        return [f"slots is {slots!r}; expected a whole number from 1 to 1,024"]

    def run(self, source: Source) -> None:
        """Run attempts until there are no more and all have ended, but those that the source has written off."""
        loop = _Loop(self.slots)
        try:
            while loop.error is None and (attempt := source.take()) is not None:
                loop.start(attempt)
            loop.drain(source)
        finally:
            loop.close()
        if loop.error is not None:
            raise loop.error


class _Loop:
    """A trio loop in a thread, and what runs in the threads that it started."""

    def __init__(self, slots: int) -> None:
        self.error: BaseException | None = None
        self._running = 0
        self._changed = threading.Condition()
        self._limiter = trio.CapacityLimiter(slots)
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._body, name="regiment-trio", daemon=True)
        self._thread.start()
        self._up.wait()

    def _body(self) -> None:
        try:
            trio.run(self._serve)
        except BaseException as error:
            self.error = self.error or error
        finally:
            self._up.set()
            with self._changed:
                self._changed.notify_all()

    async def _serve(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery, self._token = nursery, trio.lowlevel.current_trio_token()
            self._up.set()
            await trio.sleep_forever()

    def start(self, attempt: AttemptLike) -> None:
        """Have it run on a thread of the loop."""
        with self._changed:
            self._running += 1
        self._token.run_sync_soon(self._nursery.start_soon, self._run, attempt)

    async def _run(self, attempt: AttemptLike) -> None:
        try:
            # A thread that does not end is left alone when the loop is closed: the worker decides what becomes of it.
            await trio.to_thread.run_sync(attempt.run, limiter=self._limiter, abandon_on_cancel=True)
        except trio.Cancelled:
            raise
        except BaseException as error:
            # An attempt raises nothing of its task, so this is a worker that cannot go on.
            self.error = self.error or error
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def drain(self, source: Source) -> None:
        """Wait for what runs."""
        with self._changed:
            while self.error is None and self._running > source.written_off:
                self._changed.wait(PAUSE)

    def close(self) -> None:
        """End the loop; what is written off stays behind in its thread."""
        if self._thread.is_alive():
            self._token.run_sync_soon(self._nursery.cancel_scope.cancel)
            self._thread.join()
