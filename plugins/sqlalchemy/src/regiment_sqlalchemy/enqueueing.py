"""Pushes within a transaction of SQLAlchemy: rows of the outbox, written by the caller's own connection or session."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, insert
from sqlalchemy.orm import Session, scoped_session

from regiment import pushing
from regiment.bounds import seen
from regiment.broker import Pushed
from regiment.errors import ArgumentsError
from regiment.pushing import BULK, Pushing
from regiment.task import new_id, new_ids
from regiment_outbox.rows import rows_of
from regiment_sqlalchemy.schema import outbox

if TYPE_CHECKING:  # SQLAlchemy has it only where greenlet is installed
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

OTHERWISE = "push it after the commit, with its own push(…)"


def enqueue(within: Connection | Session, task: Any, /, *args: Any, **kwargs: Any) -> Pushed:
    """Push one task if, and only if, the transaction of this connection or session is committed; the answer of `push`, with
    the id, comes at once.

    `task` is a task function, one with `.options(delay=60)`, or a worker class. Its queue names `Outbox(…)`. Nothing is
    committed here. `ArgumentsError` for arguments that do not fit the task, and for what an outbox cannot carry.
    """
    made = _pushing(task)
    return _write(within, made, [made.parameters.bind(args, kwargs)], [new_id()])[0]


def enqueue_many(within: Connection | Session, task: Any, many: Iterable[dict[str, Any]], /) -> int:
    """`enqueue` one task for each mapping of arguments, by one statement for 1,000 of them; how many there are."""
    made, total = _pushing(task), 0
    stream = made.parameters.bind_each(many)
    while chunk := list(islice(stream, BULK)):
        total += len(_write(within, made, chunk, list(new_ids(len(chunk)))))
    return total


async def aenqueue(within: AsyncConnection | AsyncSession, task: Any, /, *args: Any, **kwargs: Any) -> Pushed:
    """`enqueue` within an `AsyncConnection` or `AsyncSession`."""
    return await _asynchronous(within).run_sync(lambda inner: enqueue(inner, task, *args, **kwargs))


async def aenqueue_many(within: AsyncConnection | AsyncSession, task: Any, many: Iterable[dict[str, Any]], /) -> int:
    """`enqueue_many` within an `AsyncConnection` or `AsyncSession`."""
    return await _asynchronous(within).run_sync(lambda inner: enqueue_many(inner, task, many))


def _write(
    within: Connection | Session, made: Pushing[...], many: list[dict[str, Any]], ids: list[str]
) -> list[Pushed]:
    _refuse_no_transaction(within)
    broker, tasks, push, way = made.made(many, ids)
    queue = tasks[0].queue
    if not any(getattr(use, "name", None) == "outbox" for use in broker.config.plugins):
        raise ArgumentsError(
            f'the queue "{broker.config.name}" names no outbox, so nobody relays its rows; expected '
            f'Queue("{broker.config.name}", plugins=[Outbox(url=…)]), of regiment_sqlalchemy'
        )
    if pushing.override is not None:  # a capture has no store, and nobody who relays
        broker.push(queue, tasks, effects=push.effects, **way)
    else:
        rows = rows_of(broker, queue, tasks, effects=push.effects, **way, otherwise=OTHERWISE)
        within.execute(insert(outbox), [{**row._asdict(), "reason": ""} for row in rows])
    return [broker.pushed(task, (), push.answer) for task in tasks]


def _pushing(task: Any) -> Pushing[...]:
    made: Any = task if isinstance(task, Pushing) else getattr(task, "options", dict)()
    if not isinstance(made, Pushing):
        raise ArgumentsError(f"enqueue got {seen(task)}; expected a task function, or one with .options(…)")
    return made


def _asynchronous(within: Any) -> AsyncConnection | AsyncSession:
    if not hasattr(within, "run_sync"):
        raise ArgumentsError(
            f"aenqueue got {seen(within)}; expected an AsyncConnection or AsyncSession of SQLAlchemy. For the others: enqueue(…)"
        )
    found: AsyncConnection | AsyncSession = within
    return found


def _refuse_no_transaction(within: Any) -> None:
    """`ArgumentsError` for what has no transaction that the row could be part of."""
    if hasattr(within, "run_sync"):
        raise ArgumentsError(f"enqueue got {seen(within)}; expected await aenqueue(…) for it")
    if isinstance(within, Engine) or not isinstance(within, (Connection, Session, scoped_session)):
        hint = (
            "with engine.begin() as connection: …"
            if isinstance(within, Engine)
            else "a Connection or Session of SQLAlchemy"
        )
        raise ArgumentsError(f"enqueue got {seen(within)}; expected {hint}")
    connection = within if isinstance(within, Connection) else within.connection()
    options = connection.get_execution_options()
    level = options.get("isolation_level", getattr(connection.dialect, "_on_connect_isolation_level", None))
    if level == "AUTOCOMMIT":
        raise ArgumentsError(
            "this connection commits each statement by itself (isolation_level AUTOCOMMIT), so there is no transaction that the push "
            "could be part of; use another isolation level, or push(…)"
        )
