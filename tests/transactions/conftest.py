"""Databases of SQLAlchemy with an outbox, and what relays them here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.postgres import postgres
from regiment import Queue
from regiment.contracts import Connector
from regiment_sqlalchemy import metadata
from regiment_sqlalchemy.relay import Relay


class Target:
    """A target, as the steward tells a duty of it."""

    def __init__(self, queue: Queue) -> None:
        self.label, self.queue, self._queue = f"app:{queue.name}", queue.name, queue
        self.spec = {"connector": {"name": "of all"}}

    def connect(self) -> Connector:
        return self._queue.broker.open("duty")

    def at_work(self, seconds: float) -> tuple[()]:
        return ()


def relay_of(url: str, *queues: Queue) -> Relay:
    """A relay that serves these queues, as a steward makes it."""
    relay = Relay()
    for queue in queues:
        relay.learn(Target(queue), {"url": url})
    return relay


def ready(queue: Queue) -> list[dict[str, Any]]:
    """The arguments of the tasks that are ready, in their order."""
    look = queue.broker.open("look")
    try:
        payloads = [one.payload for one in look.peek(queue.name, "ready", 100_000)]
        return [queue.broker.codec.decode(payload, queue.name).kwargs for payload in payloads]
    finally:
        look.close()


@pytest.fixture(scope="session")
def server() -> Iterator[Any]:
    """A PostgreSQL for all tests of this folder."""
    with postgres() as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with an empty outbox."""
    from sqlalchemy import create_engine

    found = f"sqlite:///{tmp_path}/shop.db"
    if request.param == "postgresql":
        folder = request.getfixturevalue("server").folder
        found = f"postgresql+psycopg://postgres@/postgres?host={folder}"
    engine = create_engine(found)
    metadata.drop_all(engine)
    metadata.create_all(engine)
    engine.dispose()
    return found
