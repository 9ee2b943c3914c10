# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Tasks of streaq, waited for as its `result` does: its client (coredis 6.9) takes 0.1 s to leave the channel when the result is there."""

import asyncio

import tasks
from streaq import Worker

worker = Worker(redis_url=tasks.STORE)


@worker.task
async def leave(n: int) -> str:
    return await tasks.aleave(n)


@worker.task
async def noop(n: int) -> None:
    tasks.noop(n)


_loop = None


async def _get(n):
    sent = await leave.enqueue(n)
    return (await sent.result(timeout=60)).result


async def _push(numbers):
    for n in numbers:
        await noop.enqueue(n)


def run(coroutine):
    global _loop
    if _loop is None:
        _loop = asyncio.new_event_loop()
        _loop.run_until_complete(worker.__aenter__())
    return _loop.run_until_complete(coroutine)


def push(task, numbers, body):
    run(_push(numbers))


def get(n):
    return run(_get(n))
