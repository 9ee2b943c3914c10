"""Pushes in a transaction: encoded at once, sent when the transaction has been committed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django.apps import apps
from django.db import connections, transaction

from regiment import pushing
from regiment.contracts import Push
from regiment.errors import ArgumentsError, nearest
from regiment.task import Task
from regiment_django.outbox import write


def hold(push: Push, using: str | None, outbox: str | None = None) -> None:
    """Let a push wait for the transactions that are open in this thread, or for the one of a database; in that of the outbox it
    becomes a row.
    """
    if not apps.ready:  # a program without a project: there is no database to ask
        return
    if using is not None and using not in connections:
        there = ", ".join(connections)
        raise ArgumentsError(
            f'using is "{using}", and DATABASES has no such alias.{nearest(using, list(connections))} It has: {there}'
        )
    waiting = open_transactions(using)
    if outbox in waiting and pushing.override is None:  # in a capture there is no store, and nobody who relays
        push.put = partial(write, push.broker, outbox)
    elif waiting:
        push.put = partial(after_commit, push.broker, waiting)


def open_transactions(using: str | None) -> list[str]:
    """The aliases of the databases that are in a transaction here; of one of them alone, if it is named.

    `ArgumentsError` for one whose transactions the project manages itself: nobody is told when these end.
    """
    found = []
    for connection in connections.all(initialized_only=True):
        if using is not None and connection.alias != using:
            continue
        if connection.in_atomic_block:
            found.append(connection.alias)
        elif connection.connection is not None and not connection.autocommit:
            raise ArgumentsError(
                f'the database "{connection.alias}" is in a transaction that is not Django\'s (autocommit is off), and '
                "nobody says when it ends; push after its commit with options(now=True), or use atomic()"
            )
    return found


def after_commit(broker: Any, waiting: Sequence[str], queue: str, tasks: Sequence[Task], **how: Any) -> Sequence[int]:
    """Encode now, so that an argument that cannot be stored fails here; send when all these transactions are committed.

    If one of them is rolled back, also to a savepoint from before this push, nothing is sent.
    """
    payloads = [broker.codec.encode(task) for task in tasks]
    send = partial(broker.push, queue, tasks, payloads=payloads, **how)
    left = set(waiting)
    for alias in waiting:
        transaction.on_commit(partial(_committed, left, alias, send), using=alias)
    return ()


def _committed(left: set[str], alias: str, send: Callable[[], Any]) -> None:
    left.discard(alias)
    if not left:
        send()
