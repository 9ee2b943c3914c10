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


def chosen(queue: str | None, app: str | None, connector: str | None) -> tuple[Broker, list[str]]:
    """The broker of the store, and the queues to look at: that of the options, else those of the application; none: all.

    Where the application has the queue of the options, the broker is that queue's: it reads what is written there.
    """
    if app:
        settings().reach_application()
        configs = targets.shared_configs(app)
        config = next((one for one in configs if one.name == queue), configs[0])
        queues = list(dict.fromkeys(one.name for one in configs)) if queue is None else [queue]
    else:
        config, queues = WorkerConfig(name=queue or "cli"), [] if queue is None else [queue]
    if connector is not None:
        config = config.replace(connector=connector)
    return make_broker(config), queues
