"""Events of the log, passed on to who observes the supervisor."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any


class Retold(logging.Handler):
    """Passes regiment's own events on, as mappings with "event" and its fields; of this process only."""

    def __init__(self, to: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._to, self._pid = to, os.getpid()

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one event on."""
        fields = getattr(record, "regiment", None)
        if fields is not None and os.getpid() == self._pid:
            self._to({**fields, "event": record.getMessage()})
