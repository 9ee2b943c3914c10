"""A program of a project on PostgreSQL (its folder is argv[1], the store's URL argv[2]): what SQLite cannot show."""

# ruff: noqa: E402  the settings come first

from __future__ import annotations

import gc
import os
import sys
import threading

import django
from django.conf import settings

POSTGRES = {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "postgres", "HOST": sys.argv[1]}
settings.configure(
    INSTALLED_APPS=["regiment_django"],
    SECRET_KEY="of no use",
    USE_TZ=True,
    DATABASES={"default": POSTGRES},
    REGIMENT={"connector": sys.argv[2], "outbox": "default"},
)
django.setup()

from django.core.management import call_command
from django.db import connection, connections, transaction

from regiment_django import Queue
from regiment_django.connections import drop_in_children
from regiment_django.models import Outbox
from regiment_django.relay import Aliased
from regiment_outbox.relay import Shelf

letters = Queue("letters")


@letters.task
def send(number: int) -> None: ...


class Target:
    label, queue, spec = "letters", "letters", {"connector": {}}

    def connect(self) -> object:
        return letters.broker.open("duty")


def fork() -> None:
    """A child asks the database, closes all that it has, and ends; the parent asks on."""
    drop_in_children()
    connection.ensure_connection()
    mine = connection.connection
    child = os.fork()
    if not child:
        print("child:", Outbox.objects.count(), connection.connection is mine, flush=True)
        connections.close_all()
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    print("parent:", Outbox.objects.count(), connection.connection is mine)


def relay(pushed: list[int]) -> None:
    """A relay of a tree of its own."""
    shelf = Shelf(Aliased("default"), Target())
    shelf.queues.add("letters")
    push = shelf.push
    shelf.push = lambda group: (pushed.append(len(group)), push(group))
    while shelf.look() == 0.0:
        pass
    connections.close_all()


call_command("migrate", verbosity=0)
fork()
for first in range(0, 2000, 100):
    with transaction.atomic():
        send.push_many({"number": number} for number in range(first, first + 100))
pushed: list[int] = []
threads = [threading.Thread(target=relay, args=(pushed,)) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
look = letters.broker.open("look")
print("relayed:", sum(pushed), "ready:", look.counts("letters").ready, "left:", Outbox.objects.count())
