"""JSON, readable anywhere: a type that JSON lacks travels as an object with one key that starts with "!".

A user's own dict that looks like such a tag, or has keys other than strings, travels as `{"!dict": [[key, value], …]}`.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from regiment.errors import DecodeError
from regiment_serializers.budget import (
    ELEMENTS,
    insist_on_keys,
    key_problem,
    most_elements,
    too_many,
)
from regiment_serializers.plain import aware, datetime_text, refuse

_NESTED = 100
_PARTS = (b",", b"[", b"{")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_SAFE = 2**53
"""Readers that know only floats lose digits of integers beyond this, so these travel in hexadecimal."""


class JsonSerializer:
    """Plain data as UTF-8 JSON. It writes no NaN literals, so every JSON parser can read it."""

    executes: ClassVar[bool] = False

    def dumps(self, value: Any) -> bytes:
        text = _encoder.encode(_tagged(value, 0))
        data = text.encode()  # a lone surrogate is a UnicodeEncodeError, which is a ValueError
        if len(data) > ELEMENTS and (problem := _size_problem(data)):
            raise ValueError(f"{problem}; push where they are, or fewer at a time")
        return data

    def loads(self, data: bytes) -> Any:
        try:
            if len(data) > ELEMENTS and (problem := _size_problem(data)):
                raise DecodeError(f"the message {problem}; it was not read")
            return _decoder.decode(data.decode())
        except DecodeError:
            raise
        except Exception as error:
            raise DecodeError(f"not readable as JSON: {type(error).__name__}: {error}"[:300]) from error


def _tagged(value: Any, level: int) -> Any:
    """`value` in the types of JSON, with a tag on every other type."""
    kind = type(value)
    if value is None or kind is str or kind is bool:
        return value
    if kind is int:
        return value if -_SAFE <= value <= _SAFE else {"!int": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"!float": repr(value)}
    if level > _NESTED:
        raise ValueError(f"nested more than {_NESTED} deep, or contains itself")
    level += 1
    if kind is list:
        return [_tagged(item, level) for item in value]
    if kind is dict:
        if all(type(key) is str for key in value) and not _looks_like_a_tag(value):
            return {key: _tagged(item, level) for key, item in value.items()}
        if problem := key_problem(value):
            raise ValueError(problem)
        return {"!dict": [[_tagged(k, level), _tagged(v, level)] for k, v in value.items()]}
    if kind in (tuple, set, frozenset):
        return {f"!{kind.__name__}": [_tagged(item, level) for item in value]}
    if kind is bytes:
        return {"!bytes": base64.b64encode(value).decode()}
    if kind is datetime:
        return {"!datetime": datetime_text(value)}
    if kind is date:
        return {"!date": value.isoformat()}
    if kind is UUID:
        return {"!uuid": str(value)}
    if kind is Decimal:
        return {"!decimal": str(value)}
    raise refuse(value)


def _looks_like_a_tag(value: dict[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)).startswith("!")


def _untagged(value: dict[str, Any]) -> Any:
    if not _looks_like_a_tag(value):
        return value
    ((tag, inner),) = value.items()
    make, expected = _MAKE.get(tag, (None, None))
    if make is None or expected is None:
        raise DecodeError(f"JSON tag {tag!r} is unknown to this release; it knows {', '.join(_MAKE)}")
    if type(inner) is not expected:
        raise DecodeError(f"JSON tag {tag!r} holds a {type(inner).__name__}, not a {expected.__name__}")
    return make(inner)


def _size_problem(data: bytes) -> str | None:
    """True if a message has more elements than it may, counted by the marks that open and separate them."""
    most = most_elements(len(data))
    if sum(map(data.count, _PARTS)) <= most:
        return None
    bare = _STRING.sub(b"", data)  # text may contain such marks
    return too_many(most) if sum(map(bare.count, _PARTS)) > most else None


def _dict(pairs: list[Any]) -> dict[Any, Any]:
    keys = [key for key, _ in pairs]
    problem = key_problem(keys)
    if problem:
        raise DecodeError(f"not readable as JSON: {problem}")
    insist_on_keys(keys)
    return dict(zip(keys, (value for _, value in pairs), strict=True))


def _set(items: list[Any]) -> set[Any]:
    insist_on_keys(items)
    return set(items)


def _no_literal(name: str) -> Any:
    raise DecodeError(f"{name} is not JSON")


_MAKE: dict[str, tuple[Callable[[Any], Any], type]] = {
    "!int": (lambda text: int(text, 16), str),
    "!float": (float, str),
    "!bytes": (lambda text: base64.b64decode(text, validate=True), str),
    "!tuple": (tuple, list),
    "!set": (_set, list),
    "!frozenset": (lambda items: frozenset(_set(items)), list),
    "!dict": (_dict, list),
    "!datetime": (aware, str),
    "!date": (date.fromisoformat, str),
    "!uuid": (UUID, str),
    "!decimal": (Decimal, str),
}
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_decoder = json.JSONDecoder(object_hook=_untagged, parse_constant=_no_literal)
