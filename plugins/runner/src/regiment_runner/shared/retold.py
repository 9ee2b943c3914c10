"""Events of the log, passed on to who observes a process."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from regiment import log
from regiment.registry import Registry


class Retold(logging.Handler):
    """Passes regiment's own events on, as mappings with "event" and its fields; of this process only."""

    def __init__(self, to: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._to, self._pid = to, os.getpid()
        self._telling = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one event on; what is logged while it is told goes to the log alone."""
        fields = getattr(record, "regiment", None)
        if fields is None or os.getpid() != self._pid or getattr(self._telling, "now", False):
            return
        self._telling.now = True
        try:
            self._to({**fields, "event": record.getMessage()})
        finally:
            self._telling.now = False


def retell(scope: Registry, process: str) -> None:
    """Tell the plugins of a scope what this process logs from now on, in the thread that logs; if there are any."""
    calls = [call for _, call in scope.hooks("regiment_event")]

    def told(event: dict[str, Any]) -> None:
        for call in calls:
            log.tell(call, event, process)

    if calls:
        log.logger.addHandler(Retold(told))
