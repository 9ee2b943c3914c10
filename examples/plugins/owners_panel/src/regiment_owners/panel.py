"""The page of the dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regiment_cli.panels import Act, Asked, Done
from regiment_owners.owners import owners


class Owners:
    """Each queue with its owner, what waits and what is dead."""

    templates = Path(__file__).parent / "templates"

    def __init__(self) -> None:
        self.acts: Mapping[str, Act] = {"note": _note}

    def show(self, asked: Asked) -> tuple[str, Mapping[str, Any]]:
        known = owners()
        with asked.broker.connector() as store:
            counted = {queue: store.counts(queue) for queue in asked.queues}
        rows = [(queue, known.get(queue, ""), counts) for queue, counts in counted.items()]
        return "owners.html", {"rows": rows}


def _note(asked: Asked) -> Done:
    """A word for the owner. The dashboard keeps account of it; there is nothing else to do."""
    text = asked.values.get("text", "").strip()[:200]
    if not text:
        return Done("nothing was noted: the field is empty", changed=False)
    return Done(f"noted for {owners().get(asked.values['queue'], 'nobody')}", text)


page = Owners()
