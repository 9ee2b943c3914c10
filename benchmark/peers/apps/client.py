"""The client of one system, in its environment: takes orders as lines of JSON, pushes, and says what it cost.

python client.py APPLICATION
"""

from __future__ import annotations

import importlib
import json
import random
import resource
import sys
import time
from typing import Any

import flowing
import waiting
from board import Board, board

WORDS = [
    "lease",
    "task",
    "queue",
    "worker",
    "store",
    "push",
    "settle",
    "renew",
    "exchange",
    "keeper",
    "page",
    "strike",
    "dead",
    "letter",
    "slot",
    "attempt",
]
STEP = 0.0005
"""Seconds between two looks at the board."""


def text(size: int) -> str:
    """Words and numbers of this many bytes, always the same: something that a compressor can do something with."""
    dice, parts, length = random.Random(1), list[str](), 0
    while length < size:
        part = f"{dice.choice(WORDS)} {dice.randrange(10_000)} "
        parts.append(part)
        length += len(part)
    return "".join(parts)[:size]


def cpu() -> float:
    """Seconds of CPU of this process and of children that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def push(app: Any, order: dict[str, Any]) -> dict[str, Any]:
    """Push `count` tasks from the number `first`, one by one or in bulk; at most for `seconds`."""
    body, first, count = text(order["size"]), order["first"], order["count"]
    verb, step = (app.push_many, 1000) if order["bulk"] else (app.push, 50)
    began_cpu, began = cpu(), time.perf_counter()
    pushed = 0
    while pushed < count and time.perf_counter() - began < order["seconds"]:
        numbers = range(first + pushed, first + min(pushed + step, count))
        verb(order["task"], numbers, body)
        pushed += len(numbers)
    return {"pushed": pushed, "cpu": cpu() - began_cpu, "wall": time.perf_counter() - began}


def latency(app: Any, order: dict[str, Any], seen: Board) -> dict[str, Any]:
    """Push one task after the other to a worker that waits; milliseconds from before a push to the task's start."""
    found, stop, dice = list[float](), time.monotonic() + order["seconds"], random.Random(2)
    for n in range(order["first"], order["first"] + order["count"]):
        sent = time.monotonic_ns()
        app.push("stamp", range(n, n + 1), "")
        patience = time.monotonic() + 10
        while not seen.starts[n]:
            time.sleep(STEP)
            if time.monotonic() > patience:
                raise RuntimeError("a task did not start within 10 s of its push")
        found.append((seen.starts[n] - sent) / 1e6)
        if time.monotonic() > stop:
            break
        time.sleep(0.004 + 0.004 * dice.random())
    return {"ms": found}


def main() -> None:
    """Obey until the orders end."""
    app, seen = importlib.import_module(sys.argv[1]), board()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "latency":
            answer = latency(app, order, seen)
        elif order["do"] == "wait":
            answer = waiting.wait(app, order, seen)
        elif order["do"] == "flow":
            answer = flowing.flow(app, order, seen)
        elif order["do"] == "waiters":
            answer = waiting.waiters(app, order)
        else:
            answer = push(app, order)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
