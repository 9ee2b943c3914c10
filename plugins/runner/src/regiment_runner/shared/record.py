"""A record of an attempt's effects, as bytes: written by its worker with `marshal`, read by the keeper without it.

A task can write anything on its worker's page, and `marshal` is not made for that: so the keeper reads the few kinds of value
that a record has by itself, and believes nothing. Version 2 of the format has not changed since Python 2.5.
"""

from __future__ import annotations

import marshal
import struct
from collections.abc import Callable, Sequence
from typing import Any

from regiment.contracts.effects import MOST_MEMBERS, Arrive, Drop, Effect, Join, Keep, Seal, Send, Shut
from regiment.contracts.flow import LONGEST_NAME, Ticket

KINDS: tuple[type[Any], ...] = (Keep, Send, Join, Arrive, Seal, Shut, Drop)
"""The kinds of effects; the place of one here is its number in a record."""
_NUMBER = {kind: number for number, kind in enumerate(KINDS)}
_DEPTH = 6
"""How deep values may lie in one another: a join with its `then`, whose sends have payloads."""
_LARGEST = (1 << 53) - 1


def _text(value: object) -> bool:
    if type(value) is not str:
        return False
    try:
        value.encode()
    except UnicodeError:
        return False
    return True


def _bytes(value: object) -> bool:
    return type(value) is bytes


def _whole(value: object) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST


def _seconds(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value < float("inf")  # type: ignore[operator]


def _or_none(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or check(value)


def _each(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: type(value) in (tuple, list) and all(map(check, value))  # type: ignore[call-overload]


def _then(value: object) -> bool:
    return _each(lambda one: type(one) in (Keep, Send, Arrive))(value)


def _name(value: object) -> bool:
    return _text(value) and len(value.encode()) <= LONGEST_NAME  # type: ignore[attr-defined]


def _ticket(value: object) -> bool:
    if type(value) is not Ticket:
        return False
    pool, lane, unique, until, clash, longest, id = value
    return (
        all(map(_name, (pool, lane, unique)))
        and (until in ("done", "start") or _seconds(until))
        and clash in ("keep", "replace", "later")
        and _seconds(longest)
        and _text(id)
    )


def _member(value: object) -> bool:
    return _members(value) and value != MOST_MEMBERS


def _members(value: object) -> bool:
    return _whole(value) and value <= MOST_MEMBERS  # type: ignore[operator]


_FIELDS: dict[type[Any], tuple[Callable[[object], bool], ...]] = {
    Keep: (_text, _bytes, _or_none(_seconds), _whole, lambda value: type(value) is bool, _or_none(_text)),
    Send: (
        *(_text, _each(_bytes), lambda value: _whole(value) and value <= 2, _seconds),
        *(_or_none(_seconds), _or_none(_each(_text)), _seconds, _or_none(_each(_ticket))),
    ),
    Join: (_text, _text, _or_none(_members), _then, _seconds),
    Arrive: (_text, _text, _member),
    Seal: (_text, _text, _members),
    Shut: (_text, _text, _seconds),
    Drop: (_each(_text), _or_none(_text)),
}


def refusal(effect: object) -> str:
    """What is wrong with an effect, in words; empty if a store can be told of it."""
    kind = type(effect)
    if kind not in _NUMBER:
        return f"{kind.__name__} is no effect; expected one of {', '.join(one.__name__ for one in KINDS)}"
    for name, check, value in zip(kind._fields, _FIELDS[kind], effect, strict=True):  # type: ignore[call-overload]
        if not check(value):
            return f"{name} of {kind.__name__} is {repr(value)[:60]}, which no store can take"
    for named in ("ids", "tickets") if kind is Send else ():
        many = getattr(effect, named)
        if many is not None and len(many) != len(effect.payloads):  # type: ignore[attr-defined]
            return f"Send has {named}, and not one for each payload"
    if kind is Join:
        return next(filter(None, map(refusal, effect.then)), "")  # type: ignore[attr-defined]
    return ""


def packed(effects: Sequence[Effect]) -> bytes:
    """The bytes of these effects; `TypeError` for what is no effect, or one that no store could take."""
    return marshal.dumps([_plain(effect) for effect in effects], 2)


def _plain(effect: Any) -> tuple[Any, ...]:
    if type(effect) is Keep:  # what most are: the check that costs least
        key, value, ttl, rank, listed, queue = effect
        if (
            type(key) is str
            and key.isascii()
            and type(value) is bytes
            and type(ttl) is float
            and 0.0 <= ttl < _LARGEST
            and type(rank) is int
            and 0 <= rank <= _LARGEST
            and type(listed) is bool
            and queue is None
        ):
            return (0, key, value, ttl, rank, listed, None)
    if problem := refusal(effect):
        raise TypeError(problem)
    if type(effect) is Join:
        return (_NUMBER[Join], *effect[:3], [_plain(one) for one in effect.then], effect.ttl)
    if type(effect) is Send:  # without tickets it ends where it ended before there were any
        return (_NUMBER[Send], *effect[:7], *([list(map(tuple, effect.tickets))] if effect.tickets else []))
    return (_NUMBER[type(effect)], *effect)


def unpacked(data: bytes) -> tuple[Effect, ...]:
    """The effects of a record; `ValueError` for anything that `packed` has not made."""
    try:
        found, end = _value(data, 0, _DEPTH)
        if end != len(data) or type(found) is not list:
            raise ValueError("it ends elsewhere")
        effects = tuple(map(_effect, found))
    except (struct.error, IndexError, TypeError, UnicodeError, OverflowError) as error:
        raise ValueError(str(error)) from None
    if problem := next(filter(None, map(refusal, effects)), ""):
        raise ValueError(problem)
    return effects


def _effect(plain: Any) -> Effect:
    if type(plain) is not tuple or type(plain[0]) is not int or not 0 <= plain[0] < len(KINDS):
        raise ValueError("no effect")
    made: Effect = KINDS[plain[0]](*plain[1:])
    if type(made) is Send and made.tickets:
        return made._replace(tickets=[Ticket(*one) for one in made.tickets])
    if type(made) is Join:
        return made._replace(then=[_effect(one) for one in made.then])  # type: ignore[misc]
    return made


def _value(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    """The value that begins at `at`, and where it ends."""
    kind, at = data[at], at + 1
    if kind in _CONSTANTS:
        return _CONSTANTS[kind], at
    if kind == _FLOAT:
        return _DOUBLE(data, at)[0], at + 8
    (number,), at = _INT(data, at), at + 4
    if kind == _SMALL:
        return number, at
    if kind == _LONG:
        return _long(data, number, at)
    if not 0 <= number <= len(data) - at:  # every item has a byte at least
        raise ValueError("it is longer than its record")
    if kind in (_TUPLE, _LIST) and depth:
        items = []
        for _ in range(number):
            item, at = _value(data, at, depth - 1)
            items.append(item)
        return (tuple(items) if kind == _TUPLE else items), at
    if kind == _STRING:
        return data[at : at + number].decode(errors="surrogatepass"), at + number
    if kind == _BYTES:
        return data[at : at + number], at + number
    raise ValueError(f"it has a value of kind {kind}")


def _long(data: bytes, digits: int, at: int) -> tuple[int, int]:
    """A number of more than 32 bits: digits of 15 bits, the lowest first."""
    if not 0 < digits <= 5:
        raise ValueError("it has a number that is too large")
    parts = struct.unpack_from(f"<{digits}H", data, at)
    return sum(part << 15 * place for place, part in enumerate(parts)), at + 2 * digits


_CONSTANTS = {ord("N"): None, ord("T"): True, ord("F"): False}
_FLOAT, _SMALL, _LONG, _TUPLE, _LIST, _STRING, _BYTES = b"gil([us"
_INT, _DOUBLE = struct.Struct("<i").unpack_from, struct.Struct("<d").unpack_from
