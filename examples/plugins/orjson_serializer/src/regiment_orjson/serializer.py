"""The serializer "orjson": plain data as JSON by orjson, with a mark on what JSON has no word for.

It began as `regiment plugins new serializer orjson`. orjson writes a tuple as a list and an infinite number as null, both in
silence, so every value is looked at before; what it cannot do at all (more than 64 bits, NaN) gets a mark.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

import orjson

from regiment.errors import DecodeError

DEPTH = 150
"""Levels of nesting; what is deeper is refused when it is pushed."""

MARK = "!"
"""{"!": ["set", …]} is a set."""

ELEMENTS = 1 << 20
"""Elements of one message: a few bytes of JSON can become many objects, so that its size does not bound its memory."""
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)


def _aware(value: datetime) -> str:
    if value.utcoffset() is None:
        raise ValueError(f"{value!r} has no time zone; add one (tzinfo=timezone.utc)")
    return value.isoformat()


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


MARKS: Mapping[type, tuple[str, Callable[[Any], Any]]] = {
    tuple: ("tuple", list),
    set: ("set", list),
    frozenset: ("frozenset", list),
    bytes: ("bytes", bytes.hex),
    datetime: ("datetime", _aware),
    date: ("date", date.isoformat),
    UUID: ("uuid", str),
    Decimal: ("decimal", str),
}
READ: Mapping[str, Callable[[Any], Any]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "bytes": bytes.fromhex,
    "datetime": _moment,
    "date": date.fromisoformat,
    "uuid": UUID,
    "decimal": Decimal,
    "dict": dict,
    "float": float,
    "int": lambda text: int(text, 16),
}


class OrjsonSerializer:
    """Plain data only, so that no message can run code here."""

    executes: ClassVar[bool] = False

    def dumps(self, value: Any) -> bytes:
        return _insist_on_few(orjson.dumps(_pack(value, 0)))

    def loads(self, data: bytes) -> Any:
        try:
            return _unpack(orjson.loads(_insist_on_few(data)))
        except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError) as error:
            raise DecodeError(f"orjson: {type(error).__name__}: {error}") from None


def _insist_on_few(data: bytes) -> bytes:
    """The message, if its elements are not too many: each has a mark before it or behind it. Both ways, so that what was pushed
    can be read.
    """
    if len(data) > ELEMENTS and sum(map(_TEXT.sub(b"", data).count, (b",", b"[", b"{"))) > ELEMENTS:
        raise ValueError(f"it has more than {ELEMENTS:,} elements; push where they are, or fewer at a time")
    return data


def _pack(value: Any, depth: int) -> Any:
    kind = type(value)
    if depth > DEPTH:
        raise ValueError(f"the value is nested more than {DEPTH} levels deep")
    if value is None or kind in (bool, str):
        return value
    if kind is float:
        return value if math.isfinite(value) else {MARK: ["float", str(value)]}
    if kind is int:
        return value if -(2**63) <= value < 2**64 else {MARK: ["int", hex(value)]}
    if kind is list:
        return [_pack(one, depth + 1) for one in value]
    if kind is dict:
        if all(type(key) is str and key != MARK for key in value):
            return {key: _pack(one, depth + 1) for key, one in value.items()}
        return {MARK: ["dict", [[_pack(k, depth + 1), _pack(v, depth + 1)] for k, v in value.items()]]}
    if kind in MARKS:
        mark, write = MARKS[kind]
        return {MARK: [mark, _pack(write(value), depth + 1)]}
    raise TypeError(f"{kind.__module__}.{kind.__qualname__} cannot be sent; expected plain data")


def _unpack(value: Any) -> Any:
    if type(value) is list:
        return [_unpack(one) for one in value]
    if type(value) is not dict:
        return value
    if value.keys() == {MARK}:
        mark, inner = value[MARK]
        return READ[mark](_unpack(inner))
    return {key: _unpack(one) for key, one in value.items()}
