"""The flows of queues, as the store lists them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from regiment.broker import Broker
from regiment_workflows.errors import FlowError
from regiment_workflows.runs import Run

MOST = 1000
"""Flows of one queue that are listed."""


def runs_of(broker: Broker, queues: Sequence[str], most: int = MOST) -> Iterator[Run[Any]]:
    """The flows at home in these queues, at most so many of each, the one that changed last first."""
    for queue in queues:
        asked: Run[Any] = Run(broker, queue, "", existed=True)
        for name in asked.ask(lambda store, queue=queue: store.listed(queue, most)):  # type: ignore[misc]
            if name.startswith("w:") and "\t" not in name:
                run: Run[Any] = Run(broker, queue, name.removeprefix("w:"), existed=True)
                try:
                    run.plan()
                except FlowError:
                    continue
                yield run
