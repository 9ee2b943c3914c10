"""The schedules of an application's code, as plain data for the steward, each with the task that it pushes, encoded (T11)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

from regiment.broker import effective
from regiment.build import make_broker
from regiment.config import as_use
from regiment.contracts import Application, Send
from regiment.errors import ConfigError
from regiment.queue import Queue, TaskFunction
from regiment.registry import registry
from regiment.task import PRIORITIES
from regiment_schedules.naming import extended
from regiment_schedules.spec import Schedule, name_problems, of_task, two


def declared(app: Queue) -> Iterator[tuple[str, TaskFunction[..., Any], Schedule]]:
    """(name, task, schedule) of each schedule in code; `ConfigError` for two of one name and arguments that no task takes."""
    seen: dict[str, TaskFunction[..., Any]] = {}
    for task in app.tasks.values():
        for number, one in enumerate(of_task(task), 1):
            name = one.name or f"{task.function.__module__}:{task.name}" + (f"#{number}" if number > 1 else "")
            problems = name_problems(name)
            if name in seen:
                problems.append(two(name, seen[name], task))
            if problems:
                raise ConfigError([f"a schedule of {task!r}: {problem}" for problem in problems])
            one.arguments(task)
            seen[name] = task
            yield name, task, one


def notes(app: Application) -> dict[str, Any] | None:
    """What the steward has to know; None if this queue fires nothing."""
    if not isinstance(app, Queue):
        if not extended(app):
            return None
        raise ConfigError(
            f'"{app.config.name}" is the queue of a worker class, and schedules are of the functions of a Queue: leave Schedules() '
            "out, and let a function with a schedule push to it"
        )
    found = list(declared(app))
    if not found and not extended(app):
        return None
    store = make_broker(app.config).make()
    effective(store, f'the schedules of queue "{app.config.name}" need')
    made = {}
    for name, task, one in found:
        payload, digest, spec = encoded(task, one)
        body = base64.b64encode(payload).decode()
        made[name] = json.dumps({"spec": spec, "task": task.name, "body": body, "digest": digest})
    return {"schedules": made}


def encoded(task: TaskFunction[..., Any], one: Schedule) -> tuple[bytes, str, dict[str, Any]]:
    """The message of a task as the schedule pushes it, a digest of all of it that is not of the moment, and what the schedule says,
    with the ticket that a plugin gives the task.
    """
    config = task.queue.config
    serializer = registry().scope(config.plugins).build("serializers", as_use(config.serializer))
    if hasattr(serializer, "seal"):
        raise ConfigError(
            f'{one!r} of {task!r}: the serializer "{as_use(config.serializer).name}" signs each message with its id, and who fires '
            "has no key: a tick could not be told from a forgery. Put the schedule on a task of a queue whose serializer does not "
            "sign, and let that push to this one"
        )
    options = {} if one.spec["priority"] is None else {"priority": one.spec["priority"]}
    _, broker, effects = task.options(**options).unsent(one.arguments(task))
    send = next(effect for effect in effects if isinstance(effect, Send))
    (payload,), (ticket,) = send.payloads, send.tickets or (None,)
    plain = broker.codec.decode(payload, task.queue.name)
    plain.id, plain.date = "-", 0.0
    if "claims" in (plain.tags or ()):
        raise ConfigError(
            f"{one!r} of {task!r}: its arguments are so large that Claims(…) keeps them elsewhere for a time, and a schedule pushes them for "
            "ever. Let the task read them from where they are, and pass where that is"
        )
    spec = one.spec if ticket is None else {**one.spec, "ticket": list(ticket._replace(id=""))}
    return payload, hashlib.blake2b(broker.codec.encode(plain), digest_size=12).hexdigest(), spec


def priority(spec: Any) -> int:
    """The number of its priority."""
    return PRIORITIES[spec["priority"] or "NORMAL"]
