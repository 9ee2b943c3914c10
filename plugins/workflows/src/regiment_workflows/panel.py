"""The dashboard's page of flows: those that changed last, and the picture of one with the states of its steps; cancel, retry, open."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regiment.errors import RegimentError
from regiment_cli.panels import Act, Asked, Done
from regiment_workflows.errors import FlowError
from regiment_workflows.finding import runs_of
from regiment_workflows.picture import HEIGHT, WIDTH, laid
from regiment_workflows.runs import Run

MOST = 50
"""Flows on the page."""
DRAWN = 300
"""Steps of a flow that are drawn; a group is one, however many members it has."""


class FlowsPage:
    """What `regiment flows` says, as a page."""

    templates = Path(__file__).parent / "templates"

    def __init__(self) -> None:
        self.acts: Mapping[str, Act] = {"cancel": _cancel, "retry": _retry, "open": _open}

    def show(self, asked: Asked) -> tuple[str, Mapping[str, Any]]:
        """All flows, or with `queue` and `id` one of them."""
        if "id" in asked.values:
            return "flow.html", _one(_run(asked))
        queues, wanted = asked.queues, asked.values.get("queue")
        found = []
        for run in runs_of(asked.broker, [wanted] if wanted else queues, MOST):
            data = run.plan().data
            state = run.state()
            found.append(
                {"id": run.id, "queue": run.home, "name": data["name"], "state": state, "started": data["started"]}
            )
        found.sort(key=lambda one: (one["state"] not in ("failed",), -one["started"]))
        return "flows.html", {"flows": found[:MOST], "number": len(found), "most": MOST}


def _run(asked: Asked) -> Run[Any]:
    queue, id = asked.values.get("queue", ""), asked.values.get("id", "")
    run: Run[Any] = Run(asked.broker, queue, id, existed=True)
    if not queue or not id or run.look() is None:
        raise RegimentError(f"nothing is known of a flow {id!r} of {queue!r}: its time to live may be over")
    return run


def _one(run: Run[Any]) -> dict[str, Any]:
    data, steps = run.plan().data, run.steps()
    return {
        "id": run.id,
        "queue": run.home,
        "name": data["name"],
        "started": data["started"],
        "state": run.state(),
        "steps": steps,
        "done": sum(one.state in ("success", "skipped") for one in steps),
        "drawing": laid(steps[:DRAWN]),
        "drawn": DRAWN,
        "box": (WIDTH, HEIGHT),
    }


def _cancel(asked: Asked) -> Done:
    run = _run(asked)
    if run.state() not in ("running", "filling") or not run.cancel():
        return Done(f"{run.id} has ended already", run.id, changed=False)
    return Done(f"cancelled {run.id}: nothing of it starts any more", run.id)


def _retry(asked: Asked) -> Done:
    run = _run(asked)
    try:
        run.retry(asked.values.get("step") or None)
    except FlowError as error:
        return Done(str(error), run.id, changed=False)
    return Done(f"what has failed of {run.id} runs again", run.id)


def _open(asked: Asked) -> Done:
    run, gate = _run(asked), asked.values.get("gate", "")
    if not run.open(gate):
        return Done(f"{gate} of {run.id} was open already", run.id, changed=False)
    return Done(f"opened {gate} of {run.id}", f"{run.id} {gate}")


page = FlowsPage()
