# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""SAQ, whose page is served by a worker; as a program it fills the store."""

import asyncio
import os

from saq import Queue

queue = Queue.from_url(os.environ["VIEW_STORE"], name="mail")


async def send(ctx, *, number=0):
    if number % 2:
        raise ValueError(number)


settings = {"queue": queue, "functions": [send]}


async def fill():
    await queue.connect()
    for number in range(10):
        await queue.enqueue("send", number=number)
    await queue.disconnect()


if __name__ == "__main__":
    asyncio.run(fill())
