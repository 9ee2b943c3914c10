"""How large the fault rows are: `REGIMENT_FAULT_SCALE=full` for the soak, else the size of every commit."""

from __future__ import annotations

import os

FULL = os.environ.get("REGIMENT_FAULT_SCALE") == "full"
FIRST_SEED = int(os.environ.get("REGIMENT_FAULT_SEED", "1"))


def seeds(commit: int = 2, full: int = 20) -> list[int]:
    """The seeds of a row; they stand in the names of its tests, and `REGIMENT_FAULT_SEED` moves them."""
    return list(range(FIRST_SEED, FIRST_SEED + (full if FULL else commit)))


def size(commit: int, full: int) -> int:
    """A count at commit size and at full size."""
    return full if FULL else commit
