"""Which store a verb looks at, who said so, and how to open it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import click

from regiment.build import connector_use, make_codec, make_connector
from regiment.codec import Codec, Head
from regiment.config import CONNECTOR_VARIABLE, WorkerConfig
from regiment.contracts import Connector, Role
from regiment.errors import RegimentError, nearest
from regiment.registry import registry
from regiment_cli import targets
from regiment_cli.options import settings
from regiment_cli.printing import say

APP_VARIABLE = "REGIMENT_APP"

F = TypeVar("F", bound=Callable[..., Any])


def store_options(function: F) -> F:
    """`-A` and `--connector`, for every verb that looks at a store."""
    function = click.option(
        "-A",
        "--app",
        metavar="MODULE[:NAME]",
        help=f"Look at the store that this worker uses.  [default: ${APP_VARIABLE}]",
    )(function)
    return click.option(
        "--connector",
        metavar="URL",
        help=f"Look at this store.  [default: ${CONNECTOR_VARIABLE}, else the embedded file]",
    )(function)


class Looked(Protocol):
    """A store that is looked at, with what reads its messages."""

    @property
    def config(self) -> WorkerConfig:
        """Which store it is."""

    @property
    def looking(self) -> Connector:
        """A connection that was opened to look."""

    def codec(self) -> Codec:
        """What reads the payloads."""


class Store:
    """A store to look at: opened for looking, and for writing only where a verb changes something. It says which and why on stderr, unless
    `quiet`.
    """

    def __init__(self, config: WorkerConfig, why: str, *, quiet: bool = False) -> None:
        self.config = config
        self._codecs: dict[Any, Codec] = {}
        self._make = make_connector(config, why)
        self.looking: Connector = self._make()
        self.where = self.looking.describe()
        if not quiet:
            say(f"store: {self.where}, {why}")
        self.looking.open("look")

    def codec(self) -> Codec:
        """What reads the payloads here."""
        if None not in self._codecs:
            self._codecs[None] = make_codec(self.config, registry().scope(self.config.plugins))
        return self._codecs[None]

    def codec_like(self, head: Head) -> Codec:
        """A codec that writes with what wrote a message; `DecodeError` if that may not be used here."""
        key = head.serializer, head.compressor
        if key not in self._codecs:
            self._codecs[key] = self.codec().like(head)
        return self._codecs[key]

    @contextmanager
    def open(self, role: Role) -> Iterator[Connector]:
        """A connection that may change things."""
        made = self._make()
        made.open(role)
        try:
            yield made
        finally:
            made.close()

    def known(self, queue: str) -> str:
        """The queue, if the store has it; else an error with the nearest name."""
        names = self.looking.queues()
        if queue not in names:
            raise RegimentError(f'no queue named "{queue}" in {self.where}.{_others(queue, names)}')
        return queue

    def listed(self, queue: str | None) -> list[str]:
        """The queues of which a list is asked for, all if none is named. A queue that is worked off is not known to a store: that
        nothing is there is said then, with the nearest name.
        """
        names = list(self.looking.queues())
        if queue is None or queue in names:
            return names if queue is None else [queue]
        say(f'nothing of a queue named "{queue}" is in {self.where}.{_others(queue, names)}')
        return []


def _others(queue: str, names: Sequence[str]) -> str:
    """What a queue's name could have meant, and which there are."""
    have = f"Queues there: {', '.join(map(shown_name, names))}" if names else "It has no queue."
    return f"{nearest(queue, names)} {have}"


def shown_name(name: str) -> str:
    """A name as it can be written anywhere: bytes of it that are no UTF-8 as \\xff."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@contextmanager
def open_store(app: str | None, connector: str | None) -> Iterator[Store]:
    """The store that the options, the environment or the default choose; says which and why on stderr."""
    store = Store(*choose(app, connector))
    try:
        yield store
    finally:
        store.looking.close()


def choose(app: str | None, connector: str | None) -> tuple[WorkerConfig, str]:
    """A configuration that names the store, and who chose it."""
    said = "-A" if app else APP_VARIABLE
    app = app or os.environ.get(APP_VARIABLE)
    if connector is not None:
        base = _config_of(app) if app and said == "-A" else WorkerConfig(name="cli")
        return base.replace(connector=connector), "from --connector"
    if app:
        config = _config_of(app)
        return config, f"from {said} {app}: {connector_use(config)[1]}"
    config = WorkerConfig(name="cli")
    return config, f"from {connector_use(config)[1]}"


def _config_of(app: str) -> WorkerConfig:
    settings().reach_application()
    return targets.shared_config(app)
