"""What `regiment why` says of a task that is a step of a flow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from regiment.broker import extras
from regiment.build import make_broker
from regiment.config import WorkerConfig
from regiment.contracts import EFFECTS
from regiment_workflows import keys
from regiment_workflows.runs import Run


def step_of(id: str, queue: str, connector: Any, config: WorkerConfig) -> Iterator[str]:
    """How the step stands, if this queue is home of its flow: what it waits for, or that it is done."""
    flow, _, name = id.rpartition(".")
    if name.isdigit() and "." in flow:  # a member of a group
        flow, _, name = flow.rpartition(".")
    if not flow or EFFECTS not in extras(connector):
        return
    if connector.records(queue, [keys.flow_key(flow)])[0] is None:
        return
    broker = make_broker(config)
    try:
        run: Run[Any] = Run(broker, queue, flow, existed=True)
        steps = {one.name: one for one in run.steps()}
        whole = run.state()
    finally:
        broker.close()
    step = steps.get(name)
    if step is None:
        return
    what = f"step {name} of the flow {flow}, which is {whole}"
    if step.state == "waiting":
        needs = ", ".join(f"{need} ({steps[need].state})" if need in steps else need for need in step.needs)
        yield f"{what}: waits for {needs or 'its turn'}; regiment flows show {flow}"
    else:
        yield f"{what}: {step.state}; regiment flows show {flow}"
