# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Huey's task."""

from huey.contrib.djhuey import task


@task(name="send")
def send(number=0):
    if number % 2:
        raise ValueError(number)
