"""Why a worker could not start, in words for its supervisor."""

from __future__ import annotations

import os
import traceback

from regiment import pushing
from regiment_cli import targets

FRAMES = 10
"""Calls that the error of a failed start names, the innermost."""

_OURS = (os.path.dirname(pushing.__file__) + os.sep, os.path.dirname(os.path.dirname(__file__)) + os.sep)


def not_started(error: BaseException) -> str:
    """What `initialize`, or anything else on a worker's way to its first task, has raised, and where in code not ours."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(_OURS)] or list(frames)
    where = "".join(
        f"\n  {targets.short_path(frame.filename)} line {frame.lineno}, in {frame.name}: {frame.line}"
        for frame in theirs[-FRAMES:]
    )
    return f"the worker cannot start: {type(error).__name__}: {error}{where}"
