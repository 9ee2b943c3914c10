"""Tasks of regiment. Settings of the variant are in BENCH_*."""

from __future__ import annotations

import os
from collections.abc import Callable

import tasks

from regiment import Queue, Timeouts, Use

KIND = os.environ.get("BENCH_EXECUTOR", "serial")
SERIALIZER = os.environ.get("BENCH_SERIALIZER", "msgpack")
bench = Queue(
    "bench",
    connector=tasks.STORE,
    executor=Use(KIND, threads=8) if KIND == "threaded" else KIND,
    tasks_per_transaction=int(os.environ.get("BENCH_BATCH", "1")),
    delivery=os.environ.get("BENCH_DELIVERY", "at_least_once"),
    serializer=Use("pickle", key="a key of the benchmark, known to all") if SERIALIZER == "pickle" else SERIALIZER,
    compressor=os.environ.get("BENCH_COMPRESSOR") or None,
    timeouts=Timeouts(30),
)


def made(name: str, call: Callable[..., None]) -> Callable[..., object]:
    """The function as the executor wants it: its own coroutine function, where that is what it runs."""
    if KIND != "asyncio":
        return call

    async def acall(n: int, body: str = "") -> None:
        call(n)

    acall.__qualname__ = acall.__name__ = name
    return acall


TASKS = {name: bench.task(name=name)(made(name, call)) for name, call in tasks.FUNCTIONS.items() if name != "hang"}
TASKS["hang"] = bench.task(name="hang", timeout=tasks.LIMIT)(made("hang", tasks.hang))


def arguments(n: int, body: str) -> dict[str, object]:
    return {"n": n, "body": body} if body else {"n": n}


def push(task: str, numbers: range, body: str) -> None:
    one = TASKS[task].push
    for n in numbers:
        one(**arguments(n, body))


def push_many(task: str, numbers: range, body: str) -> None:
    TASKS[task].push_many(arguments(n, body) for n in numbers)
