"""A connector "memory" that is open: its store, and what it listens to."""

from __future__ import annotations

from typing import ClassVar

from regiment.contracts import Capabilities, Role
from regiment.errors import ConfigError, StoreError
from regiment_local.memory.bell import Bell
from regiment_local.memory.following import Inbox
from regiment_local.memory.store import Store, store


class Opened:
    """Opening and closing. Connectors of the same `name` (or URL `memory:NAME`) share one store."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        shared=False, durable=False, extras=frozenset({"effects", "steer", "flow", "history", "ledger"})
    )

    def __init__(self, url: str | None = None, *, name: str = "") -> None:
        self.name = name if url is None else url.removeprefix("memory:").removeprefix("//")
        if "@" in self.name:  # another store's address, perhaps, with its password
            raise ConfigError(
                f'the name of a memory store begins with "{self.name[:3]}…" and is no name; expected memory:NAME, '
                "without @"
            )
        self._open: Store | None = None
        self._role: Role | None = None
        self._bell: Bell | None = None
        self._inbox: Inbox | None = None
        self._dues: dict[str, float | None] = {}

    def open(self, role: Role) -> None:
        self.close()
        self._open, self._role = store(self.name), role

    def close(self) -> None:
        found, bell, inbox = self._open, self._bell, self._inbox
        if found is not None:
            with found.lock:
                if bell is not None:
                    for queue in found.queues.values():
                        queue.waiters.pop(bell, None)
                    found.names.forget(bell)
                    bell.close()
                if inbox is not None:
                    found.followers.forget(inbox)
                    inbox.bell.close()
        self._open, self._bell, self._inbox, self._dues = None, None, None, {}

    def describe(self) -> str:
        return f"memory:{self.name}"

    def _store(self) -> Store:
        if self._open is None:
            raise StoreError(f"{self.describe()} is not open; call open(role) first")
        return self._open

    def _changed(self) -> Store:
        found = self._store()
        if self._role == "look":
            raise StoreError(f"{self.describe()} was opened to look; nothing can be changed")
        return found

    def _not_inside_itself(self) -> Store:
        """The store, for a step that a signal handler may ask for in the middle of another one."""
        found = self._changed()
        if found.lock._is_owned():  # type: ignore[attr-defined]
            raise StoreError(
                f"{self.describe()}: a push inside of a push, by a signal handler or a __del__ that came in its middle; "
                "nothing was pushed. Note it in the handler, and push when it has returned"
            )
        return found
