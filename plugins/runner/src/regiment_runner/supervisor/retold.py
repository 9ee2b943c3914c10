"""TODO"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from regiment.context import attempt_now
from regiment.printing import INDENT, fitting, printable, printable_lines


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
