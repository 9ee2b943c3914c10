"""One connection for requests that belong together: what follows is only sent where what came before it surely stands.

A server that is killed and started again, and one that becomes primary in the place of another, may not know what the
last one answered (w:1). Neither is reached over the old connection: a process takes its connections with it, and a member
whose writes are undone closes all of them first (`replSetGetStatus` shows it as ROLLBACK then). So of two writes over one
connection the second never happens without the first.

A router (mongos) has connections of its own to the members, and there are drivers that lend none. There a claim
waits until most members have it in their journals instead.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient


class Pin(threading.local):
    """The connection that this thread holds, if it holds one."""

    connection: Any = None

    @contextmanager
    def hold(self, client: MongoClient[Any]) -> Iterator[None]:
        """Everything that this thread sends by `ask` inside goes over one connection. It ends with the connection."""
        if self.connection is not None:
            yield
            return
        with client._conn_for_writes(None, "update") as self.connection:
            try:
                yield
            finally:
                self.connection = None


def can_pin(client: MongoClient[Any]) -> bool:
    """Whether the driver lends a connection, the way this module asks for one."""
    lend = getattr(client, "_conn_for_writes", None)
    return lend is not None and "operation" in inspect.signature(lend).parameters
