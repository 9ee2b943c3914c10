# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Tasks of Procrastinate, coroutines where its documentation has both. BENCH_VARIANT retry: with its documented periodic task for those whose
worker has died. It has no limit for a task that runs, and keeps no results.
"""

import sys

import tasks
from procrastinate import App, PsycopgConnector

app = App(connector=PsycopgConnector(conninfo=tasks.STORE))


def made(name, call):
    async def acall(n, body=""):
        return await tasks.COROUTINES[name](n) if name in tasks.COROUTINES else call(n)

    acall.__qualname__ = acall.__name__ = name
    return app.task(name=name, queue="bench")(acall)


TASKS = {name: made(name, call) for name, call in tasks.FUNCTIONS.items()}

if tasks.VARIANT == "retry":

    @app.periodic(cron="* * * * *")
    @app.task(queueing_lock="again", pass_context=True, queue="bench")
    async def again(context, timestamp):
        for job in await app.job_manager.get_stalled_jobs():
            await app.job_manager.retry_job(job)


if sys.argv[0].endswith("client.py"):  # it is there before any worker
    app.open()
    app.schema_manager.apply_schema()


def push(task, numbers, body):
    defer = TASKS[task].defer
    for n in numbers:
        defer(n=n, body=body) if body else defer(n=n)


def push_many(task, numbers, body):
    TASKS[task].batch_defer(*({"n": n, "body": body} if body else {"n": n} for n in numbers))
