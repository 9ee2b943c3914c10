"""TODO"""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from collections.abc import Iterable
from types import ModuleType
from typing import Any, NamedTuple

from regiment import pushing
from regiment.errors import RegimentError, TargetError, nearest
from regiment.queue import Queue
from regiment.worker import Running, Worker


def not_started(error: BaseException) -> str:
    """What `initialize`, or anything else on a worker's way to its first task, has raised, and where in code not ours."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(_OURS)] or list(frames)
    where = "".join(
        f"\n  {_short(frame.filename)} line {frame.lineno}, in {frame.name}: {frame.line}" for frame in theirs[-FRAMES:]
    )
    return f"the worker cannot start: {type(error).__name__}: {error}{where}"
