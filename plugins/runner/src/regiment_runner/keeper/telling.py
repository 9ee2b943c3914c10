"""What a keeper tells plugins: events, and the ends of workers. In a thread of its own, so that it holds up no lease.

Each end is told once, whatever the hook does to its process: the supervisor keeps what is to be told until it hears that it is
being told, and a keeper that follows goes on with what its predecessor had not begun.
"""

from __future__ import annotations

import functools
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from regiment import log
from regiment.registry import registry
from regiment_runner.keeper.release import running
from regiment_runner.shared import messages, page
from regiment_runner.shared.page import Page
from regiment_runner.shared.retold import Retold
from regiment_runner.shared.scopes import scope_of


class Telling:
    """Observers may be slow, and hold nobody up but each other."""

    def __init__(self, begins: Callable[[messages.Telling], None]) -> None:
        self._begins = begins
        """Returns once the supervisor can hear that an end is being told."""
        self._waiting: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="observers", daemon=True)
        self._beginning = threading.Lock()
        self._ends: dict[str, messages.Untold] = {}

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
        calls = _calls(spec)
        if calls:
            told = {
                "worker": name,
                "pid": sheet.words[page.PID],
                "queue": spec["queue"],
                **end,
                "tasks": running(sheet),
            }
            self._ends[name] = {"untold": name, "end": told, "spec": dict(spec), "left": len(calls)}

    def released(self, name: str) -> messages.Released:
        """What the supervisor is to hear: what this worker held is given back, and so much is to be told of its end."""
        said: messages.Released = {"released": name}
        if name in self._ends:
            said["untold"] = self._ends[name]
        return said

    def of(self, name: str) -> None:
        """Have the plugins of its queue told of the end of this worker: the supervisor knows of it, and nobody waits."""
        if name in self._ends:
            self.go_on(self._ends.pop(name))

    def go_on(self, untold: messages.Untold) -> None:
        """Have those told of an end who are left to be told."""
        calls = _calls(untold["spec"])[-untold["left"] :]
        for left, call in zip(range(len(calls) - 1, -1, -1), calls, strict=True):
            begun: messages.Telling = {"telling": untold["untold"], "left": left}
            self._tell(functools.partial(self._one, begun, call), untold["end"])

    def _one(self, begun: messages.Telling, call: Callable[..., None], end: Mapping[str, Any]) -> None:
        self._begins(begun)  # before the call, after which there may be no keeper
        log.tell(call, end)

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


def _calls(spec: Mapping[str, Any]) -> list[Callable[..., None]]:
    """The hooks that are told of the ends of such workers."""
    try:
        return [call for _, call in scope_of(spec).hooks("regiment_worker_ended")]
    except Exception as error:
        log.event(logging.ERROR, "plugin.error", exc_info=error, plugin="regiment_worker_ended")
        return []
