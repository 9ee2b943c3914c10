"""Tasks of regiment. Settings of the variant are in BENCH_*."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import tasks

from regiment import Queue, Timeouts, Use

KIND = os.environ.get("BENCH_EXECUTOR", "serial")
SERIALIZER = os.environ.get("BENCH_SERIALIZER", "msgpack")
PLUGINS: list[Any] = []
if os.environ.get("BENCH_RESULTS"):
    from regiment_results import Results, await_all  # not in each checkout that is measured beside this one

    PLUGINS = [Results(ttl=3600)]
if os.environ.get("BENCH_FLOWS"):
    from regiment_workflows import Workflows, prev, s
    from regiment_workflows import chain as chained
    from regiment_workflows import group as grouped

    PLUGINS = [Workflows()]
bench = Queue(
    "bench",
    connector=tasks.STORE,
    executor=Use(KIND, threads=8) if KIND == "threaded" else KIND,
    tasks_per_transaction=int(os.environ.get("BENCH_BATCH", "1")),
    delivery=os.environ.get("BENCH_DELIVERY", "at_least_once"),
    serializer=Use("pickle", key="a key of the benchmark, known to all") if SERIALIZER == "pickle" else SERIALIZER,
    compressor=os.environ.get("BENCH_COMPRESSOR") or None,
    timeouts=Timeouts(30),
    **({"plugins": PLUGINS} if PLUGINS else {}),
)


def made(name: str, call: Callable[..., object]) -> Callable[..., object]:
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


def handle(n: int) -> Any:
    return TASKS["leave"].push(n=n)


def get(n: int) -> object:
    return handle(n).result(timeout=60)


def handles(count: int) -> list[Any]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(handle, range(count)))


def together(waited: list[Any]) -> Coroutine[Any, Any, object]:
    return await_all(waited, timeout=3600)


def chain(first: int, count: int) -> None:
    link = TASKS["link"]
    chained(
        s(link, n=first, before=None), *(s(link, n=n, before=prev) for n in range(first + 1, first + count))
    ).start()


def chord(first: int, count: int) -> None:
    members = grouped(s(TASKS["link"], n=n, before=None) for n in range(first, first + count))
    members.then(s(TASKS["gather"], n=first + count, values=prev)).start()
