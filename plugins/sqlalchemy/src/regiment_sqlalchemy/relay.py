"""The relay of an outbox in a database of SQLAlchemy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url

from regiment_outbox.relay import Relay as AnyRelay
from regiment_outbox.table import Run

SKIP = ("postgresql", "mysql", "mariadb")
"""Dialects that know FOR UPDATE SKIP LOCKED."""


class Engined:
    """A database by its URL. Connections are opened at first use."""

    def __init__(self, url: str) -> None:
        self.name = make_url(url).render_as_string(hide_password=True)
        self.engine = create_engine(url, pool_size=1, max_overflow=0)
        self.locks = self.engine.dialect.name in SKIP

    @contextmanager
    def begin(self) -> Iterator[tuple[Run, bool]]:
        """See `regiment_outbox.table.Database`."""
        level = "READ COMMITTED" if self.locks else "AUTOCOMMIT"
        with self.engine.connect().execution_options(isolation_level=level) as connection, connection.begin():
            yield runner(connection), self.locks

    def close(self) -> None:
        """See `regiment_outbox.table.Database`."""
        self.engine.dispose()


def runner(connection: Connection) -> Run:
    """What runs statements with %s in them on this connection."""

    def run(statement: str, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
        parts = statement.split("%s")
        named = parts[0] + "".join(f":p{number}{part}" for number, part in enumerate(parts[1:]))
        answer = connection.execute(text(named), {f"p{number}": value for number, value in enumerate(values)})
        return answer.all() if answer.returns_rows else []

    return run


class Relay(AnyRelay):
    """The duty. Any number of stewards may relay one outbox."""

    def database(self, notes: Any) -> Engined:
        """The database that the notes name."""
        return Engined(notes["url"])
