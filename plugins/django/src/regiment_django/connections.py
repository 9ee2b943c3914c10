"""The connections of Django in a worker: closed when they are old or broken, and never shared with a fork."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from django.db import connections

from regiment import pushing
from regiment.errors import TaskTimeout

_left: list[Any] = []
"""What a parent process had opened: kept, as closing it here would end the parent's sessions."""
_registered: list[bool] = []


def close_old() -> None:
    """What a request does at its beginning and its end: close connections of this thread that are too old or broken.

    One that was in use when a time limit struck may have half an answer in it: it is closed, whatever its age. So is one
    in a transaction that a task has left open; but in a test whose tasks `capture` runs, that is the test's own.
    """
    struck = isinstance(sys.exc_info()[1], TaskTimeout)
    for connection in connections.all(initialized_only=True):
        connection.queries_log.clear()
        if connection.in_atomic_block:
            if pushing.override is None:
                connection.close()
                del connections[connection.alias]
        elif struck:
            connection.close()
        else:
            connection.close_if_unusable_or_obsolete()


def closer(loop: bool) -> Callable[[], None]:
    """What closes old connections of the thread that a task runs in; for coroutines, of the thread where Django runs their
    queries.
    """
    if not loop:
        return close_old
    from asgiref.sync import SyncToAsync

    def close() -> None:
        close_old()
        SyncToAsync.single_thread_executor.submit(close_old).result()

    return close


def drop_in_children() -> None:
    """Let every process that is forked from now on open connections of its own."""
    if not _registered:
        _registered.append(True)
        os.register_at_fork(after_in_child=_drop)


def _drop() -> None:
    for connection in connections.all(initialized_only=True):
        if connection.vendor == "sqlite" and connection.is_in_memory_db():
            continue  # it is memory, of which a fork has a copy
        _left.append(connection)
        pools = getattr(type(connection), "_connection_pools", None)
        if pools:
            _left.append(dict(pools))
            pools.clear()
        del connections[connection.alias]
