"""What the tasks do, the same for every system: its application only wraps these functions."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable

from board import board

BOARD = board()
RUNS = BOARD.runs
SECONDS = 0.05
"""How long a slow task sleeps."""
VALUE = "v" * 100
"""What a task returns, where something is done with it."""
LIMIT = 1
"""The time limit of a task that hangs, in seconds."""
STORE = os.environ["BENCH_STORE"]
VARIANT = os.environ.get("BENCH_VARIANT", "")


def noop(n: int, body: str = "") -> None:
    """Count the run of a task, and nothing else."""
    RUNS[n] += 1


def kept(n: int, body: str = "") -> str:
    """The same, with a result."""
    RUNS[n] += 1
    return VALUE


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


def pause(n: int) -> float:
    """How long the task of this number lets its client wait: 10 to 50 ms, so that no look at fixed intervals is always early."""
    return 0.01 + n * 7 % 41 / 1000


def leave(n: int, body: str = "") -> str:
    """Give the client time to wait, note the time, end with a result."""
    time.sleep(pause(n))
    BOARD.end(n)
    return VALUE


async def aleave(n: int, body: str = "") -> str:
    """The same on an event loop."""
    await asyncio.sleep(pause(n))
    BOARD.end(n)
    return VALUE


def link(n: int, before: object = None) -> int:
    """A task of a flow: say when it started and ended, hand its number on."""
    BOARD.stamp(n)
    BOARD.end(n)
    return n


def gather(n: int, values: object = None) -> None:
    """The callback of a chord."""
    BOARD.stamp(n)


def hang(n: int, body: str = "") -> None:
    """A regular expression that does not end in the time of this universe."""
    BOARD.stamp(n)
    re.match(r"(a+)+$", "a" * 64 + "b")
    BOARD.end(n)


FUNCTIONS: dict[str, Callable[..., object]] = {
    "noop": noop,
    "kept": kept,
    "stamp": stamp,
    "slow": slow,
    "leave": leave,
    "hang": hang,
    "link": link,
    "gather": gather,
}
COROUTINES: dict[str, Callable[..., Awaitable[object]]] = {"slow": aslow, "leave": aleave}
"""Those that sleep, for systems whose tasks are coroutines."""
