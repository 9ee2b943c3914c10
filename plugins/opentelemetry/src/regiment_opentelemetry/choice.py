"""The typed way to choose this extension."""

from __future__ import annotations

from regiment.config import Use


def Opentelemetry(parent: bool = False) -> Use:  # noqa: N802  a choice is written like the class that it stands for
    """Spans for the pushes and runs of a queue. With `parent` the span of a run is a child of the span of its push, and part of its
    trace; else it begins a trace of its own, and links to the push.
    """
    return Use("opentelemetry", parent=parent)
