"""Receipts of any size, for scripts that count in doubles: they see the low bits, which in one consumer never repeat
in 2**52 tasks.
"""

from __future__ import annotations

from collections.abc import Sequence

from regiment.contracts import Back, Done, Settlement, Span, Taken

LARGEST = 2**52 - 1
"""Receipts are numbers of Lua in the scripts, which are doubles."""


def low_spans(first: int, last: int) -> list[Span]:
    """A span of receipts by their low bits: one span, or two where the low bits begin anew."""
    if last <= LARGEST or first >> 52 == last >> 52:
        return [(first & LARGEST, last & LARGEST)]
    return [(first & LARGEST, LARGEST), (0, last & LARGEST)]


def lowered(settlements: Sequence[Settlement]) -> list[Settlement]:
    """These settlements by the low bits of their receipts."""
    found: list[Settlement] = []
    for s in settlements:
        if isinstance(s, Done | Back):
            found += [type(s)(*span) for span in low_spans(s.first, s.last)]
        else:
            found.append(s._replace(receipt=s.receipt & LARGEST))
    return found


def raised(taken: Taken, base: int, limit: int) -> Taken:
    """The answer to an exchange from the low bits of `base` on, with its receipts in full."""
    start, low = base - (base & LARGEST), base & LARGEST

    def high(receipt: int) -> int:
        return start + receipt - (LARGEST + 1 if receipt > low + limit else 0)

    return taken._replace(
        lost=[high(receipt) for receipt in taken.lost],
        deliveries=[d._replace(receipt=high(d.receipt)) for d in taken.deliveries],
    )
