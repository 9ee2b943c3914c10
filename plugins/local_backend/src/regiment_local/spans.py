"""What a consumer holds, as spans: runs of receipts that stand for runs of task ids.

A batch taken from one lane is a single span, so leasing and settling a thousand tasks writes one short text and not
a thousand rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

Held = tuple[int, int, int]
"""First receipt, first task id, how many: receipt `r + k` stands for task `id + k`."""


def parse(text: str) -> list[Held]:
    """Spans from their stored text."""
    if not text:
        return []
    numbers = list(map(int, text.split(",")))
    return list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True))


def write(held: Iterable[Held]) -> str:
    """The text to store."""
    return ",".join(map(str, chain.from_iterable(held)))


def cut(held: Sequence[Held], first: int, last: int) -> tuple[list[Held], list[Held]]:
    """What of `held` lies in the receipts `first` to `last`, and what does not; both in order."""
    inside: list[Held] = []
    outside: list[Held] = []
    for span in held:
        receipt, id, length = span
        end = receipt + length - 1
        if end < first or receipt > last:
            outside.append(span)
        elif first <= receipt and end <= last:
            inside.append(span)
        else:
            low, high = max(first, receipt), min(last, end)
            if receipt < low:
                outside.append((receipt, id, low - receipt))
            inside.append((low, id + low - receipt, high - low + 1))
            if high < end:
                outside.append((high + 1, id + high + 1 - receipt, end - high))
    return inside, outside


def missing(inside: Iterable[Held], first: int, last: int) -> list[int]:
    """The receipts from `first` to `last` that `inside`, cut from them, does not have."""
    found: list[int] = []
    for receipt, _, length in inside:
        found.extend(range(first, receipt))
        first = receipt + length
    found.extend(range(first, last + 1))
    return found


def add(held: list[Held], receipt: int, id: int, length: int = 1) -> None:
    """Append to `held`, joining the last span where both receipts and ids go on."""
    if held:
        start, base, before = held[-1]
        if start + before == receipt and base + before == id:
            held[-1] = (start, base, before + length)
            return
    held.append((receipt, id, length))


def singles(held: Iterable[Held]) -> Iterable[tuple[int, int]]:
    """Each receipt with its task id."""
    for receipt, id, length in held:
        for step in range(length):
            yield receipt + step, id + step


def size(held: Iterable[Held]) -> int:
    """How many tasks the spans hold."""
    return sum(length for _, _, length in held)
