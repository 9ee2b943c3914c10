"""The extension: what has a tree relay the outbox of its queues. Pushes are as without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from regiment.contracts import Service
from regiment.hooks import hookimpl
from regiment_sqlalchemy.settings import problems_of

if TYPE_CHECKING:
    from regiment.contracts import Application


class Relayed:
    """What a queue gets that names `Outbox(…)`. Each process builds its own."""

    @staticmethod
    def check(options: Mapping[str, Any]) -> list[str]:
        """All problems of the options, one sentence each."""
        return problems_of(options)

    def __init__(self, url: str | None = None) -> None:
        self.url = url
        self._relay: Any = None

    @hookimpl
    def regiment_notes(self, app: Application) -> Any:
        """Where the outbox is, for the steward."""
        return None if self.url is None else {"url": self.url}

    @hookimpl
    def regiment_services(self, spec: Mapping[str, Any], notes: Any) -> Mapping[str, Service]:
        """The relay, where trees relay."""
        return {} if notes is None else {"outbox": Service("regiment_sqlalchemy.relay:Relay")}

    @hookimpl(optionalhook=True)
    def regiment_fetch(self, app: Application) -> bool:
        """In a burst, which has no services: relay what is there."""
        if self.url is None:
            return False
        from regiment_outbox.relay import Here, fetch
        from regiment_sqlalchemy.relay import Relay

        if self._relay is None:
            self._relay = Relay()
            self._relay.learn(Here(app.config.name, app.config), {"url": self.url})
        return fetch(self._relay)
