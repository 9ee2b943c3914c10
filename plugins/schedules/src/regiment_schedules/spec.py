"""What a schedule says: `schedule(…)` in code, and the same as plain data in the store."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal
from weakref import WeakKeyDictionary

from regiment.bounds import seen
from regiment.errors import ArgumentsError, ConfigError, nearest
from regiment.queue import Queue, TaskFunction
from regiment.task import PRIORITIES
from regiment_schedules.cron import refusal
from regiment_schedules.zones import zone

SETTING = "schedules"
CATCH_UP, OVERLAP = ("last", "skip", "all"), ("allow", "skip")
LONGEST_NAME = 120
LONG = 7 * 86_400.0
"""A period of so many seconds has to say from when it counts."""
_NAME = re.compile(r"[^\s@!]+")
_CALENDAR = re.compile(r"calendar:[A-Za-z0-9_.-]{1,60}")


class Schedule:
    """A schedule of a task, also a decorator of one: made by `schedule(…)`, which says what is wrong with it."""

    def __init__(self, spec: dict[str, Any], name: str | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self.spec, self.name, self.args, self.kwargs = spec, name, tuple(args), dict(kwargs)

    def __repr__(self) -> str:
        return f"<schedule {f'{self.name}: ' if self.name else ''}{in_words(self.spec)}>"

    def __call__(self, task: TaskFunction[..., Any]) -> TaskFunction[..., Any]:
        """Give the task this schedule, beside those that it has."""
        given: Any = task
        if not isinstance(given, TaskFunction):
            hint = "put it above @….task, not below"
            if isinstance(given, type):
                hint = "schedules are of the functions of a Queue; let one push to this worker"
            raise ConfigError(f"@schedule on {seen(given)}; expected a task: {hint}")
        before = of_task(task)
        task.offered[SETTING] = [*before, self]
        try:
            refuse(task)
        except ConfigError:
            task.offered[SETTING] = before
            raise
        return task

    def arguments(self, task: TaskFunction[..., Any]) -> dict[str, Any]:
        """The arguments of its tasks; `ConfigError` if the task does not take them."""
        try:
            return task.parameters.bind(self.args, dict(self.kwargs))
        except ArgumentsError as error:
            raise ConfigError(f"{self!r} of {task!r}: {error}") from None


def schedule(
    cron: str | None = None,
    *,
    every: float | timedelta | None = None,
    name: str | None = None,
    tz: str = "UTC",
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    priority: str | None = None,
    jitter: float | timedelta = 0.0,
    catch_up: Literal["last", "skip", "all"] = "last",
    within: float | timedelta = 86_400.0,
    overlap: Literal["allow", "skip"] = "allow",
    start: datetime | None = None,
    end: datetime | None = None,
    except_: Sequence[str] = (),
) -> Schedule:
    """When a task is pushed: by a cron expression of five fields (or six, seconds first) in a zone, or `every` so many seconds.

    `catch_up` says which of the ticks are made up for that nobody was there to fire: the last one, none, or all, in each case
    only those not older than `within`. `overlap="skip"` leaves out a tick while the task of the one before waits or runs.
    `except_` are days off: dates, or "calendar:NAME". `ConfigError` says everything that is wrong, with the nearest right one.
    """
    wrong: list[str] = []
    spec: dict[str, Any] = {
        "cron": cron,
        "every": _seconds(every, "every", wrong),
        "tz": tz,
        "jitter": _seconds(jitter, "jitter", wrong),
        "catch_up": catch_up,
        "within": _seconds(within, "within", wrong),
        "overlap": overlap,
        "start": _moment(start, "start", wrong),
        "end": _moment(end, "end", wrong),
        "except": list(except_) if isinstance(except_, (list, tuple)) else [except_],
        "priority": priority,
    }
    wrong += problems(spec)
    if name is not None:
        wrong += name_problems(name)
    if kwargs is not None and not (isinstance(kwargs, Mapping) and all(isinstance(key, str) for key in kwargs)):
        wrong.append(f"kwargs is {seen(kwargs)}; expected a mapping of names to values")
    if not isinstance(args, (list, tuple)):
        wrong.append(f"args is {seen(args)}; expected a list of values")
    if wrong:
        raise ConfigError([f"schedule {name or cron or every!r}: {one}" for one in wrong])
    return Schedule(spec, name, args, kwargs or {})


def problems(spec: Mapping[str, Any]) -> list[str]:
    """What is wrong with the data of a schedule, one sentence each."""
    found = []
    cron, every = spec["cron"], spec["every"]
    if (cron is None) == (every is None):
        found.append('it needs one of a cron expression ("0 9 * * *") and every=seconds')
    elif cron is not None and (why := refusal(cron)):
        found.append(why)
    elif every is not None and (every < 1 or round(every * 1000) != every * 1000):
        found.append(f"every is {every!r}; expected at least 1 second, in whole milliseconds")
    elif every is not None and every >= LONG and spec["start"] is None:
        found.append(f"every is {every / 86_400:g} days; say start=, from which it counts")
    try:
        zone(spec["tz"])
    except ConfigError as error:
        found += error.problems
    if spec["overlap"] == "queue":
        found.append(
            'overlap has no "queue": for ticks one after the other give the task a lane of which one runs at once '
            "(regiment-limits), or a queue of its own with one worker"
        )
    for field, known in (("catch_up", CATCH_UP), ("overlap", OVERLAP), ("priority", (None, *PRIORITIES))):
        if spec[field] not in known:
            names = [one for one in known if one]
            found.append(
                f"{field} is {seen(spec[field])}.{nearest(str(spec[field]), names)} Expected {' or '.join(names)}"
            )
    if spec["jitter"] < 0 or spec["within"] <= 0:
        found.append("jitter is at least 0, within more than 0 seconds")
    return found + [why for one in spec["except"] if (why := _day_problem(one))]


def name_problems(name: object) -> list[str]:
    """What is wrong with a schedule's name."""
    if isinstance(name, str) and _NAME.fullmatch(name) and name.isprintable() and len(name.encode()) <= LONGEST_NAME:
        return []
    return [f"name is {seen(name)}; expected 1 to {LONGEST_NAME} bytes without blanks, @ and !"]


def _day_problem(day: object) -> str:
    if isinstance(day, str) and _CALENDAR.fullmatch(day):
        return ""
    try:
        date.fromisoformat(day)  # type: ignore[arg-type]
        return ""
    except (TypeError, ValueError):
        return f'except_ has {seen(day)}; expected dates such as "2026-12-25", and "calendar:NAME"'


def _seconds(value: Any, what: str, wrong: list[str]) -> float | None:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if value is None and what == "every":
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e10:
        return float(value)
    wrong.append(f"{what} is {seen(value)}; expected seconds or a timedelta")
    return 1.0


def _moment(value: Any, what: str, wrong: list[str]) -> float | None:
    if value is None:
        return None
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.timestamp()
    wrong.append(f"{what} is {seen(value)}; expected an aware datetime")
    return None


def of_task(task: TaskFunction[..., Any]) -> list[Schedule]:
    """The schedules that a task was given in code; `ConfigError` for what is none."""
    given = task.offered.get(SETTING, [])
    if not isinstance(given, (list, tuple)) or not all(isinstance(one, Schedule) for one in given):
        raise ConfigError(f"schedules of {task!r} is {seen(given)}; expected a list of schedule(…)")
    return list(given)


_NAMED: WeakKeyDictionary[Queue, dict[str, str]] = WeakKeyDictionary()
"""Queue -> names that schedules of its tasks were given, and whose they are."""


def refuse(task: TaskFunction[..., Any]) -> None:
    """`ConfigError` for what is wrong with the schedules of a task: arguments that it does not take, a name that another has."""
    given = [one for one in of_task(task) if one.name is not None]
    for one in of_task(task):
        one.arguments(task)
    known = _NAMED.setdefault(task.queue, {})
    names = [str(one.name) for one in given]
    for at, name in enumerate(names):
        owner = known.get(name, task.name)
        if owner != task.name or name in names[:at]:
            raise ConfigError(two(name, task.queue.tasks.get(owner, task), task))
    known.update(dict.fromkeys(names, task.name))


def two(name: str, one: object, other: object) -> str:
    """What is wrong with two schedules of one name."""
    return f"{one!r} and {other!r} both have a schedule {name!r}; give one another name="


def in_words(spec: Mapping[str, Any]) -> str:
    """When it is, for people: "0 9 * * mon-fri Europe/Berlin"."""
    when = spec["cron"] if spec["cron"] is not None else f"every {spec['every']:g} s"
    return when if spec["tz"] == "UTC" else f"{when} {spec['tz']}"


def moment(seconds: float) -> str:
    """A time, for people: UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
