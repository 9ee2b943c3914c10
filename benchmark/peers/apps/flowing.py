"""The client's part of what is measured about flows: chains and chords of tasks, beside as many tasks that wait for nothing."""

from __future__ import annotations

import time
from typing import Any

from board import Board

STEP = 0.0005
"""Seconds between two looks at the board."""
PATIENCE = 100.0
"""Seconds that one flow may take."""


def until(times: Any, first: int, count: int) -> int:
    """The latest of these times, when all are there."""
    stop, at = time.monotonic() + PATIENCE, first
    while at < first + count:
        if times[at]:
            at += 1
            continue
        if time.monotonic() > stop:
            there = sum(1 for n in range(first, first + count) if times[n])
            raise RuntimeError(f"{there} of {count} tasks of a flow have ended after {PATIENCE:g} s")
        time.sleep(STEP)
    latest: int = max(times[n] for n in range(first, first + count))
    return latest


def flow(app: Any, order: dict[str, Any], seen: Board) -> dict[str, Any]:
    """Start one (`what`: chain, chord, plain) of `count` tasks from the number `first`, and wait for its end. Milliseconds from before the
    start to the end of the last task; the client's CPU seconds; of a chord ms from the end of its last member to its callback's start.
    """
    first, count, what = order["first"], order["count"], order["what"]
    began, used = time.monotonic_ns(), time.process_time()
    if what == "plain":
        app.push("link", range(first, first + count), "")
    else:
        getattr(app, what)(first, count)
    used = time.process_time() - used
    last = until(seen.ends, first, count)
    if what != "chord":
        return {"ms": (last - began) / 1e6, "cpu": used}
    called = until(seen.starts, first + count, 1)
    return {"ms": (called - began) / 1e6, "cpu": used, "callback_ms": (called - last) / 1e6}
