"""The tasks of the depot."""

from __future__ import annotations

import os
from typing import Any

from django.db import connections
from django.db.models import F

from depot.models import Parcel
from regiment.context import attempt_now
from regiment_django import Django, Queue

parcels = Queue("parcels")
hasty = Queue("hasty", plugins=[Django(on_commit=False)])
narrow = Queue("narrow", plugins=[Django(using="other")])


@parcels.task
def send(name: str) -> None:
    Parcel.objects.filter(name=name).update(sent=F("sent") + 1)


@parcels.task
def count(things: list[int]) -> int:
    return len(things)


@hasty.task(name="send")
def send_hastily(name: str) -> None: ...


@narrow.task(name="send")
def send_narrowly(name: str) -> None: ...


@parcels.task
def forks(path: str) -> None:
    """Note which connection this worker uses, in a process that it forks and then in itself."""
    connection = connections["default"]
    connection.ensure_connection()
    mine = connection.connection
    child = os.fork()
    if not child:
        shared = connections["default"].connection is not None
        _note(path, f"child: shared {shared}, {Parcel.objects.count()} parcels")
        os._exit(0)
    os.waitpid(child, 0)
    _note(path, f"parent: the same {connections['default'].connection is mine}, {Parcel.objects.count()} parcels")


@parcels.task
def look(path: str, fail: bool) -> None:
    """Note how many connections were open when the task began, and whether successes take the short way."""
    opened = [one.alias for one in connections.all(initialized_only=True) if one.connection is not None]
    current: Any = attempt_now.get()
    _note(path, f"{opened} {current.runtime.plain}")
    Parcel.objects.count()
    if fail:
        raise LookupError("wanted")


def _note(path: str, line: str) -> None:
    with open(path, "a") as file:
        file.write(f"{line}\n")
