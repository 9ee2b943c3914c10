# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""SAQ: it has no limiter; how many run at once is bounded by the concurrency of each worker."""

import asyncio

import limited
from saq import Queue

queue = Queue.from_url(limited.STORE)


async def tenant(ctx, *, number, seconds, tenant):
    limited.note("start", "tenant", number, tenant)
    await asyncio.sleep(seconds)
    limited.note("end", "tenant", number, tenant)


settings = {"queue": queue, "functions": [tenant], "concurrency": 5}

if __name__ == "__main__":
    loop = asyncio.new_event_loop()
    loop.run_until_complete(queue.connect())
    limited.main(
        lambda what, number, seconds, tenant: loop.run_until_complete(
            queue.enqueue("tenant", number=number, seconds=seconds, tenant=tenant)
        )
    )
