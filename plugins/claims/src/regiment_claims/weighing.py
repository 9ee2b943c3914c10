"""Which arguments of a task are to be claims: the largest ones, until the rest fits."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

from regiment.codec import Codec
from regiment.errors import EncodeError
from regiment_claims.settings import LEAST
from regiment_claims.values import WHERE

_NUMBER, _OTHER = 9, 1 << 40
"""Bytes of the longest plain number; of what only its serializer can tell."""


def large(kwargs: Mapping[str, Any], above: int, codec: Codec) -> dict[str, bytes]:
    """The arguments that are to be elsewhere, as bytes: the largest ones, so that the rest has at most `above` bytes. Empty for
    nearly all tasks. One that no serializer takes is left to the codec of the message, which says where it is.

    `PayloadTooLarge` for one beyond the codec's limit.
    """
    most = {name: _at_most(value, above) for name, value in kwargs.items()}
    if sum(most.values()) <= above:
        return {}
    found: dict[str, bytes] = {}
    for name, bound in most.items():
        if bound >= LEAST:
            try:
                found[name] = codec.pack(kwargs[name], WHERE)
            except EncodeError:
                return {}
    rest = sum(len(found[name]) if name in found else bound for name, bound in most.items())
    chosen: dict[str, bytes] = {}
    for name in sorted(found, key=lambda one: len(found[one]), reverse=True):
        if rest <= above or len(found[name]) < LEAST:
            break
        chosen[name], rest = found[name], rest - len(found[name])
    return chosen


def _at_most(value: Any, above: int) -> int:
    """No fewer bytes than a serializer makes of plain data; it is counted only as far as it may be small."""
    kind = type(value)
    if kind is str:
        return 6 * len(value) + _NUMBER  # the longest escape of a character, in JSON
    if kind is bytes:
        return 2 * len(value) + _NUMBER
    if value is None or kind is bool or kind is float:
        return 25
    if kind is int:
        return _NUMBER + int(value.bit_length()) // 3
    if kind is not dict and kind is not list:
        return _OTHER
    total = _NUMBER
    for part in chain.from_iterable(value.items()) if kind is dict else value:
        total += _at_most(part, above)
        if total > above:
            break
    return total
