"""The relay of Django's outbox. It imports the project's settings and its database driver, and no application."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from regiment_outbox.relay import Relay as AnyRelay
from regiment_outbox.table import Run


class Aliased:
    """A database of a project."""

    def __init__(self, alias: str) -> None:
        self.name = alias

    @contextmanager
    def begin(self) -> Iterator[tuple[Run, bool]]:
        """See `regiment_outbox.table.Database`."""
        from django.db import connections, transaction

        connection = connections[self.name]
        locks = connection.features.has_select_for_update_skip_locked
        with transaction.atomic(using=self.name) if locks else nullcontext(), connection.cursor() as cursor:

            def run(statement: str, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
                cursor.execute(statement, values)
                return [] if cursor.description is None else list(cursor.fetchall())

            yield run, locks

    def close(self) -> None:
        """See `regiment_outbox.table.Database`."""
        from django.db import connections

        connections[self.name].close()


class Relay(AnyRelay):
    """The duty. Any number of stewards may relay one outbox."""

    def database(self, notes: Any) -> Aliased:
        """The database of an alias of a project, whose settings the notes name."""
        for entry in notes["path"]:
            if entry not in sys.path:
                sys.path.append(entry)
        os.environ["DJANGO_SETTINGS_MODULE"] = notes["settings"]
        return Aliased(notes["alias"])
