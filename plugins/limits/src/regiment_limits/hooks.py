"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_extensions() -> Mapping[str, Offer]:
    """What a queue names to have budgets, lanes and keys."""
    return {
        "limits": Offer(
            "regiment_limits.guarding:Limited", summary="Budgets, turns and unique tasks, counted in the store."
        )
    }


@hookimpl
def regiment_commands() -> Mapping[str, Offer]:
    """The verb that shows and changes what counts."""
    return {
        "limits": Offer("regiment_limits.commands:command", summary="Limits: list, set, clear, pause, resume, recount.")
    }


@hookimpl(optionalhook=True)
def regiment_reasons(id: str, queue: str, task: Any, connector: Any) -> Iterable[str]:
    """Which budget a task waits for, for `regiment why`."""
    if task is None:
        return ()
    from regiment_limits.reasons import reasons

    return reasons(id, queue, connector)
