"""msgpack, strict: what it lacks travels as extension types, and what would change in silence is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

import msgpack

from regiment.errors import DecodeError
from regiment_serializers.plain import aware, datetime_text, int_bytes, refuse

# Codes of the extension types. They are on the wire: a code never gets another meaning.
TUPLE, SET, FROZENSET, DATETIME, DATE, UUID_, DECIMAL, INT = range(1, 9)

# msgpack packs a bytearray like bytes and lets a user's ExtType pass for one of ours, and asks nobody. Both start
# with one of these bytes, so only a message that has one (often by chance, in a float) is looked through.
_MARKERS = bytes([*range(0xC4, 0xCA), *range(0xD4, 0xD9)])
_SCALARS = frozenset([type(None), bool, int, float, str, bytes, datetime, date, UUID, Decimal])
_NESTED = 32
"""Levels of extension types inside each other. Reading one takes some 40 kB of the thread's stack, so that a few
hundred, in a hostile message, would end the process; the limit holds for both directions."""
_KEPT = 1 << 20
"""A Packer never gives back its buffer; one that has packed more bytes than this is not used again."""


class MsgpackSerializer:
    """Plain data as msgpack. Safe in any thread, in signal handlers, and after a fork."""

    executes: ClassVar[bool] = False

    def __init__(self) -> None:
        # A Packer is costly to make and not safe to share: each call takes one out of the pool and puts it back,
        # one that was interrupted is left to the garbage collector. One pool per level of extension types.
        self._pool: list[Any] = []

    def dumps(self, value: Any) -> bytes:
        try:
            packer = self._pool.pop()
        except IndexError:
            packer = msgpack.Packer(strict_types=True, default=_extend(1))
        try:
            # One level deeper than need be (and without that level's one byte): msgpack packs one level more than
            # it can unpack.
            data: bytes = packer.pack([value])[1:]
            if len(data.translate(None, _MARKERS)) != len(data):
                _look_through(value)
        except RecursionError:
            raise ValueError("nested too deeply, or contains itself") from None
        if len(data) < _KEPT:
            self._pool.append(packer)
        return data

    def loads(self, data: bytes) -> Any:
        try:
            return msgpack.unpackb(data, strict_map_key=False, ext_hook=_HOOKS[0])
        except DecodeError:
            raise
        except Exception as error:
            raise _unreadable(error) from error


def _extend(level: int) -> Callable[[Any], msgpack.ExtType]:
    """A `default` for Packers of this level; it gets what msgpack has no exact type for."""

    def pack(code: int, items: list[Any]) -> msgpack.ExtType:
        if level > _NESTED:
            raise ValueError(f"tuples and sets are nested more than {_NESTED} deep")
        inner = msgpack.Packer(strict_types=True, default=_extend(level + 1))
        return msgpack.ExtType(code, inner.pack([items])[1:])

    def default(value: Any) -> msgpack.ExtType:
        kind = type(value)
        if kind is tuple:
            return pack(TUPLE, list(value))
        if kind is datetime:
            return msgpack.ExtType(DATETIME, datetime_text(value).encode())
        if kind is UUID:
            return msgpack.ExtType(UUID_, value.bytes)
        if kind is Decimal:
            return msgpack.ExtType(DECIMAL, str(value).encode())
        if kind is date:
            return msgpack.ExtType(DATE, value.isoformat().encode())
        if kind is set:
            return pack(SET, list(value))
        if kind is frozenset:
            return pack(FROZENSET, list(value))
        if kind is int:  # beyond 64 bits
            return msgpack.ExtType(INT, int_bytes(value))
        raise refuse(value)

    return default


def _look_through(value: Any) -> None:
    """Refuse what msgpack took without asking: bytearray, memoryview and its own ExtType and Timestamp."""
    kind = type(value)
    if kind in _SCALARS:
        return
    if kind is dict:
        if not _SCALARS.issuperset(map(type, value)):
            for key in value:
                _look_through(key)
        value = value.values()
    elif kind not in (list, tuple, set, frozenset):
        raise refuse(value)
    if not _SCALARS.issuperset(map(type, value)):
        for item in value:
            _look_through(item)


def _restore(level: int, code: int, data: bytes) -> Any:
    kind = _COLLECTIONS.get(code)
    if kind is not None:
        return kind(_items(level, data))
    make = _TEXTS.get(code)
    if make is None:
        raise DecodeError(f"msgpack extension type {code} is unknown to this release; it knows 1 to {INT}")
    try:
        return make(data)
    except DecodeError:
        raise
    except Exception as error:
        raise _unreadable(error) from error


def _items(level: int, data: bytes) -> list[Any]:
    if level > _NESTED:
        raise DecodeError(f"tuples and sets are nested more than {_NESTED} deep")
    items = msgpack.unpackb(data, strict_map_key=False, ext_hook=_HOOKS[level])
    if type(items) is not list:
        raise DecodeError(f"a msgpack tuple or set holds a {type(items).__name__}; expected a list")
    return items


def _unreadable(error: Exception) -> DecodeError:
    return DecodeError(f"not readable as msgpack: {type(error).__name__}: {error}"[:300])


_COLLECTIONS: dict[int, Callable[[list[Any]], Any]] = {TUPLE: tuple, SET: set, FROZENSET: frozenset}
_TEXTS: dict[int, Callable[[bytes], Any]] = {
    DATETIME: lambda data: aware(data.decode()),
    DATE: lambda data: date.fromisoformat(data.decode()),
    UUID_: lambda data: UUID(bytes=data),
    DECIMAL: lambda data: Decimal(data.decode()),
    INT: lambda data: int.from_bytes(data, "big", signed=True),
}
_HOOKS = [partial(_restore, level) for level in range(1, _NESTED + 2)]
"""The hook for the extension types at each level."""
