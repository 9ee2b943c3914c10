# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""regiment: `regiment run view_regiment`; as a program it fills the store."""

import os

from regiment import Queue

work = Queue("mail", connector=os.environ["VIEW_STORE"])


@work.task
def send(number: int = 0) -> None:
    if number % 2:
        raise ValueError(number)


if __name__ == "__main__":
    for number in range(10):
        send.push(number)
