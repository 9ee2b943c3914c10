# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""RQ; as a program it fills the store."""

import os

from redis import Redis
from rq import Queue


def send(number=0):
    if number % 2:
        raise ValueError(number)


if __name__ == "__main__":
    queue = Queue("mail", connection=Redis.from_url(os.environ["VIEW_STORE"]))
    for number in range(10):
        queue.enqueue("view_rq.send", number)
