"""The hooks that the console's verbs and pages ask. Only people's commands ask them, so their specs stand here and not in the core.

They are implemented with `@hookimpl(optionalhook=True)`, for where no console is installed nobody knows them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from regiment import log
from regiment.config import WorkerConfig
from regiment.contracts import Connector
from regiment.hooks import hookspec
from regiment.registry import registry
from regiment.task import Task
from regiment_cli.hooking import declare
from regiment_console.store import Looked


class Specs:
    """What plugins may say."""

    @hookspec
    def regiment_reasons(
        self, id: str, queue: str, task: Task | None, connector: Connector, config: WorkerConfig
    ) -> Iterable[str]:
        """What `regiment why` says of a task besides, a sentence each. `task` is None if it is in no queue, or cannot be read;
        `connector` is opened to look, and `config` names its store.
        """
        raise NotImplementedError

    @hookspec
    def regiment_mask(self, name: str, value: Any) -> Any:
        """What people are shown in place of a value of this name (of an argument, a header, a key in one); None: this plugin hides
        nothing of it. Asked of values that no rule of regiment hides; of one that raises the value is hidden.
        """
        raise NotImplementedError

    @hookspec
    def regiment_audit(self, entry: Mapping[str, Any]) -> None:
        """Somebody has done something by a verb or a page: queue, what, who, at (seconds since the epoch), and where they apply
        number, ids, reason, via. Told after the act, in the process that did it.
        """
        raise NotImplementedError


def calls(name: str) -> list[tuple[str, Callable[..., Any]]]:
    """(plugin, call) of everyone who implements a hook of these."""
    here = registry()
    declare(here.pm, Specs, name)
    return here.hooks(name)


def of_plugins(store: Looked, id: str, queue: str, task: Task | None) -> list[str]:
    """What plugins say of a task; one that fails says nothing, and is an event."""
    config: WorkerConfig = store.config.replace(name=queue)
    found: list[str] = []

    def told(call: Callable[..., Any]) -> Callable[..., None]:
        return lambda *args: found.extend(map(str, call(*args) or ()))

    for _, call in calls("regiment_reasons"):
        log.tell(told(call), id, queue, task, store.looking, config)
    return found


def masked_by(name: str, value: Any, hidden: str) -> Any:
    """What plugins show in place of a value; None if none hides it. Of one that fails, `hidden`."""
    for plugin, call in calls("regiment_mask"):
        try:
            shown = call(name, value)
        except Exception as error:
            log.event(logging.ERROR, "plugin.error", exc_info=error, plugin=plugin)
            return hidden
        if shown is not None:
            return shown
    return None
