"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from regiment.contracts import EFFECTS
from regiment.hooks import Offer, hookimpl

if TYPE_CHECKING:
    from regiment.config import WorkerConfig
    from regiment_cli.panels import Panel


@hookimpl
def regiment_extensions() -> Mapping[str, Offer]:
    """What a queue names to take part in flows."""
    return {
        "workflows": Offer("regiment_workflows.extension:Working", summary="Chains, groups, chords, maps and graphs.")
    }


@hookimpl
def regiment_commands() -> Mapping[str, Offer]:
    """A verb that looks after flows."""
    return {"flows": Offer("regiment_workflows.commands:command", summary="Flows: list, show, cancel, retry, open.")}


@hookimpl(optionalhook=True)
def regiment_reasons(id: str, queue: str, connector: Any, config: WorkerConfig) -> Iterable[str]:
    """What a step of a flow waits for, for `regiment why`."""
    from regiment_workflows.telling import step_of

    return step_of(id, queue, connector, config)


@hookimpl(optionalhook=True)
def regiment_panels() -> Iterable[Panel]:
    """The page of the dashboard with flows, and the picture of one."""
    from regiment_cli.panels import Panel

    return [Panel("Flows", "flows", "regiment_workflows.panel:page", needs=frozenset({EFFECTS}), order=30)]
