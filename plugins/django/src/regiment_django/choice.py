"""The queue of a project of Django, and the typed way to choose the extension for a queue of another kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from regiment.config import Use
from regiment.errors import ConfigError
from regiment.queue import Queue as PlainQueue
from regiment_django import conf


class Django(Use):
    """What makes a queue one of Django's: `ResultQueue("sums", plugins=[Results(), Django()])`.

    `on_commit`: False if pushes are sent at once, whatever transaction is open. `using`: the alias of the only database
    whose transactions are waited for; None: all that are open. `outbox`: the alias of a database whose transactions keep
    pushes in a table, from which they are relayed; None: pushes are sent when the transaction has been committed.
    """

    __slots__ = ()

    def __init__(self, *, on_commit: bool = True, using: str | None = None, outbox: str | None = None) -> None:
        options = {"on_commit": on_commit, "using": using, "outbox": outbox}
        problems = conf.transactions(options)
        if problems:
            raise ConfigError(problems)
        super().__init__("django", **options)


class Queue(PlainQueue):
    """A `Queue` of a project of Django: its settings are those of `REGIMENT`, then those given here; a push in a transaction
    is sent when that is committed, and the connections of Django are looked after in its workers.
    """

    def __init__(
        self, name: str, *, include: Sequence[str] = (), plugins: Sequence[Any] | None = None, **settings: Any
    ) -> None:
        settings = {**conf.of_queue(name), **settings}
        listed = settings.pop("plugins", ()) if plugins is None else plugins
        if not any(isinstance(one, Use) and one.name == "django" for one in listed):
            listed = [*listed, Django(**conf.of_transactions())]
        super().__init__(name, include=include, plugins=listed, **settings)
