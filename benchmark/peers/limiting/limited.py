"""What limited tasks do, the same for every system: a line at their start, one at their end. And how a program pushes them:
`python limits_NAME.py rated 150 0 one 0 0`: which task, how many, the seconds that each takes, whose they are, the number of the first, and the seconds
between two of them.
"""

import os
import sys
import time
from collections.abc import Callable

STORE = os.environ.get("LIMITS_STORE", "")
RATE, SLOTS = 10, 4
_OUT = os.open(os.environ.get("LIMITS_OUT", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def run(what: str, number: int, seconds: float, tenant: str) -> None:
    """The body of a task."""
    note("start", what, number, tenant)
    if seconds:
        time.sleep(seconds)
    note("end", what, number, tenant)


def note(*words: object) -> None:
    os.write(_OUT, f"{' '.join(map(str, words))} {time.time():.4f}\n".encode())


def main(push: Callable[[str, int, float, str], object]) -> None:
    """Push as the words of the command line say, each task by `push(what, number, seconds, tenant)`."""
    what, many, seconds, tenant = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    base, pause = int(sys.argv[5]), float(sys.argv[6])
    push(what, 0, 0.0, "warm")  # what a first push imports and opens is not measured
    for number in range(base, base + many):
        time.sleep(pause)
        note("push", what, number, tenant)
        push(what, number, seconds, tenant)
