"""TODO"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from regiment import outcome as outcomes
from regiment.bounds import seconds, timestamp
from regiment.config import Backoff, WorkerConfig
from regiment.errors import Control
from regiment.outcome import Outcome
from regiment.task import PRIORITIES


def priority_number(name: Any) -> int:
    """The number of a priority's name; ValueError for a name that is none."""
    try:
        return PRIORITIES[name]
    except (KeyError, TypeError):
        raise ValueError(f"priority is {name!r}; expected {', '.join(PRIORITIES)}") from None
