"""What the scripts answer, as records of the contract. The layout of an element: scripts/element.lua."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count, repeat
from operator import itemgetter
from struct import unpack_from
from typing import Any

from regiment.contracts import Delivery, Letter
from regiment_redis.tickets import without_ticket

_body = itemgetter(slice(10, None))
_new: Any = tuple.__new__


def deliveries(base: int, elements: Sequence[bytes], receipts: Sequence[Any], now: int) -> Sequence[Delivery]:
    """A batch; its receipts are `receipts[0]`, or else count from `base` on."""
    if receipts or max(elements)[0] > 15:
        # One of them is extended; bytes are compared by the first of them.
        named = receipts[0] if receipts else range(base, base + len(elements))
        return [delivery(receipt, element, now) for receipt, element in zip(named, elements, strict=True)]
    if len(elements) == 1:
        return (_new(Delivery, (base, elements[0][10:], 0, None, 0.0)),)
    # Ordinary ones, without a loop in Python.
    fields = zip(count(base), map(_body, elements), repeat(0), repeat(None), repeat(0.0), strict=False)
    return list(map(_new, repeat(Delivery), fields))


def delivery(receipt: int, element: bytes, now: int) -> Delivery:
    """One element as a delivery, whose parking is told at `now` (ms)."""
    if element[0] < 16:
        return Delivery(receipt, element[10:])
    if element[0] > 31:
        return delivery(receipt, without_ticket(element), now)
    count, high, low, note_size, id_size = unpack_from(">HHIIH", element, 10)
    start = 24 + note_size + id_size
    note = element[24 : 24 + note_size] if note_size else None
    since = high << 32 | low
    parked = max(now - since, 1) / 1000 if since else 0.0
    return Delivery(receipt, element[start:], count, note, parked)


def letters(found: list[list[Any]]) -> list[Letter]:
    return [_letter(row) for row in found]


def _letter(row: list[Any]) -> Letter:
    """One record; what cannot be read of it hides no other, and can be dropped by its id."""
    id, task_id, payload, reason, at, priority = row
    try:
        if type(payload) is not bytes or type(reason) is not bytes:
            raise TypeError("payload and reason are bytes")
        return Letter(name(id), name(task_id), payload, reason, int(at) / 1000, int(priority))
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        words = f"the record of this letter cannot be read: {type(error).__name__}: {str(error)[:80]}"
        reason_text = json.dumps({"kind": "unreadable", "error": words}).encode()
        kept = payload if isinstance(payload, bytes) else b""
        return Letter(name(id), name(task_id) if isinstance(task_id, bytes) else "", kept, reason_text, 0.0, 0)


def name(data: bytes) -> str:
    """A name as text that can be sent back as it came, also if it is no UTF-8."""
    return data.decode("utf-8", "surrogateescape")


def text(data: bytes) -> str:
    return data.decode(errors="replace")
