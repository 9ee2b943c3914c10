"""Looks through a queue of one Redis, task by task: the verb `look` of the extra `steer`.

The server goes through at most `STEP` tasks, or a few MiB, at a time, and sends those that hold what is looked for. A cursor names
the last task gone through by what orders its list, and where that was: so it also holds where tasks come and go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal
from zlib import crc32

from regiment.contracts.steer import LOOKED_AT, STEP, Glance, Seen
from regiment_redis.records import delivery, name
from regiment_redis.scripts import Script
from regiment_redis.tickets import lane_of
from regiment_redis.wire import Part

_READY, _DELAYED, _LEASED = (Script(f"look_{state}") for state in ("ready", "delayed", "leased"))
_LEASES, _HELD = Script("leases"), Script("held")

State = Literal["ready", "delayed", "leased"]


class Look:
    """One call, which goes through `most` tasks. `run` calls a script, `stem` begins the keys of the queue."""

    def __init__(self, run: Callable[..., Any], stem: str, limit: int, holding: bytes, most: int = LOOKED_AT) -> None:
        self._run, self._stem, self._limit, self._holding, self._most = run, stem, max(limit, 0), holding, most
        self._mark = mark(stem)
        self._found: list[Seen] = []
        self.elements: list[bytes] = []
        """What was found, as it is stored."""
        self.gone = 0
        """Tasks that it went through."""

    def through(self, state: State, after: str | None) -> Glance:
        """Go through the tasks of a state, from behind a cursor on; the answer of the verb."""
        if state not in ("ready", "delayed", "leased"):
            raise ValueError(f'state is {state!r}; expected "ready", "delayed" or "leased"')
        try:
            first, second, third = _parts(state, after)
            behind = bytes.fromhex(second) if state != "leased" else second.encode("utf-8", "surrogateescape")
            number = int(third or 0) if state == "ready" else int(first or -1)
            if state == "ready" and first not in ("", *"0123456789"):
                raise ValueError(after)
            if len(behind) not in _SIZES.get(state, (len(behind),)) and not (state == "ready" and len(behind) > 11):
                raise ValueError(after)
        except ValueError as error:
            raise ValueError(f"after is {after!r}; expected what a look through {state} tasks has returned") from error
        if state == "ready":
            return self._ready(first, behind, number)
        return self._delayed(first, behind) if state == "delayed" else self._leased(name(behind), number)

    def _step(self, script: Script, *args: Part) -> Any:
        return self._run(script, self._stem, self._holding, self._limit - len(self._found), *args)

    @property
    def _over(self) -> bool:
        return len(self._found) >= self._limit or self.gone >= self._most

    @property
    def _steps(self) -> int:
        return min(STEP, self._most - self.gone)

    def _ready(self, priority: str, place: bytes, index: int) -> Glance:
        largest = 0
        while True:
            args = (self._steps, priority, place, index, largest)
            gone, then, place, index, now, largest, *elements = self._step(_READY, *args)
            self.gone, priority = self.gone + gone, name(then)
            for element in elements:
                self.elements.append(element)
                at = f"r{self._mark}{element[0] % 16}{element[1:10].hex()}{lane_of(element).hex()}"
                seen = _seen(element, at, "ready", now)
                if not seen.count:  # else it came back, to its place of before
                    seen = seen._replace(since=max(now * 1000 - int.from_bytes(element[1:8]), 0) / 1e6)
                self._found.append(seen)
            if priority == "-1":
                return Glance(self._found)
            if self._over:
                return Glance(self._found, f"r{priority}.{place.hex()}.{index}")

    def _delayed(self, due: str, number: bytes) -> Glance:
        while True:
            gone, then, number, now, *rows = self._step(_DELAYED, self._steps, due, number)
            self.gone, due = self.gone + gone, name(then)
            for at, one, element in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
                self.elements.append(element)
                left = max(float(at) - now, 0) / 1000
                self._found.append(_seen(element, f"d{self._mark}{one.hex()}", "delayed", now)._replace(due=left))
            if due == "-1":
                return Glance(self._found)
            if self._over:
                return Glance(self._found, f"d{due}.{number.hex()}.")

    def _leased(self, consumer: str, receipt: int) -> Glance:
        some: list[tuple[str, int]] = []
        cursor = None if receipt < 0 else (consumer, receipt)
        for one in self._leases(consumer, receipt):
            some.append(one)
            if len(some) >= self._steps or self._over:
                cursor = self._leased_step(some, cursor)
                if some:
                    return Glance(self._found, _leased_cursor(cursor))
        while some:
            cursor = self._leased_step(some, cursor)
            if some and self._over:
                return Glance(self._found, _leased_cursor(cursor))
        return Glance(self._found)

    def _leased_step(self, some: list[tuple[str, int]], cursor: tuple[str, int] | None) -> tuple[str, int] | None:
        """Go through these, which are then gone from the list; the last that was."""
        args: list[Part] = [part for one in some for part in one]
        gone, now, *rows = self._step(_LEASED, *args) if not self._over else (0, 0)
        for index, element in zip(rows[::2], rows[1::2], strict=True):
            consumer, receipt = some[index]
            self.elements.append(element)
            seen = _seen(element, f"l{self._mark}{receipt}.{consumer}", "leased", now)
            self._found.append(seen._replace(consumer=consumer, receipt=receipt))
        self.gone += gone
        cursor = some[gone - 1] if gone else cursor
        del some[:gone]
        return cursor

    def _leases(self, consumer: str, receipt: int) -> Iterator[tuple[str, int]]:
        """What is on lease, by consumer and receipt."""
        names = sorted(one for one in map(name, self._run(_LEASES, self._stem)) if one >= consumer)
        for start in range(0, len(names), STEP):
            part = names[start : start + STEP]
            for one, (base, left, many) in zip(part, self._run(_LEASES, self._stem, *part), strict=True):
                receipts = sorted({*range(base, base + left), *self._held(one, many)})
                yield from ((one, at) for at in receipts if one > consumer or at > receipt)

    def _held(self, consumer: str, many: int) -> Iterator[int]:
        cursor = b"0" if many else b""
        while cursor:
            cursor, *receipts = self._run(_HELD, self._stem, consumer, cursor, STEP)
            yield from map(int, receipts)
            cursor = b"" if cursor == b"0" else cursor


def mark(stem: str) -> str:
    """What the places of a queue have in common, so that none of them names a task of another queue."""
    return f"{crc32(stem.encode('utf-8', 'surrogateescape')):08x}"


_SIZES = {"ready": (0, 9), "delayed": (0, 6)}


def _parts(state: State, after: str | None) -> tuple[str, str, str]:
    """A cursor: a letter for the state, and three parts."""
    if after is None:
        return "", "", ""
    if not after.startswith(state[0]):
        raise ValueError(after)
    if state == "leased":
        receipt, _, consumer = after[1:].partition(".")
        return receipt, consumer, ""
    first, second, third = after[1:].split(".")
    return first, second, third


def _leased_cursor(cursor: tuple[str, int] | None) -> str:
    consumer, receipt = cursor or ("", -1)
    return f"l{receipt}.{consumer}"


def _seen(element: bytes, place: str, state: State, now: int) -> Seen:
    task = delivery(0, element, now)
    return Seen(place, task.payload, state, element[0] % 16, 0.0, None, task.count, task.note, task.parked)
