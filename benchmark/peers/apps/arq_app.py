# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Tasks of arq. BENCH_VARIANT tuned: no results kept, 100 jobs at once, looks for jobs every 10 ms."""

import asyncio

import tasks
from arq import create_pool, func
from arq.connections import RedisSettings


def made(name, call):
    async def acall(ctx, n, body=""):
        await tasks.COROUTINES[name](n) if name in tasks.COROUTINES else call(n)

    return func(acall, name=name, **({"timeout": tasks.LIMIT} if name == "hang" else {}))


class WorkerSettings:
    functions = [made(name, call) for name, call in tasks.FUNCTIONS.items()]
    redis_settings = RedisSettings.from_dsn(tasks.STORE)
    if tasks.VARIANT == "tuned":
        keep_result, max_jobs, poll_delay = 0, 100, 0.01


_loop, _pool = None, None


def run(make):
    global _loop, _pool
    if _loop is None:
        _loop = asyncio.new_event_loop()
        _pool = _loop.run_until_complete(create_pool(WorkerSettings.redis_settings))
    _loop.run_until_complete(make())


def push(task, numbers, body):
    async def all_of_them():
        for n in numbers:
            await (_pool.enqueue_job(task, n, body) if body else _pool.enqueue_job(task, n))

    run(all_of_them)
