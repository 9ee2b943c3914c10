"""What handles of tasks and runs of flows share: where they look, and how they wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from regiment.bounds import period, seen
from regiment.broker import Broker
from regiment.errors import ArgumentsError
from regiment.registry import registry
from regiment_results.settings import Choices

T = TypeVar("T")


def refuse_timeout(timeout: object) -> None:
    """`ArgumentsError` for a timeout that is neither None nor seconds from 0 on."""
    if timeout is not None and not period(timeout):
        raise ArgumentsError(f"timeout is {seen(timeout)}; expected seconds, or None for no end")


def call_on(loop: Any, call: Callable[[T], None], answer: T) -> None:
    """Tell a coroutine; a loop that has ended waits for nothing."""
    try:
        loop.call_soon_threadsafe(call, answer)
    except RuntimeError:
        return


def broker_of(place: Any, what: str) -> Broker:
    """The broker of a queue or a worker class; `ArgumentsError` for anything else."""
    outlet = getattr(place, "outlet", None)
    if outlet is None:
        raise ArgumentsError(f"{what} was asked for from {seen(place)}; expected a Queue or a Worker class")
    broker: Broker = outlet.broker()
    return broker


def keeping_of(broker: Broker) -> Choices | None:
    """The extension of this broker's queue, if it has it."""
    scope = registry().scope(broker.config.plugins)
    return next((plugin for _, plugin in scope.pm.list_name_plugin() if isinstance(plugin, Choices)), None)
