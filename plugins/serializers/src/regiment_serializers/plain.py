"""The type table: how the plain types that msgpack and JSON lack become text or bytes, and which types are refused.

Types are compared exactly. A subclass (an IntEnum, an OrderedDict, a named tuple) would silently come back as its base;
so it is refused, and the error says what to write instead.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from regiment.errors import DecodeError

TYPES = "None, bool, int, float, str, bytes, list, tuple, dict, set, frozenset, aware datetime, date, UUID, Decimal"
BASES = (bool, int, float, str, bytes, list, tuple, dict, set, frozenset, datetime, date, UUID, Decimal)


def datetime_text(value: datetime) -> str:
    """ISO 8601 with the offset; `ValueError` for a naive datetime or an offset in microseconds."""
    offset = value.utcoffset()
    if offset is None:
        raise ValueError(
            f"the datetime {value.isoformat()} has no time zone; only an aware datetime names one moment: "
            "datetime.now(timezone.utc), or .replace(tzinfo=…)"
        )
    if offset.microseconds:  # which fromisoformat would drop
        raise ValueError(f"the datetime {value.isoformat()} has an offset of a fraction of a second")
    return value.isoformat()


def int_bytes(value: int) -> bytes:
    """Big-endian two's complement, as short as possible."""
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def refuse(value: Any) -> TypeError:
    """The error for a value outside the table, with a remedy if there is one."""
    kind = type(value)
    if isinstance(value, Enum):
        hint = "pass its .value"
    elif kind in (bytearray, memoryview):
        hint = "pass bytes(…)"
    elif isinstance(value, BASES):
        base = next(base for base in BASES if isinstance(value, base))
        hint = f"it would come back as a plain {base.__name__}; pass {base.__name__}(…)"
        if base in (datetime, date):
            hint = f"it would come back as a plain {base.__name__}; convert it to one"
    else:
        hint = f"it takes {TYPES}"
    return TypeError(f"{kind.__name__} is not in the type table: {hint}")


def aware(text: str) -> datetime:
    """The datetime that `datetime_text` wrote."""
    value = datetime.fromisoformat(text)
    if value.tzinfo is None:
        raise DecodeError(f"the datetime {text!r} has no time zone")
    return value
