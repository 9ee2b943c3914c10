"""The client's part of what is measured about waiting for results."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import tasks
from board import Board

QUIET, LOOK, LOOKS = 0.005, 0.25, 4
"""A process waits when it has used at most so many seconds of CPU from one look to the next, in so many looks that follow each other."""


def wait(app: Any, order: dict[str, Any], seen: Board) -> dict[str, Any]:
    """Push one task after the other and wait for its result; milliseconds from the end of the task, by its own last act."""
    found, stop, dice = list[float](), time.monotonic() + order["seconds"], random.Random(3)
    for n in range(order["first"], order["first"] + order["count"]):
        got = app.get(n)
        now = time.monotonic_ns()
        if got != tasks.VALUE:
            raise RuntimeError(f"task {n} has the result {got!r}, and returned {tasks.VALUE!r}")
        found.append((now - seen.ends[n]) / 1e6)
        if time.monotonic() > stop:
            break
        time.sleep(0.004 + 0.004 * dice.random())
    return {"ms": found}


def waiters(app: Any, order: dict[str, Any]) -> dict[str, Any]:
    """So many handles of tasks that nobody runs, waited for in one call (`together`), by a coroutine each (`each`), and as many
    coroutines that wait for nothing of ours (`bare`); each in a child of its own.
    """
    handles = app.handles(order["count"])
    ways: dict[str, Callable[[], list[Coroutine[Any, Any, object]]]] = {
        "together": lambda: [app.together(handles)],
        "each": lambda: [one.aresult(timeout=3600) for one in handles],
        "bare": lambda: [asyncio.Event().wait() for _ in handles],
    }
    return {name: in_child(make, order["seconds"]) for name, make in ways.items()}


def in_child(make: Callable[[], list[Coroutine[Any, Any, object]]], seconds: float) -> dict[str, float]:
    """What `watched` finds in a child of this process."""
    reads, writes = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(writes, json.dumps(asyncio.run(watched(make, seconds))).encode())
        finally:
            os._exit(0)
    os.close(writes)
    with open(reads, "rb") as answers:
        found = answers.read()
    os.waitpid(pid, 0)
    if not found:
        raise RuntimeError("a child that waits for many results has ended without figures")
    told: dict[str, float] = json.loads(found)
    return told


async def watched(make: Callable[[], list[Coroutine[Any, Any, object]]], seconds: float) -> dict[str, float]:
    """Threads, connections and MiB that these waits add, CPU s until all of them wait, and ms per second afterwards."""
    gc.collect()
    await asyncio.sleep(0)
    before, used = state(), time.process_time()
    waits = [asyncio.create_task(one) for one in make()]
    last, looks = -1.0, 0
    while looks < LOOKS:
        now = time.process_time()
        looks = looks + 1 if now - last < QUIET else 0
        last = now
        await asyncio.sleep(LOOK)
    begun, after = time.process_time() - used, state()
    used = time.process_time()
    await asyncio.sleep(seconds)
    used = time.process_time() - used
    if ended := [one for one in waits if one.done()]:
        raise RuntimeError(f"{len(ended)} of the waits have ended, the first with {ended[0].exception()!r}")
    more = {name: after[name] - before[name] for name in after}
    return {**more, "begin_s": begun, "idle_ms_per_s": 1000 * used / seconds}


def state() -> dict[str, float]:
    """Of this process: threads, sockets, MiB."""
    sockets = 0
    for one in Path("/proc/self/fd").iterdir():
        try:
            sockets += os.readlink(one).startswith("socket:")
        except OSError:
            continue
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "threads": threading.active_count(),
        "connections": sockets,
        "mib": pages * os.sysconf("SC_PAGESIZE") / 2**20,
    }
