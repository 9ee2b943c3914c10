"""The plan of a flow, read back: what there is, what depends on what, and whose an id is."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from regiment_workflows import keys
from regiment_workflows.errors import FlowGone
from regiment_workflows.values import Ask

PAUSES = (0.05, 0.2, 1.0, 2.0)
"""Seconds before a plan that was not there is looked for again."""


class Plan:
    """What a flow is made of, or the piece that a step returned."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data
        self.grown: str = data["inside"]
        """The step that has returned this piece; empty for the flow itself."""
        self.nodes: dict[str, Mapping[str, Any]] = {node["n"]: node for node in data["nodes"]}
        self.joins = {node["j"][1] for node in data["nodes"] if node["j"]}
        """Names of the joins at which steps wait for others."""

    def dependents(self, name: str) -> list[Mapping[str, Any]]:
        """All that wait for this node, and those that wait for them."""
        gone = {name}
        while more := [
            node["n"] for node in self.nodes.values() if node["n"] not in gone and not gone.isdisjoint(node["d"])
        ]:
            gone.update(more)
        return [self.nodes[one] for one in gone - {name}]


def read_plan(ask: Ask, queue: str, flow: str, node: str = "", home: str = "") -> Plan:
    """The plan in which a node stands: that of the flow, or of the piece that a step has returned.

    What goes to another place comes late (E10): so it is looked for at home, too, and a few times.
    """
    key, record = keys.plan_key(flow, node.rpartition("+")[0]), None
    for pause in (0.0, *PAUSES) if home else (0.0,):
        time.sleep(pause)
        for place in dict.fromkeys((queue, home or queue)):
            record = record or ask(place, [key])[0]
        if record is not None:
            break
    if record is None:
        raise FlowGone(
            f"nothing is known of the flow {flow} at queue {queue}: it was not started, or its time to live is over"
        )
    return Plan(json.loads(record.value))


def plan_of_id(ask: Ask, queue: str, task_id: str) -> tuple[Plan, Mapping[str, Any], int | None] | None:
    """The plan, the node, and the number of the member (None for a step) whose task has this id; None if it is no flow's."""
    parts = task_id.split(".")
    for at in range(len(parts) - 1, 0, -1):
        flow, name, *rest = ".".join(parts[:at]), *parts[at:]
        if len(rest) > 1 or (rest and not rest[0].isdigit()):
            continue
        record = ask(queue, [keys.plan_key(flow, name.rpartition("+")[0])])[0]
        if record is not None:
            plan = Plan(json.loads(record.value))
            node = plan.nodes.get(name)
            if node is not None:
                return plan, node, int(rest[0]) if rest else None
    return None
