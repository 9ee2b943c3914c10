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


@worker.task
async def link(before: int | None, n: int) -> int:
    return tasks.link(n)


@worker.task
async def gather(n: int) -> None:
    tasks.gather(n)


_loop = None


async def _get(n):
    sent = await leave.enqueue(n)
    return (await sent.result(timeout=60)).result


async def _push(task, numbers):
    for n in numbers:
        await (link.enqueue(None, n) if task == "link" else noop.enqueue(n))


async def _chain(first, count):
    line = link.enqueue(None, first)
    for n in range(first + 1, first + count):
        line = line.then(link, n=n)
    await line


async def _chord(first, count):
    members = [link.enqueue(None, n) for n in range(first, first + count)]
    await worker.enqueue_many(members)
    await gather.enqueue(first + count).start(after=[one.id for one in members])


def run(coroutine):
    global _loop
    if _loop is None:
        _loop = asyncio.new_event_loop()
        _loop.run_until_complete(worker.__aenter__())
    return _loop.run_until_complete(coroutine)


def push(task, numbers, body):
    run(_push(task, numbers))


def get(n):
    return run(_get(n))


def chain(first, count):
    run(_chain(first, count))


def chord(first, count):
    run(_chord(first, count))
