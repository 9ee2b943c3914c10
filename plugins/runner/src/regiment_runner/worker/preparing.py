"""Plugins that prepare a task (`regiment_prepare`): they come before `pre_work`, or else before the work, under its limits."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from regiment.task import Task

Prepare = Sequence[tuple[str, Callable[[Task], None]]]
"""(plugin, call)."""


def prepared(first: Prepare, call: Callable[..., Any]) -> Callable[..., Any]:
    """The same call, and before it the plugins; on an event loop they are called in a thread, and the call is awaited."""

    def after(task: Task, *rest: Any) -> Any:
        running = sys.modules.get("asyncio")
        if running is not None and running._get_running_loop() is not None:
            return _awaited(task, *rest)
        for _, prepare in first:
            prepare(task)
        return call(task, *rest)

    async def _awaited(task: Task, *rest: Any) -> Any:
        import asyncio
        import inspect

        for _, prepare in first:
            await asyncio.to_thread(prepare, task)
        value = call(task, *rest)
        return await value if inspect.isawaitable(value) else value

    return after
