"""Shared memory in which tasks of every system say what happened to them; the same few bytes for each of them.

Standard library only: it is imported in the environments of all systems. The file's path is in BENCH_BOARD.
"""

from __future__ import annotations

import mmap
import os
import time

TASKS = 4_000_000
"""Numbers of tasks: one byte each, which counts its runs."""
STAMPS = 8192
"""Tasks of the first numbers also have the times of their start and end, and the process that ran them."""
SIZE = TASKS + 20 * STAMPS


class Board:
    """The map of one file. Times are nanoseconds of the monotonic clock, which all processes share."""

    def __init__(self, path: str, create: bool = False) -> None:
        handle = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0))
        try:
            if create:
                os.ftruncate(handle, SIZE)
            self._map = mmap.mmap(handle, SIZE)
        finally:
            os.close(handle)
        view = memoryview(self._map)
        self.runs = view[:TASKS]
        self.starts = view[TASKS : TASKS + 8 * STAMPS].cast("q")
        self.ends = view[TASKS + 8 * STAMPS : TASKS + 16 * STAMPS].cast("q")
        self.pids = view[TASKS + 16 * STAMPS :].cast("i")

    def done(self, first: int, count: int) -> int:
        """How many of these tasks have run at least once."""
        return count - bytes(self.runs[first : first + count]).count(0)

    def again(self, first: int, count: int) -> int:
        """How many of these tasks have run more than once."""
        seen = bytes(self.runs[first : first + count])
        return count - seen.count(0) - seen.count(1)

    def stamp(self, n: int) -> None:
        """A task starts."""
        self.pids[n] = os.getpid()
        self.starts[n] = time.monotonic_ns()
        self.runs[n] += 1

    def end(self, n: int) -> None:
        """A task ends."""
        self.ends[n] = time.monotonic_ns()


def board() -> Board:
    """The board of this run."""
    return Board(os.environ["BENCH_BOARD"])
