# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""streaq; as a program it fills the store. Half of its tasks wait for an hour: only those can be cancelled for certain."""

import asyncio
import os

from streaq import Worker

worker = Worker(redis_url=os.environ["VIEW_STORE"], queue_name="mail")


@worker.task
async def send(number: int = 0) -> None:
    if number % 2:
        raise ValueError(number)


async def fill():
    async with worker:
        for number in range(10):
            await send.enqueue(number)
            await send.enqueue(number).start(delay=3600)


if __name__ == "__main__":
    asyncio.run(fill())
