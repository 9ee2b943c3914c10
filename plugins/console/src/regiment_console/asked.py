"""The hook that plugins have for `regiment why`. Only the command line asks it, so its spec stands here and not in the core."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from regiment import log
from regiment.config import WorkerConfig
from regiment.contracts import Connector
from regiment.hooks import hookspec
from regiment.registry import registry
from regiment.task import Task
from regiment_console.store import Store


class Specs:
    """Implemented with `@hookimpl(optionalhook=True)`, for where no console is installed nobody knows the hook."""

    @hookspec
    def regiment_reasons(
        self, id: str, queue: str, task: Task | None, connector: Connector, config: WorkerConfig
    ) -> Iterable[str]:
        """What `regiment why` says of a task besides, a sentence each. `task` is None if it is in no queue, or cannot be read;
        `connector` is opened to look, and `config` names its store.
        """
        raise NotImplementedError


def of_plugins(store: Store, id: str, queue: str, task: Task | None) -> list[str]:
    """What plugins say of a task; one that fails says nothing, and is an event."""
    here = registry()
    if here.pm.hook.__dict__.get("regiment_reasons") is None or not here.pm.hook.regiment_reasons.has_spec():
        here.pm.add_hookspecs(Specs)
    config: WorkerConfig = store.config.replace(name=queue)
    found: list[str] = []

    def told(call: Callable[..., Any]) -> Callable[..., None]:
        return lambda *args: found.extend(map(str, call(*args) or ()))

    for _, call in here.hooks("regiment_reasons"):
        log.tell(told(call), id, queue, task, store.looking, config)
    return found
