# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Tasks of SAQ. BENCH_VARIANT tuned: results are not kept, more jobs at once; results: `apply`, which looks every 0.5 s by default;
"results, refresh": `refresh`, which listens.
"""

import asyncio

import tasks
from saq import Queue

queue = Queue.from_url(tasks.STORE)


def made(name, call):
    async def acall(ctx, *, n, body=""):
        return await tasks.COROUTINES[name](n) if name in tasks.COROUTINES else call(n)

    acall.__qualname__ = acall.__name__ = name
    return acall


settings = {
    "queue": queue,
    "functions": [(name, made(name, call)) for name, call in tasks.FUNCTIONS.items()],
}
OPTIONS = {"ttl": -1} if tasks.VARIANT == "tuned" else {}
_loop = None


def run(coroutine):
    global _loop
    if _loop is None:
        _loop = asyncio.new_event_loop()
        _loop.run_until_complete(queue.connect())
    return _loop.run_until_complete(coroutine)


async def _push(task, numbers, body):
    options = {**OPTIONS, "timeout": tasks.LIMIT} if task == "hang" else OPTIONS
    for n in numbers:
        await (queue.enqueue(task, n=n, body=body, **options) if body else queue.enqueue(task, n=n, **options))


def push(task, numbers, body):
    run(_push(task, numbers, body))


async def _refreshed(n):
    job = await queue.enqueue("leave", n=n)
    await job.refresh(60)
    return job.result


def get(n):
    return run(_refreshed(n) if tasks.VARIANT.endswith("refresh") else queue.apply("leave", timeout=60, n=n))
