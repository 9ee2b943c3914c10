"""What a task leaves behind: a follow-up and a record that come in the very step in which it succeeds, or not at all.

    python examples/orders.py

Each order fails once, after it has asked for its receipt. One receipt is sent for each all the same, because only a run that
succeeds leaves anything. The plugin, which is this module itself, keeps how every task has ended, in the same step.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from regiment import Queue, current
from regiment.contracts import Effect, Keep
from regiment.hooks import hookimpl

orders = Queue("orders", max_retries=3, plugins=["orders"], tasks_per_transaction=10)
if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))


@hookimpl
def regiment_effects(task_id: str, outcome: object, settles: str) -> Iterable[Effect]:
    return [Keep(f"ended:{task_id}", settles.encode(), ttl=3600.0)]


@orders.task
def receipt(number: int) -> None:
    print(f"receipt for order {number}", flush=True)


@orders.task
def order(number: int) -> None:
    current().commit.push(receipt, number=number)
    current().commit.keep(f"order {number}", {"number": number, "state": "paid"}, ttl=3600)
    task = current().task
    if task is not None and task.run_count == 0:
        current().retry(delay=0.05)


if __name__ == "__main__":
    from regiment_runner import Supervisor

    ids = [order.push(number=number).id for number in range(1, 4)]
    Supervisor("orders", burst=True, app_dir=str(Path(__file__).parent)).run()
    for number in range(1, 4):
        print(orders.kept(f"order {number}"))
    with orders.broker.connector() as connector:
        ends = connector.records("orders", [f"ended:{task_id}" for task_id in ids])  # type: ignore[attr-defined]
    print("ended:", *(found.value.decode() for found in ends))
