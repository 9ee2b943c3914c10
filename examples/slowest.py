"""A plugin without packaging: a module that is told of every task, and prints the slowest at the end.

    python examples/slowest.py

runs the tasks of `hello.py` under observation. On the command line, in this folder, with any worker:

    regiment --plugin slowest run hello
    REGIMENT_PLUGINS=slowest regiment run hello

The same functions in a package, with an entry point of the group `regiment`, would be a packaged plugin.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from regiment.hooks import hookimpl

longest: dict[str, float] = {}


@hookimpl
def regiment_task_finished(task: Any, outcome: Any, seconds: float) -> None:
    longest[task.name] = max(seconds, longest.get(task.name, 0.0))
    print(f"[slowest] {task.name} {outcome.kind} in {seconds * 1000:.2f} ms", flush=True)


@hookimpl
def regiment_worker_stopping(worker: Any) -> None:
    if longest:
        took, name = max((took, name) for name, took in longest.items())
        print(f"[slowest] the slowest was {name}: {took * 1000:.2f} ms", flush=True)


if __name__ == "__main__":
    here = str(Path(__file__).parent)
    sys.path.insert(0, here)
    os.environ["REGIMENT_PLUGINS"] = "slowest"
    from hello import greet

    from regiment_runner import Supervisor

    greet.push_many({"name": name} for name in ("Ada", "Grace", "Edsger"))
    sys.exit(Supervisor("hello", burst=True, app_dir=here).run())
