"""Chance against a reader of what others wrote: as many tries as FUZZ seconds have room for (3), each with a seed of its own.

A try that fails says its seed; FUZZ_SEED=… makes that try again, and no other.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

SECONDS = float(os.environ.get("FUZZ", "3"))
LONGEST = 5.0
"""Seconds that one try may take on a busy machine; what never ends is found by it."""


def tries(attempt: Callable[[random.Random], object], least: int = 20) -> None:
    """Try until the time is over, and at least so often."""
    given = os.environ.get("FUZZ_SEED")
    first, many = int(given) if given else random.SystemRandom().getrandbits(48), 0
    until = time.monotonic() + SECONDS
    while not many or (given is None and (many < least or time.monotonic() < until)):
        seed, began = first + many, time.monotonic()
        try:
            attempt(random.Random(seed))
            took = time.monotonic() - began
            assert took < LONGEST, f"it took {took:.1f} s"
        except Exception as error:
            error.add_note(f"try number {many + 1}; again with FUZZ_SEED={seed}")
            raise
        many += 1


def spoiled(chance: random.Random, data: bytes) -> bytes:
    """`data` with a few changes: bits, bytes, cuts, repeats, extremes; now and then none."""
    found = bytearray(data)
    for _ in range(chance.choice((0, 1, 1, 2, 4, 16))):
        at = chance.randrange(len(found) + 1)
        match chance.randrange(6):
            case 0 if at < len(found):
                found[at] ^= 1 << chance.randrange(8)
            case 1:
                found[at : at + chance.randrange(1, 5)] = chance.randbytes(chance.randrange(5))
            case 2:
                del found[at:]
            case 3:
                found[at:at] = found[: chance.randrange(64)]
            case 4:
                found[at : at + 4] = chance.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"))
            case _:
                del found[at : at + chance.randrange(1, 16)]
    return bytes(found)
