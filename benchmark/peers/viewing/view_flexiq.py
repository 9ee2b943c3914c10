# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""FlexiQ on Redis; as a program it fills the store."""

import os

from flexiq import Queue

queue = Queue(backend="redis", db_url=os.environ["VIEW_STORE"])


@queue.task(name="send", queue="mail", max_retries=0)
def send(number=0):
    if number % 2:
        raise ValueError(number)


if __name__ == "__main__":
    for number in range(10):
        send.delay(number)
