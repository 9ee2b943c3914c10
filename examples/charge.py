"""An effect on another system that must not come twice: charged once, although the worker is killed in the middle of things.

    python examples/charge.py

The worker of the first order kills itself behind the entry: the next run finds the receipt. That of the second one kills itself between
the effect and its entry: the next run asks the gateway again, under the same key, and the gateway knows it. So it is charged once as well.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from regiment import Queue, current

shop = Queue("shop", poison_delays=[0.0], recheck=0.2)
BOOKS = Path("charged")
"""What the gateway has charged: a file for each key, as if it were on another machine."""


def charge(order: int, idempotency_key: str) -> str:
    """A gateway of payments: the same key is the same payment."""
    BOOKS.mkdir(exist_ok=True)
    payment = BOOKS / idempotency_key
    known = payment.exists()
    payment.write_text(f"receipt {order}")
    print(f"gateway: order {order} {'was charged before' if known else 'is charged'}", flush=True)
    return payment.read_text()


def crash(order: int, before: bool) -> None:
    """Die like a worker that is killed, in the first run only."""
    task: Any = current().task
    if task.delivery_count == 0 and before == (order == 2):
        os.kill(os.getpid(), signal.SIGKILL)


@shop.task
def pay(order: int) -> None:
    with current().once("charge", order) as effect:
        if effect.new:
            effect.value = charge(order, idempotency_key=effect.id)
            crash(order, before=True)
    crash(order, before=False)
    print(f"order {order}: {effect.value}, {'new' if effect.new else 'found'}", flush=True)


if __name__ == "__main__":
    from regiment_runner import Supervisor

    for number in (1, 2):
        pay.push(order=number)
    code = Supervisor("charge", burst=True, app_dir=str(Path(__file__).parent)).run()
    print(f"{len(list(BOOKS.iterdir()))} payments")
    sys.exit(code)
