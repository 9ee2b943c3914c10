# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Tasks of Huey, on Redis or SQLite by the URL. BENCH_VARIANT tuned: no results."""

import tasks
from huey import RedisHuey, SqliteHuey

OPTIONS = {"results": False} if tasks.VARIANT.endswith("tuned") else {}
if tasks.STORE.startswith("sqlite:"):
    huey = SqliteHuey("bench", filename=tasks.STORE.removeprefix("sqlite:///"), **OPTIONS)
else:
    huey = RedisHuey("bench", url=tasks.STORE, **OPTIONS)
TASKS = {
    name: huey.task(name=name, **({"timeout": tasks.LIMIT} if name == "hang" else {}))(call)
    for name, call in tasks.FUNCTIONS.items()
}


def push(task, numbers, body):
    call = TASKS[task]
    for n in numbers:
        call(n, body) if body else call(n)
