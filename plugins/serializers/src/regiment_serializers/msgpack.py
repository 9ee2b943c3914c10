"""msgpack, strict: a type that msgpack lacks travels as an extension type; a value that would change is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

import msgpack

from regiment.errors import DecodeError
from regiment_serializers.budget import (
    COLLECTIONS,
    ELEMENTS,
    Budget,
    insist_on_budget,
    insist_on_keys,
    key_problem,
    most_elements,
)
from regiment_serializers.plain import aware, datetime_text, int_bytes, refuse

# Codes of the extension types. They are on the wire: a code never changes its meaning.
TUPLE, SET, FROZENSET, DATETIME, DATE, UUID_, DECIMAL, INT = range(1, 9)

# msgpack packs a bytearray like bytes and lets a user's ExtType pass for one of ours, and asks nobody. Both start
# with one of these bytes, so only a message that has one (often by chance, in a float) is looked through.
_MARKERS = bytes([*range(0xC4, 0xCA), *range(0xD4, 0xD9)])
_SCALARS = frozenset([type(None), bool, int, float, str, bytes, datetime, date, UUID, Decimal])
_NESTED = 32
"""Levels of extension types inside each other. Reading one takes some 40 kB of the thread's stack, so that a few
hundred, in a hostile message, would end the process; the limit holds for both directions."""
_CARELESS = 4096
"""A body of at most this size is not counted: it becomes at most 300 KiB and has no 400 keys that hash alike."""
_INNER = 1024
"""In a larger body, a tuple or set of more bytes is checked closely."""
_RESTORED = 400
"""Extension types that are read before a larger body is checked closely; only they can be made to hash alike."""
_FEW = ELEMENTS // 2
"""A body of so few bytes cannot have too many elements (an empty list in a list is one byte and counts twice). Nor is a
Packer used again that has packed more: it never gives back its buffer."""
_OPENING = bytes([*range(0x80, 0xA0), *range(0xC7, 0xCA), *range(0xD4, 0xD9), *range(0xDC, 0xE0)])
"""The bytes with which a collection begins."""


class _Packer(msgpack.Packer):  # type: ignore[misc]
    """A `default` with the list in which it notes an integer beyond 64 bits."""

    large: list[bool]


def _packer() -> _Packer:
    large: list[bool] = []
    made = _Packer(strict_types=True, default=_extend(1, large))
    made.large = large
    return made


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
            packer = _packer()
        try:
            # One level deeper than need be (and without that level's one byte): msgpack packs one level more than
            # it can unpack.
            data: bytes = packer.pack([value])[1:]
            if len(data.translate(None, _MARKERS)) != len(data):
                _look_through(value, bool(packer.large))
                packer.large.clear()
        except RecursionError:
            raise ValueError("nested too deeply, or contains itself") from None
        if len(data) < _FEW:
            self._pool.append(packer)
        elif type(value) in COLLECTIONS:
            collections = len(data) - len(data.translate(None, _OPENING))
            if len(data) + collections > ELEMENTS:
                insist_on_budget(value, len(data))
        return data

    def loads(self, data: bytes) -> Any:
        try:
            if len(data) <= _CARELESS:
                return msgpack.unpackb(data, strict_map_key=False, ext_hook=_HOOKS[0])
            if len(data) < _FEW:
                return msgpack.unpackb(data, strict_map_key=False, ext_hook=_Patient())
        except _LookCloser:
            pass
        except DecodeError:
            raise
        except Exception as error:
            raise _unreadable(error) from error
        try:
            return _with_care(data)
        except DecodeError:
            raise
        except Exception as error:
            raise _unreadable(error) from error


class _LookCloser(Exception):
    """The message needs a second, careful reading."""


class _Patient:
    """A hook for extension types that stops when there are many."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = _RESTORED

    def __call__(self, code: int, data: bytes) -> Any:
        self._left -= 1
        if self._left < 0 or len(data) > _INNER:
            raise _LookCloser
        return _restore(1, code, data)


def _with_care(data: bytes) -> Any:
    try:
        return _Careful(len(data), strict=True).unpack(data, 0)
    except _LookCloser:
        return _Careful(len(data), strict=False).unpack(data, 0)


class _Careful:
    """Reads one message and counts its elements; checks keys before it builds a dict or a set from them.

    With `strict`, dicts have only text and bytes as keys. Nobody can choose their hashes, so dicts need no check.
    """

    def __init__(self, size: int, *, strict: bool) -> None:
        self._budget = Budget(size)
        self._strict = strict
        self._options: dict[str, Any] = {
            "strict_map_key": strict,
            "list_hook": self._count,
            "max_array_len": most_elements(size),
            "max_map_len": most_elements(size),
            "object_hook" if strict else "object_pairs_hook": self._count if strict else self._dict,
        }

    def unpack(self, data: bytes, level: int) -> Any:
        try:
            return msgpack.unpackb(data, ext_hook=partial(self._restore, level), **self._options)
        except DecodeError:
            raise
        except ValueError:
            if self._strict:
                raise _LookCloser from None
            raise

    def _count(self, items: Any) -> Any:
        self._budget.spend(len(items))
        return items

    def _dict(self, pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
        self._budget.spend(len(pairs))
        keys = [key for key, _ in pairs]
        problem = key_problem(keys)
        if problem:
            raise DecodeError(f"not readable as msgpack: {problem}")
        insist_on_keys(keys)
        return dict(pairs)

    def _restore(self, level: int, code: int, data: bytes) -> Any:
        kind = _COLLECTIONS.get(code)
        if kind is None:
            return _of_text(code, data)
        items = _a_list(level + 1, lambda: self.unpack(data, level + 1))
        if kind is not tuple:
            insist_on_keys(items)
        return kind(items)


def _extend(level: int, large: list[bool]) -> Callable[[Any], msgpack.ExtType]:
    """A `default` for Packers of this level; it receives values for which msgpack has no exact type."""

    def pack(code: int, items: list[Any]) -> msgpack.ExtType:
        if level > _NESTED:
            raise ValueError(f"tuples and sets are nested more than {_NESTED} deep")
        inner = msgpack.Packer(strict_types=True, default=_extend(level + 1, large))
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
            large.append(True)
            return msgpack.ExtType(INT, int_bytes(value))
        raise refuse(value)

    return default


def _look_through(value: Any, large: bool) -> None:
    """Refuse values that msgpack took without asking: bytearray, memoryview, its own ExtType and Timestamp; and, if
    there are `large` integers, those that are keys.
    """
    kind = type(value)
    if kind in _SCALARS:
        return
    if kind is dict:
        if large and (problem := key_problem(value)):
            raise ValueError(problem)
        if not _SCALARS.issuperset(map(type, value)):
            for key in value:
                _look_through(key, large)
        value = value.values()
    elif kind not in (list, tuple, set, frozenset):
        raise refuse(value)
    if not _SCALARS.issuperset(map(type, value)):
        for item in value:
            _look_through(item, large)


def _restore(level: int, code: int, data: bytes) -> Any:
    kind = _COLLECTIONS.get(code)
    if kind is not None:
        return kind(
            _a_list(
                level,
                lambda: msgpack.unpackb(data, strict_map_key=False, ext_hook=_HOOKS[level]),
            )
        )
    if code == INT:
        raise _LookCloser
    return _of_text(code, data)


def _of_text(code: int, data: bytes) -> Any:
    make = _TEXTS.get(code)
    if make is None:
        raise DecodeError(f"msgpack extension type {code} is unknown to this release; it knows 1 to {INT}")
    try:
        return make(data)
    except DecodeError:
        raise
    except Exception as error:
        raise _unreadable(error) from error


def _a_list(level: int, unpack: Callable[[], Any]) -> list[Any]:
    """The value inside a tuple or set of this level."""
    if level > _NESTED:
        raise DecodeError(f"tuples and sets are nested more than {_NESTED} deep")
    items = unpack()
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
