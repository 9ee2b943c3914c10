# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Tasks of Celery. BENCH_VARIANT: defaults, tuned (its "Optimizing" page), safe (late acknowledgment),
results (its Redis backend, which listens).
"""

import tasks
from celery import Celery

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
