# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Tasks of Huey, on Redis or SQLite by the URL. BENCH_VARIANT tuned: no results. Results are looked for after 0.1 s by default,
then more and more rarely; or every 10 ms; or, notified, the client blocks on a list.
"""

import tasks
from huey import RedisHuey, SqliteHuey
from huey.api import group

OPTIONS = {"results": False} if tasks.VARIANT.endswith("tuned") else {}
if tasks.VARIANT.endswith("notified"):
    OPTIONS["notify_result"] = True
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


def get(n):
    often = {"max_delay": 0.01} if tasks.VARIANT.endswith("10 ms") else {}
    return TASKS["leave"](n).get(blocking=True, timeout=60, **often)


def chain(first, count):
    line = TASKS["link"].s(first)
    for n in range(first + 1, first + count):
        line = line.then(TASKS["link"], n)
    huey.enqueue(line)


def chord(first, count):
    members = group([TASKS["link"].s(n) for n in range(first, first + count)])
    huey.enqueue(members.then(TASKS["gather"], first + count))
