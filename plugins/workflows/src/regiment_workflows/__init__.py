"""Flows of tasks: chains, groups, chords, maps and graphs, each step of which goes on in the step that settles the one before.

run = (fetch.s(url="…") | parse.s() | store.s(table="t")).start()
run.result(timeout=60)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from regiment import lazily

__all__ = [
    *lazily(
        globals(),
        {
            "choice": "Workflows FlowQueue FlowTask",
            "pieces": "Piece Step chain group over prev s",
            "graph": "Flow Ref flow",
            "runs": "Run run_of",
            "states": "Progress",
            "values": "Failed",
            "errors": "GraphError FlowError FlowFailed FlowCancelled FlowTimeout FlowGone ValueGone",
        },
    )
]

if TYPE_CHECKING:
    from regiment_workflows.choice import FlowQueue as FlowQueue
    from regiment_workflows.choice import FlowTask as FlowTask
    from regiment_workflows.choice import Workflows as Workflows
    from regiment_workflows.errors import FlowCancelled as FlowCancelled
    from regiment_workflows.errors import FlowError as FlowError
    from regiment_workflows.errors import FlowFailed as FlowFailed
    from regiment_workflows.errors import FlowGone as FlowGone
    from regiment_workflows.errors import FlowTimeout as FlowTimeout
    from regiment_workflows.errors import GraphError as GraphError
    from regiment_workflows.errors import ValueGone as ValueGone
    from regiment_workflows.graph import Flow as Flow
    from regiment_workflows.graph import Ref as Ref
    from regiment_workflows.graph import flow as flow
    from regiment_workflows.pieces import Piece as Piece
    from regiment_workflows.pieces import Step as Step
    from regiment_workflows.pieces import chain as chain
    from regiment_workflows.pieces import group as group
    from regiment_workflows.pieces import over as over
    from regiment_workflows.pieces import prev as prev
    from regiment_workflows.pieces import s as s
    from regiment_workflows.runs import Run as Run
    from regiment_workflows.runs import run_of as run_of
    from regiment_workflows.states import Progress as Progress
    from regiment_workflows.values import Failed as Failed
