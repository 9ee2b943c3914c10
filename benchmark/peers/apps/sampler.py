"""Where a process spends its CPU time, by samples of its stack: SIGPROF comes after so much CPU time, not after so much wall time.

    python sampler.py RESULT client FIRST COUNT BULK      pushes, as client.py does
    python sampler.py RESULT worker                       works off what is there, without a supervisor

A sample belongs to the innermost module of regiment or of a plugin of ours on the stack: what a library does belongs to who calls it.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

INTERVAL = 0.001
"""Seconds of CPU between two samples; the kernel may make it more."""
RUNNING = frozenset(
    {"regiment_runner.worker.source", "regiment_runner.worker.attempt", "regiment.pushing", "regiment.queue"}
)
"""A stack without one of these is that of a start."""
found: Counter[str] = Counter()


def sample(number: int, frame: FrameType | None) -> None:
    """One look."""
    inner, running = "", False
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if not inner and (name.startswith("regiment") or name == "tasks") and name != "regiment_app":
            inner = name
        running = running or name in RUNNING
        frame = frame.f_back
    found[inner if running else "start"] += 1


def push(first: int, count: int, bulk: bool) -> None:
    """The client's part."""
    import regiment_app

    verb, step = (regiment_app.push_many, 1000) if bulk else (regiment_app.push, count)
    verb("noop", range(first, first + 1), "")
    found.clear()
    for n in range(first, first + count, step):
        verb("noop", range(n, n + step), "")


def work() -> None:
    """The worker's part."""
    from regiment_cli.main import main

    main(["run", "regiment_app:bench", "--solo", "--burst"])


def main() -> None:
    result, what, *words = sys.argv[1:]
    signal.signal(signal.SIGPROF, sample)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)
    try:
        if what == "client":
            push(int(words[0]), int(words[1]), words[2] == "True")
        else:
            work()
    except SystemExit:
        pass
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        told: dict[str, Any] = {"samples": dict(found), "cpu": time.process_time()}
        Path(result).write_text(json.dumps(told))


if __name__ == "__main__":
    main()
