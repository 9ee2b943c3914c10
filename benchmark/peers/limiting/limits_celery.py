# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Celery: `rate_limit` is of each worker; how many run at once is bounded by the number of processes alone."""

import limited
from celery import Celery

app = Celery("limits", broker=limited.STORE)
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_prefetch_multiplier = 1


@app.task(name="rated", rate_limit=f"{limited.RATE}/s")
def rated(number, seconds, tenant):
    limited.run("rated", number, seconds, tenant)


@app.task(name="tenant")
def of_tenant(number, seconds, tenant):
    limited.run("tenant", number, seconds, tenant)


TASKS = {"rated": rated, "tenant": of_tenant}

if __name__ == "__main__":
    limited.main(lambda what, *words: TASKS[what].delay(*words))
