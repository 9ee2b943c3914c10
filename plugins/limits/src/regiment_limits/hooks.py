"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from regiment.contracts import FLOW, STEER
from regiment.hooks import Offer, hookimpl

if TYPE_CHECKING:
    from regiment_cli.panels import Panel


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


@hookimpl(optionalhook=True)
def regiment_panels() -> Iterable[Panel]:
    """The page of the dashboard with budgets, and who holds and waits for them."""
    from regiment_cli.panels import Panel

    return [Panel("Limits", "limits", "regiment_limits.panel:page", needs=frozenset({FLOW, STEER}), order=40)]
