# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Tasks of Sergeant: one worker class, which looks at the name in its arguments."""

import os
from urllib.parse import urlsplit

import tasks

import sergeant

CONNECTOR = urlsplit(tasks.STORE)
LIMIT = float(os.environ.get("BENCH_LIMIT", "30"))


class Bench(sergeant.worker.Worker):
    def generate_config(self):
        return sergeant.config.WorkerConfig(
            name="bench",
            connector=sergeant.config.Connector(
                type="redis",
                params={
                    "nodes": [
                        {
                            "host": CONNECTOR.hostname,
                            "port": CONNECTOR.port,
                            "password": None,
                            "database": 0,
                        }
                    ]
                },
            ),
            tasks_per_transaction=int(os.environ.get("BENCH_BATCH", "1")),
            timeouts=sergeant.config.Timeouts(timeout=LIMIT, grace_period=1.0) if LIMIT else sergeant.config.Timeouts(),
        )

    def work(self, task):
        kwargs = task.kwargs
        tasks.FUNCTIONS[kwargs["task"]](kwargs["n"])


_pusher = None


def pusher():
    global _pusher
    if _pusher is None:
        _pusher = Bench()
        _pusher.init_broker()
    return _pusher


def arguments(task, n, body):
    return {"task": task, "n": n, "body": body} if body else {"task": task, "n": n}


def push(task, numbers, body):
    one = pusher().push_task
    for n in numbers:
        one(kwargs=arguments(task, n, body))


def push_many(task, numbers, body):
    pusher().push_tasks(kwargs_list=[arguments(task, n, body) for n in numbers])
