"""What the executors promise of time: measured in one process, with the store in memory, as the best of some runs."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.scale import size
from regiment import Queue, Use
from regiment_runner.parts import assemble, terms_of
from regiment_runner.shared import page
from regiment_runner.worker.lease import Lease
from regiment_runner.worker.runtime import Runtime
from regiment_runner.worker.source import Source


def nothing(n: int) -> None: ...


async def anothing(n: int) -> None: ...


def nap(n: int) -> None:
    time.sleep(0.02)


async def anap(n: int) -> None:
    await asyncio.sleep(0.02)


def worked_off(folder: Path, function: Callable[[int], Any], executor: Use, count: int) -> tuple[float, float]:
    """Seconds and CPU seconds that a worker without a supervisor takes for `count` tasks, 100 a batch."""
    queue = Queue(
        f"speed{os.urandom(4).hex()}",
        connector="memory:",
        executor=executor,
        tasks_per_transaction=100,
    )
    queue.task(function)
    queue.options(name=function.__name__).push_many({"n": n} for n in range(count))
    parts = assemble(queue)
    parts.connector.open("lease")
    sheet = page.Page(folder / queue.name, create=True)
    calls = {"call": parts.executor.call} if hasattr(parts.executor, "call") else {}
    runtime = Runtime(queue, parts.broker.codec, sheet, parts.killer, **calls)
    wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    lease = Lease(parts.connector, queue.name, terms_of(queue.config))
    source = Source(runtime, lease, parts.executor.slots, wake, burst=True)
    gc.collect()
    began, used = time.perf_counter(), time.process_time()
    parts.executor.run(source)
    took = time.perf_counter() - began, time.process_time() - used
    assert sheet.words[page.TASKS] == count or not parts.connector.counts(queue.name).leased
    getattr(parts.executor, "close", lambda: None)()
    parts.connector.close()
    os.close(wake)
    return took


def best(run: Callable[[], tuple[float, ...]], of: int, bound: float = 0.0, times: int = 40) -> float:
    """The least of some measurements, of which the first within `bound` is the last: what the code needs when the machine
    does not disturb it, which on two processors with five lanes of tests may take some trying.
    """
    least = math.inf
    for _ in range(times):
        least = min(least, run()[of])
        if least <= bound:
            break
    return least


@pytest.mark.parametrize(
    ("function", "executor", "seconds"),
    [(nap, Use("threaded", threads=50), 0.6), (anap, Use("asyncio", concurrency=200), 0.25)],
    ids=["50 threads", "200 coroutines"],
)
def test_a_thousand_tasks_of_20_ms_are_over_soon(tmp_path: Path, function: Any, executor: Use, seconds: float) -> None:
    assert best(lambda: worked_off(tmp_path, function, executor, 1000), 0, seconds) <= seconds


def handed_over(threads: int, count: int) -> tuple[float]:
    """CPU seconds that the standard library's pool takes for `count` calls of nothing, at most `threads` at a time."""
    room = threading.Semaphore(threads)
    used = time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        for n in range(count):
            room.acquire()
            pool.submit(nothing, n).add_done_callback(lambda _: room.release())
    return (time.process_time() - used,)


@pytest.mark.parametrize(
    ("function", "executor", "microseconds"),
    [
        (nothing, Use("threaded", threads=50), 40),
        (nothing, Use("threaded", threads=4), 40),
        (anothing, Use("asyncio", concurrency=100), 60),
    ],
    ids=["50 threads", "4 threads", "100 coroutines"],
)
def test_a_task_that_does_nothing_costs_little_more_cpu_than_in_serial(
    tmp_path: Path, function: Any, executor: Use, microseconds: float
) -> None:
    """Or than a bare pool of as many threads, where handing over between threads alone costs more than that."""
    count = 5000
    serial = best(lambda: worked_off(tmp_path, nothing, Use("serial"), count), 1, times=3)
    bound = serial + count * microseconds / 1e6
    threads = executor.options.get("threads")
    if threads:
        bound = max(bound, serial + 1.25 * best(lambda: handed_over(threads, count), 0, times=5))
    assert best(lambda: worked_off(tmp_path, function, executor, count), 1, bound) <= bound


GROWTH = """
import sys
from pathlib import Path
from regiment import Use
from test_executors_speed import anothing, nothing, worked_off

def most():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

folder, kind, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
function, executor = {
    "threads": (nothing, Use("threaded", threads=8)),
    "coroutines": (anothing, Use("asyncio", concurrency=50)),
}[kind]
after = []
for _ in range(6):
    worked_off(folder, function, executor, count)
    after.append(most())
print(after[5] - after[1], after)
"""
"""Prints how many KiB four runs added to the most that this process ever had, after two that warmed it up."""


@pytest.mark.parametrize("kind", ["threads", "coroutines"])
def test_memory_stays_flat(tmp_path: Path, kind: str) -> None:
    """100,000 tasks at full scale, after as many as warm it up; in a process of its own."""
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", GROWTH, str(tmp_path), kind, str(size(20_000, 100_000) // 4)],
        env={**os.environ, "PYTHONPATH": f"{here}:{here.parent}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) < 4096, done.stdout  # KiB
