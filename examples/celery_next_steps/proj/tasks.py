"""The tasks of the project."""

from regiment_celery.utils.log import get_task_logger

from .celery import app

logger = get_task_logger(__name__)


@app.task
def add(x, y):
    return x + y


@app.task
def mul(x, y):
    return x * y


@app.task
def xsum(numbers):
    return sum(numbers)


@app.task(bind=True, max_retries=5, default_retry_delay=0.1)
def fragile(self, good_at):
    """Works in the run whose number is `good_at`."""
    try:
        if self.request.retries < good_at:
            raise ConnectionError("not there yet")
    except ConnectionError as exc:
        raise self.retry(exc=exc)
    return f"after {self.request.retries} retries"


@app.task(autoretry_for=(OSError,), retry_backoff=True, max_retries=1, retry_backoff_max=1)
def hopeless():
    raise OSError("never works")


@app.task
def report(request, exc, traceback):
    print(f"{request.id} failed: {exc!r}", flush=True)


@app.task
def count(word):
    print(f"counted: {word}", flush=True)
