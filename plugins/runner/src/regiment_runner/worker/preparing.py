"""Plugins that prepare a task (`regiment_prepare`): they come before `pre_work`, or else before the work, under its limits."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from regiment import log
from regiment.task import Task

Prepare = Sequence[tuple[str, Callable[[Task], Any]]]
"""(plugin, call)."""


def prepared(first: Prepare, call: Callable[..., Any]) -> Callable[..., Any]:
    """The same call, before it the plugins, and after it what they have returned, the last first; on an event loop these are
    called in a thread, and the call is awaited.
    """

    def after(task: Task, *rest: Any) -> Any:
        running = sys.modules.get("asyncio")
        if running is not None and running._get_running_loop() is not None:
            return _awaited(task, *rest)
        ends: list[Callable[[], Any]] = []
        try:
            for _, prepare in first:
                if (end := prepare(task)) is not None:
                    ends.append(end)
            return call(task, *rest)
        finally:
            for end in reversed(ends):
                log.tell(end)

    async def _awaited(task: Task, *rest: Any) -> Any:
        import asyncio
        import inspect

        ends: list[Callable[[], Any]] = []
        try:
            for _, prepare in first:
                if (end := await asyncio.to_thread(prepare, task)) is not None:
                    ends.append(end)
            value = call(task, *rest)
            return await value if inspect.isawaitable(value) else value
        finally:
            for end in reversed(ends):
                await asyncio.to_thread(log.tell, end)

    return after
