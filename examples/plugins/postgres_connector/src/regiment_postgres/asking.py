"""Looking at a store, which may not be there yet, and changing it."""

from __future__ import annotations

from typing import Any

from regiment.errors import StoreError
from regiment_postgres import store
from regiment_postgres.link import Link


class Asking:
    """The ground of the verbs."""

    _link: Link
    _here = False
    """True once the store is known to be there."""

    def describe(self) -> str:
        return f"{self._link.address}, schema {self._link.schema}"

    def _look(self, sql: str, **values: Any) -> list[Any]:
        """The rows of a query that changes nothing; none where there is no store yet."""
        self._here = self._here or store.present(self._link)
        return self._link.ask(sql, **values) if self._here else []

    def _step(self, sql: str, **values: Any) -> list[Any]:
        """The rows of a step."""
        if self._link.role == "look":
            raise StoreError(f"{self.describe()} was opened to look; it cannot be changed")
        return self._link.ask(sql, **values)

    def _change(self, sql: str, **values: Any) -> Any:
        """The one value of a step."""
        rows = self._step(sql, **values)
        return rows[0][0] if rows else None
