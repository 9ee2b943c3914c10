"""The application of these tests; `STORE` says where its tasks live."""

from __future__ import annotations

import os
import time
from typing import Any

from regiment import Backoff, Fail, current
from regiment_results import ResultQueue, Results

shop = ResultQueue(
    "shop",
    plugins=[Results(ttl=600, history=2, limit=10_000)],
    connector=os.environ["STORE"],
    backoff=Backoff(first=0.05),
    lease=3.0,
    tasks_per_transaction=int(os.environ.get("BATCH", "1")),
    push_timeout=20,
)


@shop.task
def add(x: int, y: int) -> int:
    return x + y


@shop.task
def broken(word: str) -> None:
    error = LookupError(word)
    error.add_note("looked everywhere")
    raise error


@shop.task(max_retries=3)
def flaky(times: int) -> int:
    task = current().task
    assert task is not None
    if task.run_count < times:
        raise KeyError(task.run_count)
    return task.run_count


@shop.task
def large(size: int) -> bytes:
    return b"x" * size


@shop.task
def odd() -> Any:
    return object()


@shop.task(timeout=0.3)
def slow(seconds: float) -> None:
    time.sleep(seconds)


@shop.task
def nap(seconds: float) -> str:
    for part in range(10):
        current().progress(part, 10, "napping")
        time.sleep(seconds / 10)
    return "awake"


@shop.task
def give_up() -> None:
    raise Fail(reason="no way")


@shop.task
def parent(x: int) -> str:
    return str(add.push(x=x, y=x).id)


@shop.task
def waits(x: int, timeout: float | None) -> int:
    return add.push(x=x, y=x).result(timeout=timeout)


@shop.task
def busy(n: int, seconds: float) -> int:
    time.sleep(seconds)
    return n
