# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""RQ: its rate limit is one of how many of a key are queued or run at once."""

import limited
from redis import Redis
from rq import Queue, RateLimit, Retry


def run(what, number, seconds, tenant):
    limited.run(what, number, seconds, tenant)


if __name__ == "__main__":
    from limits_rq import run as task

    queue = Queue("limits", connection=Redis.from_url(limited.STORE))
    options = {"rate_limit": RateLimit("slot", limited.SLOTS), "retry": Retry(max=10)}
    limited.main(lambda what, *words: queue.enqueue(task, what, *words, **(options if what == "slot" else {})))
