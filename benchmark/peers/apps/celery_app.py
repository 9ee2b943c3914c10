# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Tasks of Celery. BENCH_VARIANT: defaults, tuned (its "Optimizing" page), safe (late acknowledgment),
results (its Redis backend, which listens).
"""

import tasks
from celery import Celery
from celery import chain as canvas_chain
from celery import chord as canvas_chord

app = Celery("bench", broker=tasks.STORE, backend=tasks.STORE if tasks.VARIANT == "results" else None)
app.conf.broker_connection_retry_on_startup = True
if tasks.VARIANT == "tuned":
    app.conf.update(worker_prefetch_multiplier=128, task_ignore_result=True, worker_disable_prefetch=False)
elif tasks.VARIANT == "safe":
    app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, worker_prefetch_multiplier=1)
TASKS = {
    name: app.task(name=name, **({"time_limit": tasks.LIMIT} if name == "hang" else {}))(call)
    for name, call in tasks.FUNCTIONS.items()
}


def push(task, numbers, body):
    delay = TASKS[task].delay
    for n in numbers:
        delay(n, body) if body else delay(n)


def get(n):
    return TASKS["leave"].delay(n).get(timeout=60)


@app.task(name="step")
def step(before, n):
    return tasks.link(n)


@app.task(name="callback")
def callback(values, n):
    tasks.gather(n)


def chain(first, count):
    canvas_chain(step.s(None, first), *(step.s(n) for n in range(first + 1, first + count))).delay()


def chord(first, count):
    canvas_chord([step.s(None, n) for n in range(first, first + count)])(callback.s(first + count))
