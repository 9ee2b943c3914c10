"""What `apply` runs here, and what it answers."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from typing import Any

from regiment.errors import Retry
from regiment.task import Task as Record
from regiment.task import new_id
from regiment_celery.request import Context, eager_now
from regiment_celery.states import FAILURE, SUCCESS


class EagerResult:
    """The result of a task that `apply` ran here."""

    def __init__(self, id: str, value: Any, state: str, traceback: str | None = None) -> None:
        self.id = self.task_id = id
        self.result = self.info = value
        self.state = self.status = state
        self.traceback = traceback

    def get(self, timeout: Any = None, propagate: bool = True, **_: Any) -> Any:
        """What it returned, or its failure."""
        if propagate and isinstance(self.result, BaseException):
            raise self.result
        return self.result

    wait = get

    def ready(self) -> bool:
        """True."""
        return True

    def successful(self) -> bool:
        """True if it has succeeded."""
        return self.state == SUCCESS

    def failed(self) -> bool:
        """True if it has failed."""
        return self.state == FAILURE

    def forget(self) -> None:
        """Nothing is kept."""

    def revoke(self, *_: Any, **__: Any) -> None:
        """Nothing: it has ended."""


class Eager(Context):
    """The request of what runs here."""

    is_eager = True


def run_here(task: Any, args: tuple[Any, ...], kwargs: dict[str, Any], options: Mapping[str, Any]) -> Any:
    """Run a task with its retries, without their delays."""
    message = task.parameters.bind(args, kwargs)
    record = Record(str(options.get("task_id") or new_id()), task.app.name, task.name, message, time.time())
    result: Any = None
    while True:
        token = eager_now.set(Eager(record))
        try:
            value = task(*args, **kwargs)
            result = EagerResult(record.id, value, SUCCESS)
            break
        except Retry as again:
            record.run_count += 1
            if again.kwargs is not None:
                args, kwargs = task.parameters.call_of(again.kwargs)
        except Exception as error:
            if not task.will_retry(error, record.run_count):
                if options.get("throw") or task.app.conf["task_eager_propagates"]:
                    raise
                result = EagerResult(record.id, error, FAILURE, traceback.format_exc())
                break
            record.run_count += 1
        finally:
            eager_now.reset(token)
    for one in options.get("link") or ():
        one.apply((result.result,)) if result.successful() else None
    return result
