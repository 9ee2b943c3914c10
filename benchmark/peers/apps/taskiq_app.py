# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Tasks of Taskiq. BENCH_VARIANT: list (popped), stream (acknowledged)."""

import asyncio

import tasks
from taskiq_redis import ListQueueBroker, RedisStreamBroker

broker = RedisStreamBroker(tasks.STORE, consumer_id="0") if tasks.VARIANT == "stream" else ListQueueBroker(tasks.STORE)


def made(name, call):
    async def acall(n, body=""):
        call(n)

    options = {"timeout": tasks.LIMIT} if name == "hang" else {}
    return broker.task(task_name=name, **options)(tasks.aslow if name == "slow" else acall)


TASKS = {name: made(name, call) for name, call in tasks.FUNCTIONS.items()}
_loop = None


def run(coroutine):
    global _loop
    if _loop is None:
        _loop = asyncio.new_event_loop()
        _loop.run_until_complete(broker.startup())
    _loop.run_until_complete(coroutine)


async def _push(task, numbers, body):
    kiq = TASKS[task].kiq
    for n in numbers:
        await (kiq(n, body) if body else kiq(n))


def push(task, numbers, body):
    run(_push(task, numbers, body))
