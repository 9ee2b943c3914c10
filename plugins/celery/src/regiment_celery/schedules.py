"""`crontab` and `schedule`: when a periodic task is pushed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, NoReturn

from regiment.bounds import seen
from regiment_celery.options import Refused

FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


class crontab:  # noqa: N801  Celery's name
    """When the clock shows these values, in the timezone of the application."""

    def __init__(
        self,
        minute: Any = "*",
        hour: Any = "*",
        day_of_week: Any = "*",
        day_of_month: Any = "*",
        month_of_year: Any = "*",
        nowfun: Any = None,
        app: Any = None,
    ) -> None:
        if nowfun is not None:
            raise Refused("crontab(nowfun=…) cannot be had here; set the timezone of the application")
        given = {
            "minute": minute,
            "hour": hour,
            "day_of_month": day_of_month,
            "month_of_year": month_of_year,
            "day_of_week": day_of_week,
        }
        self.fields = {name: _field(name, value) for name, value in given.items()}
        days = self.fields["day_of_month"], self.fields["day_of_week"]
        if not any(day.startswith("*") for day in days):
            raise Refused(
                f"crontab(day_of_month={days[0]!r}, day_of_week={days[1]!r}) cannot be had here: Celery means days on which both hold, "
                "cron those on which one does. Leave one out, and look in the task which day it is"
            )

    def expression(self) -> str:
        """It as the five fields of cron."""
        return " ".join(self.fields[name] for name in FIELDS)

    def __repr__(self) -> str:
        return f"<crontab: {self.expression()} (m/h/dM/MY/d)>"


def _field(name: str, value: Any) -> str:
    if isinstance(value, bool):
        raise Refused(f"crontab({name}={value!r}); expected numbers, names or an expression")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return value.replace(" ", "").lower() or "*"
    if isinstance(value, Iterable):
        return ",".join(_field(name, one) for one in value)
    raise Refused(f"crontab({name}={seen(value)}); expected numbers, names or an expression")


class every:  # noqa: N801  Celery's name is `schedule`
    """Again and again, so many seconds apart."""

    def __init__(
        self, run_every: float | timedelta = 0, relative: bool = False, nowfun: Any = None, app: Any = None
    ) -> None:
        if nowfun is not None:
            raise Refused("schedule(nowfun=…) cannot be had here; set the timezone of the application")
        self.run_every = run_every

    def __repr__(self) -> str:
        return f"<schedule: every {self.run_every}>"


schedule = every


def solar(*_: Any, **__: Any) -> NoReturn:
    """Refused."""
    raise Refused("solar(…) cannot be had here; compute the time in a task that pushes with eta=")
