"""What a keeper tells plugins: events, and the ends of workers. In a thread of its own, so that it holds up no lease."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from regiment import log
from regiment.registry import registry
from regiment_runner.keeper.release import running
from regiment_runner.shared import page
from regiment_runner.shared.page import Page
from regiment_runner.shared.retold import Retold
from regiment_runner.shared.scopes import scope_of


class Telling:
    """Observers may be slow, and hold nobody up but each other."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="observers", daemon=True)
        self._beginning = threading.Lock()
        self._ends: dict[str, list[tuple[Any, ...]]] = {}

    def hear_the_log(self) -> None:
        """Tell of what this keeper logs from now on, if anybody wants to know."""
        if registry().hooks("regiment_event"):
            log.logger.addHandler(Retold(lambda event: self.event(event, "keeper")))

    def event(self, event: dict[str, Any], process: str) -> None:
        """Have the observers told of an event."""
        for _, call in registry().hooks("regiment_event"):
            self._tell(call, event, process)

    def end(self, name: str, sheet: Page, spec: Mapping[str, Any], end: Mapping[str, Any]) -> None:
        """Note who is to be told that a worker has ended, and what: what ran stands on its page now."""
        try:
            calls = scope_of(spec).hooks("regiment_worker_ended")
        except Exception as error:
            log.event(logging.ERROR, "plugin.error", exc_info=error, plugin="regiment_worker_ended")
            return
        if calls:
            told = {
                "worker": name,
                "pid": sheet.words[page.PID],
                "queue": spec["queue"],
                **end,
                "tasks": running(sheet),
            }
            self._ends[name] = [(call, told) for _, call in calls]

    def released(self, name: str) -> None:
        """Have the plugins of its queue told of the end of this worker: what it held is given back, and nobody waits."""
        for call, told in self._ends.pop(name, []):
            self._tell(call, told)

    def stop(self, seconds: float) -> None:
        """Tell what is left, for at most so many seconds."""
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join(seconds)

    def _tell(self, call: Callable[..., None], *args: Any) -> None:
        if threading.current_thread() is self._thread:
            return  # what is logged while they are told, of an observer that failed
        with self._beginning:
            if self._thread.ident is None:
                self._thread.start()
        self._waiting.put((call, *args))

    def _run(self) -> None:
        while (told := self._waiting.get()) is not None:
            call, *args = told
            log.tell(call, *args)
