"""Celery's documented options, and what becomes of each: one table, which tasks, calls, settings, the report and the page read."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

from regiment.bounds import seen
from regiment.errors import ConfigError, nearest

SUPPORTED, MAPPED, IGNORED, REFUSED = "supported", "mapped", "ignored", "refused"


class Refused(ConfigError):
    """Something of Celery that cannot be had here: what was written, and what to do."""


class Ignored(UserWarning):
    """Something of Celery that has no effect here, for what it does is not needed; said once for each."""


class Option(NamedTuple):
    """What becomes of an option. `says`: what it is here, or what to do. `fine`: the values that need nothing."""

    verdict: str
    says: str
    fine: tuple[Any, ...] = (None,)


def _of(verdict: str, **named: str) -> dict[str, Option]:
    return {name: Option(verdict, says) for name, says in named.items()}


QUEUE_WIDE = "what a queue's messages are written with is one setting of the application"
ROUTES = "a store has queues and no exchanges; name a queue: queue="
TASK: Mapping[str, Option] = {
    **_of(
        SUPPORTED,
        name="the name in the message; without one it is module.function",
        bind="the first argument is the task itself",
        base="its attributes are defaults, and before_start, on_success, on_failure, on_retry and after_return are called",
        max_retries="3 by default; None has no end",
        default_retry_delay="180 s by default",
        autoretry_for="`retry_on` of the task",
        dont_autoretry_for="`dead_on` of the task",
        retry_kwargs="its max_retries and countdown",
        retry_backoff="`Backoff(first, factor=2)`",
        retry_backoff_max="`limit` of the back-off; 600 s by default",
        ignore_result="pushed with `result=False`",
        expires="seconds, or a datetime",
        queue="the queue of its pushes; `regiment run proj:app` serves it, too",
        options="what the others say, as a mapping",
    ),
    **_of(
        MAPPED,
        retry_jitter="from half to all of the delay, not from 0",
        time_limit="`Timeouts(hard)`: a soft strike at the limit, SIGKILL a second later",
        soft_time_limit="`Timeouts(soft)`: `SoftTimeLimitExceeded` is a BaseException, which `except Exception` lets through",
        priority="HIGH, NORMAL and LOW: on Redis 0-2, 3-5 and 6-9, where 0 is the most urgent; elsewhere the other way round",
        typing="arguments are always checked where they are given",
        rate_limit="over all workers together, not each: a pool of the task's name, of `regiment-limits`, which it needs",
    ),
    **_of(
        IGNORED,
        track_started="what runs is known as STARTED without it, within a second",
        trail="which task pushed which is known by trace_id",
        send_events="the log, hooks and `regiment metrics` tell what happens",
        throws="every failure is logged in the same way",
        resultrepr_maxsize="results are not logged",
        shared="a task belongs to its application",
        lazy="tasks are made at once",
        autoregister="tasks are always registered",
    ),
    "acks_late": Option(
        REFUSED,
        "a task is always settled after it ran; where a second run is worse than none: "
        'Celery(…, regiment={"delivery": "at_most_once"})',
        (None, True),
    ),
    "reject_on_worker_lost": Option(
        REFUSED,
        "a task whose worker died always runs again (`max_deliveries`); where that is worse than none: "
        'Celery(…, regiment={"delivery": "at_most_once"})',
        (None, True),
    ),
    **{
        name: Option(
            REFUSED, "a failed or late task is a dead letter or retried, and never delivered again", (None, True)
        )
        for name in ("acks_on_failure_or_timeout", "acks_on_failure", "acks_on_timeout")
    },
    "retry_on_worker_lost": Option(
        REFUSED, "`max_deliveries` says how often: regiment={'max_deliveries': 5}", (None, True)
    ),
    "store_errors_even_if_ignored": Option(REFUSED, "a dead letter keeps the error: regiment dead list", (None, False)),
    **_of(
        REFUSED,
        serializer=f"{QUEUE_WIDE}: task_serializer=",
        compression=f"{QUEUE_WIDE}: task_compression=",
        backend="results are kept in the store of the tasks; Celery(backend=…) switches them on",
        exchange=ROUTES,
        routing_key=ROUTES,
        exchange_type=ROUTES,
        delivery_mode="what a store acknowledged it keeps: push_durability of the connector",
        shadow_name="the name in logs is the task's; give it another name=",
        pydantic="take a dict, and validate it in the task",
        pydantic_strict="take a dict, and validate it in the task",
        pydantic_context="take a dict, and validate it in the task",
        pydantic_dump_kwargs="return a dict: model.model_dump()",
        Request="a plugin's hooks see every attempt: docs/hooks.md",
        Strategy="a plugin's hooks see every attempt: docs/hooks.md",
    ),
}
"""Options of `@app.task`, of `shared_task`, and attributes of a base class."""

CALL: Mapping[str, Option] = {
    **_of(
        SUPPORTED,
        args="bound to the names of the function, if it is known here",
        kwargs="arguments by name",
        countdown="`delay` in seconds",
        eta="`at`; a naive datetime is in the timezone of the application",
        expires="seconds, or a datetime",
        queue="the queue that it goes to",
        link="pushed with the value, in the step in which the task succeeds",
        link_error="pushed in the step in which the task becomes a dead letter",
        headers="strings; tasks that are pushed from the task inherit them",
        ignore_result="`result=False`",
    ),
    **_of(
        MAPPED,
        task_id="`id`: pushed again within `id_window` it is not added a second time",
        priority="as for a task",
    ),
    **_of(
        IGNORED,
        retry="a push tries again for `push_timeout`, 2 s",
        retry_policy="a push tries again for `push_timeout`, 2 s",
        add_to_parent="which task pushed which is known by trace_id",
        argsrepr="arguments are shown masked",
        kwargsrepr="arguments are shown masked",
        parent_id="trace_id is inherited",
        root_id="trace_id is inherited",
    ),
    **_of(
        REFUSED,
        serializer=f"{QUEUE_WIDE}: task_serializer=",
        compression=f"{QUEUE_WIDE}: task_compression=",
        exchange=ROUTES,
        routing_key=ROUTES,
        delivery_mode="what a store acknowledged it keeps: push_durability of the connector",
        shadow="the name in logs is the task's; give it another name=",
        mandatory=ROUTES,
        immediate=ROUTES,
        connection="a program has one connection for each store, opened at its first push",
        producer="a program has one connection for each store, opened at its first push",
        router="task_routes= of the application",
        reply_to="results are kept in the store of the tasks: AsyncResult(id)",
        time_limit="limits are the task's: @app.task(time_limit=…)",
        soft_time_limit="limits are the task's: @app.task(soft_time_limit=…)",
        group_id="write group(…)",
        group_index="write group(…)",
        chord="write chord(…)",
        chain="write chain(…)",
        retries="a task counts its runs itself",
        result_cls="app.AsyncResult(id)",
        stamped_headers="headers= are inherited by what the task pushes",
    ),
}
"""Options of `apply_async`, `send_task` and signatures."""

_told: set[str] = set()


def judge(table: Mapping[str, Option], where: str, given: Mapping[str, Any]) -> None:
    """`Refused` for all that cannot be had, and one `Ignored` for each that has no effect."""
    wrong = []
    for name, value in given.items():
        option = table.get(name)
        if option is None:
            wrong.append(f'{where} has no option "{name}".{nearest(name, table)}')
        elif option.verdict == REFUSED and not any(value is one for one in option.fine):
            wrong.append(f"{where}: {name}={seen(value)} cannot be had here; {option.says}")
        elif option.verdict == IGNORED and value is not None:
            tell(f"{name} has no effect here: {option.says}")
    if wrong:
        raise Refused(wrong)


def tell(text: str) -> None:
    """Say once in a process that something has no effect."""
    if text not in _told:
        _told.add(text)
        warnings.warn(text, Ignored, stacklevel=_depth())


def _depth() -> int:
    """How far above `tell` the program's own line stands: beyond this package, and what Python does between."""
    here, depth, frame = os.path.dirname(__file__), 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith((here, "<frozen")):
        depth, frame = depth + 1, frame.f_back
    return depth
