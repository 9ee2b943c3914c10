"""One connection to a PostgreSQL: made when it is needed, given up when anything about it is in doubt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

import psycopg
from psycopg import errors, waiting
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict

from regiment.contracts import Role
from regiment.errors import ConfigError, Fenced, QueueFull, StoreError, StoreUnavailable

T = TypeVar("T")

FENCED = "GA001"
"""The SQLSTATE of the refusals in `steps.sql`."""

FOR_GOOD = re.compile(
    r"authentication failed|does not exist|pg_hba\.conf|permission denied|not permitted|no password|unsupported"
)
"""What a server says to a connection that it will refuse tomorrow too; libpq tells no code, so this needs English messages."""

SESSION = """
    SELECT set_config('search_path', quote_ident(%(schema)s), false),
        set_config('synchronous_commit', %(sync)s, false),
        set_config('default_transaction_read_only', %(read_only)s, false),
        set_config('statement_timeout', %(timeout)s, false),
        set_config('enable_seqscan', 'off', false), set_config('enable_bitmapscan', 'off', false)
"""
"""Without the last two the planner may believe that a queue which was empty when it looked is empty still."""


class _Connection(psycopg.Connection[Any]):
    """Gives up an answer that takes too long, also where the server stands still and its kernel does not."""

    patience = 5.0

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        return waiting.wait(gen, self.pgconn.socket, interval, timeout or self.patience)


class Link:
    """Requests of one connector; `heard` collects the channels that were notified."""

    def __init__(self, url: str, schema: str, timeout: float) -> None:
        self.schema, self.timeout = schema, timeout
        self.heard: set[str] = set()
        self.listening: set[str] = set()
        self._url = url
        self._role: Role | None = None
        self._connection: _Connection | None = None
        try:
            parts = conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:
            text = str(error).strip().replace(url, "…")
            raise ConfigError(
                f"url is no address of PostgreSQL: {text}; expected postgresql://user@host/database"
            ) from None
        place = f"{parts.get('host') or ''}" + (f":{parts['port']}" if parts.get("port") else "")
        self.address = f"postgresql://{place}/{parts.get('dbname') or ''}"

    def open(self, role: Role) -> None:
        """Connect for this role."""
        self.drop()
        self._role = role
        self.connection()

    def close(self) -> None:
        """Give up the connection; the next request is an error."""
        self._role = None
        self.drop()

    def drop(self) -> None:
        """Give up the connection; the next request makes another."""
        connection, self._connection = self._connection, None
        self.heard.clear()
        self.listening.clear()
        if connection is not None:
            connection.close()

    @property
    def role(self) -> Role:
        """What it was opened for."""
        if self._role is None:
            raise StoreError(f"{self.address} is not open; call open(role) first")
        return self._role

    def connection(self) -> _Connection:
        """The connection, made if there is none."""
        if self._connection is not None:
            return self._connection
        role, milliseconds = self.role, str(int(self.timeout * 1000))
        try:
            made = _Connection.connect(
                self._url,
                autocommit=True,
                connect_timeout=max(2, int(self.timeout)),
                tcp_user_timeout=milliseconds,
                application_name=f"regiment {role}",
            )
        except psycopg.Error as error:
            text = f"{self.address} cannot be opened: {_words(error)}"
            if FOR_GOOD.search(text):
                raise StoreError(text) from None
            raise StoreUnavailable(text) from None
        made.patience = self.timeout
        made.add_notify_handler(lambda notice: self.heard.add(notice.channel))
        self._connection = made
        # A push is on disk before it returns. What is settled may be forgotten by a server that loses power: it runs again.
        sync, read_only = "on" if role == "push" else "off", "on" if role == "look" else "off"
        self.ask(SESSION, schema=self.schema, sync=sync, read_only=read_only, timeout=milliseconds)
        return made

    def ask(self, sql: str, **values: Any) -> list[Any]:
        """One request, which is one transaction; its rows.

        A request that was interrupted, by a time limit for instance, leaves no connection behind: its answer would be
        taken for that of the next.
        """
        connection = self._connection or self.connection()
        try:
            cursor = connection.execute(sql, values, binary=True)
            return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            self.failed(error)
        except BaseException:
            self.drop()
            raise

    def unlisten(self, channel: str) -> None:
        """Hear this channel no more; a connection that is gone does not anyway."""
        if channel in self.listening:
            self.ask(f"UNLISTEN {channel}")
            self.listening.discard(channel)

    def failed(self, error: psycopg.Error) -> NoReturn:
        """Say it in the words of the contract."""
        text = f"{self.address}: {_words(error)}"
        if error.sqlstate == FENCED:
            raise Fenced(_words(error)) from None
        if isinstance(error, (errors.DiskFull, errors.OutOfMemory, errors.ConfigurationLimitExceeded)):
            raise QueueFull(text) from None
        passing = (
            psycopg.OperationalError,
            psycopg.InterfaceError,
            errors.TransactionRollback,
            errors.ReadOnlySqlTransaction,
        )
        too_large = (error.sqlstate or "").startswith("54")  # for an index, say: it will be tomorrow too
        if isinstance(error, passing) and not too_large:
            self.drop()
            raise StoreUnavailable(text, maybe_pushed=True) from None
        raise StoreError(text) from None


def texts(words: Sequence[str]) -> list[str]:
    """As PostgreSQL can keep them: it has no NUL and no lone surrogates."""
    return [text(word) for word in words]


def text(word: str) -> str:
    return word.replace("\0", "\ufffd").encode(errors="replace").decode()


def _words(error: psycopg.Error) -> str:
    said = error.diag.message_primary or str(error) or type(error).__name__
    return " ".join(said.split())
