# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Tasks of RQ. BENCH_VARIANT: defaults (a process for each job), simple (SimpleWorker, no results kept),
results and "results, simple" (kept, and waited for in a stream).
"""

import tasks
from redis import Redis
from rq import Queue, Retry

queue = Queue("bench", connection=Redis.from_url(tasks.STORE))
if tasks.VARIANT == "simple":
    OPTIONS = {"result_ttl": 0}
elif tasks.VARIANT == "retry":
    OPTIONS = {"retry": Retry(max=3)}
else:
    OPTIONS = {}


def push(task, numbers, body):
    call = tasks.FUNCTIONS[task]
    options = {**OPTIONS, "job_timeout": tasks.LIMIT} if task == "hang" else OPTIONS
    for n in numbers:
        queue.enqueue(call, args=(n, body) if body else (n,), **options)


def get(n):
    return queue.enqueue(tasks.leave, args=(n,)).latest_result(timeout=60).return_value


def push_many(task, numbers, body):
    call = tasks.FUNCTIONS[task]
    queue.enqueue_many([Queue.prepare_data(call, args=(n, body) if body else (n,), **OPTIONS) for n in numbers])


def chain(first, count):
    job = None
    for n in range(first, first + count):
        job = queue.enqueue(tasks.link, args=(n,), depends_on=job)


def chord(first, count):
    members = queue.enqueue_many([Queue.prepare_data(tasks.link, args=(n,)) for n in range(first, first + count)])
    queue.enqueue(tasks.gather, args=(first + count,), depends_on=members)
