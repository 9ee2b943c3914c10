# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Celery, with a worker that sends events, as Flower's page asks for; as a program it fills the store."""

import os

from celery import Celery

app = Celery("mail", broker=os.environ["VIEW_STORE"], backend=os.environ["VIEW_STORE"])
app.conf.task_default_queue = "mail"
app.conf.broker_connection_retry_on_startup = True


@app.task(name="send")
def send(number=0):
    if number % 2:
        raise ValueError(number)


if __name__ == "__main__":
    for number in range(10):
        send.delay(number)
