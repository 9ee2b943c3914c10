"""What the tasks do, the same for every system: its application only wraps these functions."""

from __future__ import annotations

import asyncio
import os
import re
import time

from board import board

BOARD = board()
RUNS = BOARD.runs
SECONDS = 0.05
"""How long a slow task sleeps."""
LIMIT = 1
"""The time limit of a task that hangs, in seconds."""
STORE = os.environ["BENCH_STORE"]
VARIANT = os.environ.get("BENCH_VARIANT", "")


def noop(n: int, body: str = "") -> None:
    """Count the run of a task, and nothing else."""
    RUNS[n] += 1


def stamp(n: int, body: str = "") -> None:
    """Say when the task started."""
    BOARD.stamp(n)


def slow(n: int, body: str = "") -> None:
    """Start, sleep, end."""
    BOARD.stamp(n)
    time.sleep(SECONDS)
    BOARD.end(n)


async def aslow(n: int, body: str = "") -> None:
    """The same on an event loop."""
    BOARD.stamp(n)
    await asyncio.sleep(SECONDS)
    BOARD.end(n)


def hang(n: int, body: str = "") -> None:
    """A regular expression that does not end in the time of this universe."""
    BOARD.stamp(n)
    re.match(r"(a+)+$", "a" * 64 + "b")
    BOARD.end(n)


FUNCTIONS = {"noop": noop, "stamp": stamp, "slow": slow, "hang": hang}
