"""Typed helpers: the choice of a store of this package, for editors and type checkers."""

from __future__ import annotations

from regiment import Use


def Local(path: str | None = None, *, url: str | None = None, busy_timeout: float = 5.0) -> Use:  # noqa: N802
    """Tasks in an SQLite file: `path`, or `url` ("sqlite:////absolute/path.db"), or the default `.regiment/queue.db`.

    `busy_timeout`: seconds that a call waits for its turn to write before it raises `StoreUnavailable`.
    """
    options = {"path": path, "url": url}
    given = {name: value for name, value in options.items() if value is not None}
    return Use("local", busy_timeout=busy_timeout, **given)


def Memory(name: str = "") -> Use:  # noqa: N802
    """Tasks in the memory of this process, for tests; the same `name` is the same store."""
    return Use("memory", name=name)
