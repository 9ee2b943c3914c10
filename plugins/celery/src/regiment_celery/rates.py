"""`rate_limit` of a task: a pool of regiment-limits, which has the task's name, in each queue that the task goes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any

from regiment.bounds import seen
from regiment.config import Use
from regiment_celery.options import Refused

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def rate_of(where: str, value: Any) -> tuple[int, float] | None:
    """So many starts in so many seconds, of Celery's "100/s", "10/m", "5/h" or a number a second; None for no limit.

    `Refused` for anything else, and where regiment-limits is not installed.
    """
    if value in (None, 0, "0"):
        return None
    text, _, unit = str(value).partition("/")
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if isinstance(value, bool) or not 0 < number < 1e9 or (unit or "s") not in _SECONDS:
        raise Refused(
            f"{where}: rate_limit is {seen(value)}; expected a number of starts a second, or '100/s', '10/m', '5/h'"
        )
    if find_spec("regiment_limits") is None:
        raise Refused(
            f"{where}: rate_limit={seen(value)} needs regiment-limits, which is not installed: pip install regiment-limits"
        )
    seconds = _SECONDS[unit or "s"]
    return (int(number), seconds) if number.is_integer() else (1, seconds / number)


def pool_of(name: str) -> str:
    """The pool of a task."""
    return name.replace("/", ":")


def budgets(tasks: Mapping[str, Any], own: Iterable[Any]) -> list[Use]:
    """What queues get for the rates of tasks; `Refused` beside limits of the application's own."""
    pools = {pool_of(name): {"rate": task.rate} for name, task in tasks.items() if task.rate is not None}
    if not pools:
        return []
    if any(isinstance(one, Use) and one.name == "limits" for one in own):
        raise Refused(
            f"rate_limit of {', '.join(pools)} and Limits(…) in Celery(regiment=…) were both given; a queue has one Limits"
        )
    return [Use("limits", pools=pools)]
