# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Tasks of TaskTiger."""

import tasks
from redis import Redis
from tasktiger import TaskTiger

tiger = TaskTiger(connection=Redis.from_url(tasks.STORE, decode_responses=True), setup_structlog=True)


def push(task, numbers, body):
    call = tasks.FUNCTIONS[task]
    options = {"hard_timeout": tasks.LIMIT} if task == "hang" else {}
    for n in numbers:
        tiger.delay(call, args=(n, body) if body else (n,), **options)


if __name__ == "__main__":
    import sys

    tiger.run_worker_with_args(sys.argv[1:])
