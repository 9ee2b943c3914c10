# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""SAQ: two workers with the same cron job; it says for which tick a job was scheduled."""

from noted import STORE, note
from saq import CronJob, Queue


async def tick(ctx):
    note(float(ctx["job"].scheduled) or None)


settings = {
    "queue": Queue.from_url(STORE),
    "functions": [tick],
    "cron_jobs": [CronJob(tick, cron="* * * * * */2")],
}
