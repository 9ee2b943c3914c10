# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Tasks of FlexiQ, on Redis or on SQLite, as its README has them. BENCH_VARIANT redis: its defaults, an event for each push; "redis, polling"
and "redis, prefork": looks every 50 ms, as by default elsewhere, and takes a hundred then.
"""

import tasks
from flexiq import Queue

if tasks.STORE.startswith("redis"):
    polls = tasks.VARIANT.endswith(("polling", "prefork"))
    how = {"push_dispatch": False, "scheduler_batch_size": 100} if polls else {}
    queue = Queue(backend="redis", db_url=tasks.STORE, **how)
else:
    queue = Queue(db_path=tasks.STORE.removeprefix("sqlite:///"))
TASKS = {
    name: queue.task(name=name, **({"timeout": tasks.LIMIT} if name == "hang" else {}))(call)
    for name, call in tasks.FUNCTIONS.items()
}


def push(task, numbers, body):
    delay = TASKS[task].delay
    for n in numbers:
        delay(n, body) if body else delay(n)


def push_many(task, numbers, body):
    TASKS[task].map([(n, body) if body else (n,) for n in numbers])


def get(n):
    return TASKS["leave"].delay(n).result(timeout=60)
