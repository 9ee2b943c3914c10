"""Tickets, rules and spots of the extra `flow` as the scripts read them (`scripts/flow.lua`, `scripts/keys.lua`)."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

from regiment.contracts.flow import Rule, Spot, Ticket, as_rule
from regiment_redis.asking import ms
from regiment_redis.wire import Part

PLAIN = b"0::"
"""The lane of tasks without a ticket."""
_UNTIL = ("done", "start")
_CLASH = ("keep", "replace", "later")
_KEY = struct.Struct(">B6s6sB6s6sBB")
_START = Ticket()


def lane_name(pool: str, lane: str) -> bytes:
    """The spot of a lane, which also begins the tickets of its tasks."""
    name = pool.encode("utf-8", "surrogateescape")
    return b"%d:%b:%b" % (len(name), name, lane.encode("utf-8", "surrogateescape"))


def spot_name(spot: Spot) -> bytes:
    """A spot as the scripts name it."""
    pool, lane = spot
    if lane:
        return lane_name(pool, lane)
    return lane_name(pool, "")[:-1] if pool else b""


def spot_of(name: bytes) -> Spot:
    """The spot that the scripts name so."""
    if not name:
        return "", ""
    size, _, rest = name.partition(b":")
    pool, lane = rest[: int(size)], rest[int(size) + 1 :]
    return pool.decode("utf-8", "surrogateescape"), lane.decode("utf-8", "surrogateescape")


def rest_of(ticket: Ticket) -> bytes:
    """What stands behind the lane in a ticket; number and time of the push are the server's."""
    id = ticket.id.encode("utf-8", "surrogateescape")
    if not ticket.unique and ticket[3:6] == _START[3:6]:
        return b"\0" + id if id else b""
    kind = 2 if ticket.until not in _UNTIL else _UNTIL.index(ticket.until)
    time = max(ms(float(ticket.until)), 1) if kind == 2 else 0
    key = ticket.unique.encode("utf-8", "surrogateescape")
    first = 1 if key else 2
    longest, clash = ms(ticket.longest).to_bytes(6), _CLASH.index(ticket.clash)
    return _KEY.pack(first, b"", b"", kind, time.to_bytes(6), longest, clash, len(key)) + key + id


def ticket_of(element: bytes) -> Ticket | None:
    """The ticket of a task as it is stored; None if it has none."""
    if not element[0] & 32:
        return None
    size = element[10]
    pool, lane = spot_of(element[11 : 11 + size])
    rest = element[13 + size : 13 + size + int.from_bytes(element[11 + size : 13 + size])]
    if not rest or rest[0] == 0:
        return Ticket(pool, lane, id=rest[1:].decode("utf-8", "surrogateescape"))
    _, _, _, kind, time, longest, clash, many = _KEY.unpack_from(rest)
    key, id = rest[_KEY.size : _KEY.size + many], rest[_KEY.size + many :]
    until: Any = int.from_bytes(time) / 1000 if kind == 2 else _UNTIL[kind]
    far: Any = _CLASH[clash]
    words = [word.decode("utf-8", "surrogateescape") for word in (key, id)]
    return Ticket(pool, lane, words[0], until, far, int.from_bytes(longest) / 1000, words[1])


def lane_of(element: bytes) -> bytes:
    """The lane of a task as it is stored, in the words of the scripts; empty if it is the plain one."""
    if not element[0] & 32:
        return b""
    found = element[11 : 11 + element[10]]
    return b"" if found == PLAIN else found


def without_ticket(element: bytes) -> bytes:
    """A task as one without a ticket is stored."""
    if element[0] < 32:
        return element
    size = element[10]
    end = 13 + size + int.from_bytes(element[11 + size : 13 + size])
    return bytes((element[0] & 31,)) + element[1:10] + element[end:]


def charged(payloads: Sequence[bytes], tickets: Sequence[Ticket], ids: Sequence[str] | None) -> list[Part]:
    """Payloads with their tickets as the arguments of a script."""
    parts: list[Part] = []
    for number, (payload, ticket) in enumerate(zip(payloads, tickets, strict=True)):
        parts += (ids[number] if ids else "", lane_name(ticket.pool, ticket.lane), rest_of(ticket), payload)
    return parts


def rule_texts(rule: Rule, by: str) -> tuple[bytes, bytes]:
    """A rule as it is told, and as it is kept."""
    told = json.dumps([rule, by]).encode()
    return told, _packed(rule)


def rule_of(told: bytes) -> tuple[Rule, str]:
    """A rule that was told so, and who made it."""
    whole, by = json.loads(told)
    return as_rule(whole), by


def _packed(rule: Rule) -> bytes:
    """A list as `cmsgpack.unpack` reads it."""
    each = rule.rate[1] * 1e6 / rule.rate[0] if rule.rate is not None else 0.0
    numbers = (rule.at_once or 0, each, rule.burst, rule.weight, rule.waiting or 0)
    lanes = b"\xc2" if rule.lanes is None else _packed(rule.lanes)
    return b"\x96" + b"".join(b"\xcb" + struct.pack(">d", number) for number in numbers) + lanes
