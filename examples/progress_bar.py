"""A progress bar in a terminal, fed by `progress()` of a task that runs somewhere else.

    python examples/progress_bar.py

starts a worker and a task of four seconds, draws its bar until it has ended, and prints its result.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from regiment import current
from regiment_results import Handle, ResultQueue, Results, ResultTimeout

films = ResultQueue("films", plugins=[Results()])
WIDTH = 30


@films.task
def encode(frames: int) -> str:
    for frame in range(frames):
        current().progress(frame, frames, f"frame {frame}")  # costs no system call
        time.sleep(4 / frames)
    return f"{frames} frames"


def bar(handle: Handle[str]) -> str:
    """The state of the task as one line."""
    at = handle.progress()
    if at is None or not at.total:
        return f"[{' ' * WIDTH}] {handle.state()}"
    full = at.done * WIDTH // at.total
    return f"[{'#' * full}{' ' * (WIDTH - full)}] {at.done / at.total:4.0%} {at.note}"


def main() -> None:
    worker = subprocess.Popen(
        [sys.executable, "-m", "regiment", "run", "progress_bar:films", "--app-dir", str(Path(__file__).parent)]
    )
    end = "\r" if sys.stdout.isatty() else "\n"
    try:
        handle = encode.push(frames=200)
        while True:
            try:
                result = handle.result(timeout=0.5)
                break
            except ResultTimeout:
                print(f"{bar(handle):<60}", end=end, flush=True)
        print(f"[{'#' * WIDTH}] 100% {result:<20}")
    finally:
        worker.terminate()
        worker.wait()


if __name__ == "__main__":
    main()
