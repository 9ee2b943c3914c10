"""Where a verb of an extension looks: the options that say it, and the store and the queue that they choose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from regiment.broker import Broker
from regiment.build import make_broker
from regiment.config import CONNECTOR_VARIABLE, WorkerConfig
from regiment_cli import targets
from regiment_cli.options import settings

F = TypeVar("F", bound=Callable[..., Any])


def where_options(app: str, queue: str) -> Callable[[F], F]:
    """`--connector`, `-A` and `--queue`; `app` and `queue` are the lines of the last two in the help."""

    def decorated(function: F) -> F:
        for decorate in (
            click.option("--connector", metavar="URL", help=f"Look at this store.  [default: ${CONNECTOR_VARIABLE}]"),
            click.option("-A", "--app", metavar="MODULE[:NAME]", help=app),
            click.option("--queue", "-q", help=queue),
        ):
            function = decorate(function)
        return function

    return decorated


def chosen(queue: str | None, app: str | None, connector: str | None) -> tuple[Broker, str | None]:
    """The broker of the store, and the queue to look at: that of the options, else that of the application; None: all."""
    if app:
        settings().reach_application()
    config = targets.shared_config(app) if app else WorkerConfig(name=queue or "cli")
    if connector is not None:
        config = config.replace(connector=connector)
    if app and queue is None:
        queue = config.name
    return make_broker(config), queue
