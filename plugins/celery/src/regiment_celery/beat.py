"""`beat_schedule` and `add_periodic_task`: entries become schedules of the tasks, in the queues where they go."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from regiment.bounds import seen
from regiment_celery.options import Refused
from regiment_celery.schedules import crontab, every
from regiment_schedules import Schedule, schedule

_OPTIONS = ("queue", "priority", "expires")


class Periodic:
    """The periodic tasks of an application."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._added: dict[str, tuple[Any, str, tuple[Any, ...], dict[str, Any], dict[str, Any]]] = {}
        self._made: dict[tuple[str, str], list[Schedule]] = {}

    def add(
        self,
        when: Any,
        sig: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None,
        options: dict[str, Any],
    ) -> str:
        """Add one; its name."""
        refuse_options(options, name or repr(sig))
        key = name or repr(sig)
        given = {**sig.options, **options}
        self._added[key] = when, sig.task, (*args, *sig.args), {**sig.kwargs, **kwargs}, given
        self._app._version += 1
        return key

    def _entries(self) -> dict[str, tuple[Any, str, tuple[Any, ...], dict[str, Any], dict[str, Any]]]:
        found = dict(self._added)
        for name, entry in (self._app.conf["beat_schedule"] or {}).items():
            if not isinstance(entry, Mapping) or "task" not in entry or "schedule" not in entry:
                raise Refused(f'beat_schedule["{name}"] is {seen(entry)}; expected a mapping with task and schedule')
            if unknown := entry.keys() - {"task", "schedule", "args", "kwargs", "options", "relative"}:
                raise Refused(
                    f'beat_schedule["{name}"] has {", ".join(sorted(unknown))}; expected task, schedule, args, kwargs, options'
                )
            options = dict(entry.get("options") or {})
            refuse_options(options, name)
            given = tuple(entry.get("args") or ()), dict(entry.get("kwargs") or {})
            found[name] = entry["schedule"], entry["task"], *given, options
        return found

    def queues(self) -> list[str]:
        """The queues that entries name."""
        return [entry[4]["queue"] for entry in self._entries().values() if entry[4].get("queue")]

    def settle(self) -> None:
        """Give each task its schedules; `Refused` for an entry whose task nobody knows, or which cannot be had."""
        self._made = {}
        for name, (when, task, args, kwargs, options) in self._entries().items():
            known = self._app.task_named(task)
            queue = self._app.way(task, options)["queue"]
            made = as_schedule(name, when, args, kwargs, options, self._app)
            self._made.setdefault((known.name, queue), []).append(made)
        for task in self._app.tasks.values():
            task.offered = self.offered(task.name, self._app.name)
        self._app._version += 1

    def offered(self, task: str, queue: str) -> dict[str, Any]:
        """What a task of a queue says to who fires schedules."""
        found = self._made.get((task, queue))
        return {"schedules": found} if found else {}


def refuse_options(options: Mapping[str, Any], name: str) -> None:
    """`Refused` for options of an entry that cannot be had."""
    unknown = [one for one in options if one not in _OPTIONS]
    if unknown:
        raise Refused(
            f'the periodic task "{name}" has the options {", ".join(unknown)}; expected {", ".join(_OPTIONS)}'
        )


def as_schedule(
    name: str, when: Any, args: tuple[Any, ...], kwargs: dict[str, Any], options: Mapping[str, Any], app: Any
) -> Schedule:
    """An entry as a schedule of regiment."""
    how: dict[str, Any] = {"name": re.sub(r"[\s@!]+", "-", name)[:100], "args": args, "kwargs": kwargs}
    how["tz"] = str(app.conf["timezone"] or "UTC")
    if options.get("priority") is not None:
        how["priority"] = app.priority(options["priority"])
    if options.get("expires") is not None:
        how["within"] = options["expires"]
    if isinstance(when, crontab):
        return schedule(when.expression(), **how)
    seconds = when.run_every if isinstance(when, every) else when
    seconds = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise Refused(
            f'the periodic task "{name}" has the schedule {seen(when)}; expected seconds, a timedelta or crontab(…)'
        )
    how["catch_up"] = "skip" if seconds < 60 else "last"
    return schedule(every=float(seconds), **how)
