"""The command of an exchange, in the bytes that go to the server."""

from __future__ import annotations

import math
from collections.abc import Sequence

from regiment.contracts import Again, Back, Dead, Done, Park, Settlement
from regiment_redis.reach import pack
from regiment_redis.scripts import Script
from regiment_redis.wire import Part

EXCHANGE = Script("exchange")
PRIORITIES = range(10)


def ms(seconds: float) -> int:
    """Whole milliseconds, never too early."""
    return math.ceil(min(seconds, 1e11) * 1000 - 1e-6)


class Asking:
    """Packs exchanges by a script, and keeps what most of them have in common as it was packed."""

    def __init__(self, script: Script = EXCHANGE) -> None:
        self._script = script
        self._heads: dict[tuple[str, str], bytes] = {}
        self._middles: dict[tuple[int, int, int], bytes] = {}

    def ordinary(
        self,
        stem: str,
        consumer: str,
        turn: int,
        base: int,
        bounds: tuple[int, int, int],
        done: Done | None = None,
    ) -> bytes:
        # The exchange of nearly every task; packing it anew costs twice as much as filling in two or four numbers.
        head = self._heads.get((stem, consumer))
        if head is None:
            if len(self._heads) > 1000:
                self._heads.clear()
            head = after_count(pack(("EVALSHA", self._script.sha, 1, stem, consumer)))
            self._heads[stem, consumer] = head
        middle = self._middles.get(bounds)
        if middle is None:
            if len(self._middles) > 1000:
                self._middles.clear()
            middle = self._middles[bounds] = after_count(pack([str(one) for one in bounds]))
        a, b = b"%d" % turn, b"%d" % base
        asked = b"%b$%d\r\n%b\r\n$%d\r\n%b\r\n%b" % (head, len(a), a, len(b), b, middle)
        if done is None:
            return b"*10\r\n" + asked
        c = b"%d" % done[0]
        d = c if done[0] == done[1] else b"%d" % done[1]
        return b"*13\r\n%b$1\r\nD\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (asked, len(c), c, len(d), d)

    def leaving(
        self,
        stem: str,
        consumer: str,
        turn: int,
        base: int,
        bounds: tuple[int, int, int],
        done: Done,
        args: Sequence[Part],
    ) -> bytes:
        """The same exchange with more arguments at its end."""
        command = self.ordinary(stem, consumer, turn, base, bounds, done)
        return b"*%d\r\n%b%b" % (13 + len(args), command[5:], after_count(pack(args)))


def whole(
    stem: str,
    consumer: str,
    turn: int,
    base: int,
    bounds: tuple[int, int, int],
    settlements: Sequence[Settlement],
    script: Script = EXCHANGE,
    args: Sequence[Part] = (),
) -> bytes:
    """An exchange with any settlements, and more arguments at its end."""
    return pack(("EVALSHA", script.sha, 1, stem, consumer, turn, base, *bounds, *_flat(settlements), *args))


def _flat(settlements: Sequence[Settlement]) -> list[Part]:
    """Settlements as the arguments of an exchange."""
    args: list[Part] = []
    for s in settlements:
        match s:
            case Done(first, last):
                args += ("D", first, last)
            case Back(first, last):
                args += ("B", first, last)
            case Again(receipt, payload, delay, priority):
                if priority is not None and priority not in PRIORITIES:
                    raise ValueError(f"priority is {priority!r}; the redis connector has 0 to 9")
                args += (
                    "A",
                    receipt,
                    max(ms(delay), 0),
                    "" if priority is None else priority,
                    payload,
                )
            case Park(receipt, delay):
                args += ("P", receipt, max(ms(delay), 0))
            case Dead(receipt, task_id, reason, given):
                args += ("X", receipt, task_id, reason, int(given is not None), given or b"")
    return args


def after_count(command: bytes) -> bytes:
    """A packed command without its first line, which says how many parts it has."""
    return command[command.index(b"\n") + 1 :]
