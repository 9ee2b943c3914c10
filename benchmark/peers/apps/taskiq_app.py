# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Tasks of Taskiq. BENCH_VARIANT: list (popped), stream (acknowledged), results (with its Redis backend, looked for every
0.2 s by default; or every 10 ms).
"""

import asyncio

import tasks
from taskiq_pipelines import Pipeline, PipelineMiddleware
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend, RedisStreamBroker

broker = RedisStreamBroker(tasks.STORE, consumer_id="0") if tasks.VARIANT == "stream" else ListQueueBroker(tasks.STORE)
if tasks.VARIANT.startswith("results"):
    broker = broker.with_result_backend(RedisAsyncResultBackend(tasks.STORE)).with_middlewares(PipelineMiddleware())
OFTEN = {"check_interval": 0.01} if tasks.VARIANT.endswith("10 ms") else {}


def made(name, call):
    async def acall(n, body=""):
        return call(n)

    options = {"timeout": tasks.LIMIT} if name == "hang" else {}
    return broker.task(task_name=name, **options)(tasks.COROUTINES.get(name, acall))


TASKS = {name: made(name, call) for name, call in tasks.FUNCTIONS.items()}


@broker.task(task_name="step")
async def step(before, n):
    return tasks.link(n)


@broker.task(task_name="numbers")
async def numbers_of(first, count):
    return list(range(first, first + count))


@broker.task(task_name="callback")
async def callback(values, n):
    tasks.gather(n)


_loop = None


def run(coroutine):
    global _loop
    if _loop is None:
        _loop = asyncio.new_event_loop()
        _loop.run_until_complete(broker.startup())
    return _loop.run_until_complete(coroutine)


async def _push(task, numbers, body):
    kiq = TASKS[task].kiq
    for n in numbers:
        await (kiq(n, body) if body else kiq(n))


def push(task, numbers, body):
    run(_push(task, numbers, body))


async def _get(n):
    sent = await TASKS["leave"].kiq(n)
    return (await sent.wait_result(timeout=60, **OFTEN)).return_value


def get(n):
    return run(_get(n))


async def _chain(first, count):
    line = Pipeline(broker, step)
    for n in range(first + 1, first + count):
        line = line.call_next(step, n=n)
    await line.kiq(None, first)


async def _chord(first, count):
    """Its way: a task gives the numbers, `map` makes the members; it has no group."""
    how = {"check_interval": 0.01} if OFTEN else {}
    await (
        Pipeline(broker, numbers_of)
        .map(TASKS["link"], param_name="n", **how)
        .call_next(callback, n=first + count)
        .kiq(first, count)
    )


def chain(first, count):
    run(_chain(first, count))


def chord(first, count):
    run(_chord(first, count))
