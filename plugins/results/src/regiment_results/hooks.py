"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from regiment.hooks import Offer, hookimpl

if TYPE_CHECKING:
    from regiment.config import WorkerConfig


@hookimpl
def regiment_extensions() -> Mapping[str, Offer]:
    """What a queue names to keep the results of its tasks."""
    return {
        "results": Offer("regiment_results.extension:Keeping", summary="Keeps what a task returned, to be waited for.")
    }


@hookimpl
def regiment_commands() -> Mapping[str, Offer]:
    """A verb that reads results and waits for them."""
    return {"results": Offer("regiment_results.commands:command", summary="Results: show, wait for, forget.")}


@hookimpl(optionalhook=True)
def regiment_reasons(id: str, queue: str, connector: Any, config: WorkerConfig) -> Iterable[str]:
    """What is kept of a task that has ended, for `regiment why`."""
    from regiment_results.telling import ended

    return ended(id, queue, connector, config)
