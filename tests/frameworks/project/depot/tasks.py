"""The tasks of the depot."""

from __future__ import annotations

import os
from typing import Any

from django.db import connections
from django.db.models import F
from django_tasks import task

from depot.models import Parcel
from regiment.context import attempt_now
from regiment_django import Queue

parcels = Queue("parcels")


@parcels.task
def send(name: str) -> None:
    Parcel.objects.filter(name=name).update(sent=F("sent") + 1)


@parcels.task
def count(things: list[int]) -> int:
    return len(things)


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


@task()
def weigh(parcel: str, *, grams: int = 0) -> str:
    """A task of Django's own framework."""
    if grams < 0:
        raise LookupError(f"{parcel} weighs nothing")
    return f"{parcel}: {grams} g"


@task(queue_name="slow-ones", priority=-5, takes_context=True)
async def pack(context: Any, parcel: str) -> list[Any]:
    return [parcel, context.attempt, await Parcel.objects.acount()]


def _note(path: str, line: str) -> None:
    with open(path, "a") as file:
        file.write(f"{line}\n")
