"""The typed way to give a queue an outbox."""

from __future__ import annotations

from regiment.config import Use
from regiment.errors import ConfigError
from regiment_sqlalchemy.settings import problems_of


class Outbox(Use):
    """What gives a queue an outbox: `Queue("mail", plugins=[Outbox(url="postgresql+psycopg://shop@db/shop")])`.

    `url`: the database, as `sqlalchemy.create_engine` takes it, with a driver that is not async; every tree of `regiment run`
    that serves the queue relays what stands there. None: no tree does, and `regiment outbox relay --url …` is run apart.
    `ConfigError` with all that is wrong.
    """

    __slots__ = ()

    def __init__(self, *, url: str | None = None) -> None:
        options = {"url": url}
        problems = problems_of(options)
        if problems:
            raise ConfigError(problems)
        super().__init__("outbox", **options)
