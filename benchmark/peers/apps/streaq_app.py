# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Tasks of streaq, coroutines as it wants them. BENCH_VARIANT tuned: results are not kept, tasks are not logged. `result` waits in a
channel, which its client (coredis 6.9) takes 0.1 s to leave when the result is there.
"""

import asyncio

import tasks
from streaq import Worker

worker = Worker(redis_url=tasks.STORE)


OPTIONS = {"ttl": 0, "silent": True} if tasks.VARIANT == "tuned" else {}


def made(name, call):
    async def acall(n: int, body: str = "") -> str | None:
        return await tasks.COROUTINES[name](n) if name in tasks.COROUTINES else call(n)

    limit = {"timeout": tasks.LIMIT} if name == "hang" else {}
    return worker.task(name=name, **OPTIONS, **limit)(acall)


TASKS = {name: made(name, call) for name, call in tasks.FUNCTIONS.items() if name not in ("link", "gather")}


@worker.task
async def link(before: int | None, n: int) -> int:
    return tasks.link(n)


@worker.task
async def gather(n: int) -> None:
    tasks.gather(n)


_loop = None


async def _get(n):
    sent = await TASKS["leave"].enqueue(n)
    return (await sent.result(timeout=60)).result


def _one(task, n, body):
    if task == "link":
        return link.enqueue(None, n)
    return TASKS[task].enqueue(n, body) if body else TASKS[task].enqueue(n)


async def _push(task, numbers, body):
    for n in numbers:
        await _one(task, n, body)


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
    run(_push(task, numbers, body))


def push_many(task, numbers, body):
    run(worker.enqueue_many([_one(task, n, body) for n in numbers]))


def get(n):
    return run(_get(n))


def chain(first, count):
    run(_chain(first, count))


def chord(first, count):
    run(_chord(first, count))
