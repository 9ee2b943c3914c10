"""A push in which plugins have a say. Imported only where there is such a plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from regiment import bounds, log
from regiment.broker import Broker
from regiment.contracts import Push
from regiment.errors import ArgumentsError
from regiment.task import PRIORITIES, Task

_NAMES = {number: name for name, number in PRIORITIES.items()}


def ask(
    broker: Broker, queue: str, tasks: Sequence[Task], options: Mapping[str, Any], how: Mapping[str, Any]
) -> tuple[Push, Sequence[int]]:
    """Let plugins change a push, then send it, inside of their contexts; the push as it went, and what existed."""
    push = Push(broker, queue, tasks, options)
    push.id = tasks[0].id if how["ids"] else None
    push.priority, push.delay, push.at = _NAMES[how["priority"]], how.get("delay", 0.0), how.get("at")
    asked, around = broker.asked
    for plugin, call in asked:
        call(push)
        if problem := _problem(push):
            raise ArgumentsError(f"the plugin {plugin} has changed a push: {problem}")
    with ExitStack() as stack:
        for _, call in around:
            log.tell(_enter, stack, call, push)
        if problem := _problem(push):
            raise ArgumentsError(f"a plugin has changed a push in regiment_around_push: {problem}")
        for task in tasks:
            task.headers, task.trace_id, task.expires = push.headers or None, push.trace_id, push.expires
        if push.id is not None:
            tasks[0].id = push.id
        way: dict[str, Any] = {
            "priority": PRIORITIES[push.priority],
            "delay": push.delay,
            "at": push.at,
            "ids": push.id is not None,
        }
        return push, broker.push(queue, tasks, **way)


def _problem(push: Push) -> str | None:
    """What no store could take of a push that plugins have changed."""
    if push.id is not None and len(push.tasks) > 1:
        return f"id is {bounds.seen(push.id)}; expected None, for it has {len(push.tasks)} tasks"
    values: dict[str, Any] = {
        "headers": push.headers,
        "priority": push.priority,
        "id": push.id,
        "trace_id": push.trace_id,
    }
    for option, value in values.items():
        if value is not None and (refused := bounds.refusal(option, value)):
            return refused
    try:
        bounds.seconds(push.delay)
        for what, moment in (("at", push.at), ("expires", push.expires)):
            if moment is not None:
                bounds.timestamp(moment, what)
    except (TypeError, ValueError) as error:
        return str(error)
    return None


def _enter(stack: ExitStack, around: Callable[[Push], Any], push: Push) -> None:
    """Put a plugin's context around the push: it sees how that ends, and changes nothing of it."""
    manager = around(push)
    manager.__enter__()
    stack.push(lambda *error: log.tell(manager.__exit__, *error))
