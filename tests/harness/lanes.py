"""Tests that run beside each other, and those that must not: what starts more processes than the machine has processors for
takes the time from every test beside it, and its own bounds in seconds mean nothing beside them.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def lane(folder: Path, alone: bool) -> Iterator[None]:
    """Run beside those who asked for the same in this folder, or `alone`. Who waits to be alone lets nobody in before him."""
    with open(folder / "lanes", "w") as room:
        with open(folder / "door", "w") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
