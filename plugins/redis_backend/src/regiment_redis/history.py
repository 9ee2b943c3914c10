"""The extra `history` in Redis: slices in hashes that go with their time, each packed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from regiment.contracts.history import (
    KEPT,
    MOST_NAMES,
    OTHER_NAMES,
    OUTCOMES,
    SOURCE_KEPT,
    STEPS,
    Past,
    Tallied,
    past,
    refuse_wrong,
)
from regiment_redis.asking import ms
from regiment_redis.link import Scripts
from regiment_redis.records import name
from regiment_redis.scripts import Script
from regiment_redis.wire import Part

Step = Literal["minute", "hour", "ever"]

_RECORD, _PAST = Script("record"), Script("past")
HASH = {"minute": 3600, "hour": 86_400, "ever": 1}
"""Seconds of the slices that one hash holds."""
CHUNK = 100
"""Queues that one request reads."""


class History:
    """record and history of one Redis. `stem` gives the first part of a queue's keys."""

    def __init__(self, scripts: Scripts, stem: Callable[[str], str]) -> None:
        self._scripts, self._stem = scripts, stem

    def record(self, queue: str, source: str, number: int, ended: Sequence[Tallied]) -> bool:
        refuse_wrong(ended)
        kept = (KEPT["minute"], KEPT["hour"], KEPT["ever"])
        args: list[Part] = [source, number, ms(SOURCE_KEPT), MOST_NAMES, OTHER_NAMES, len(OUTCOMES) + 1, *kept]
        for one in ended:
            args += (one.task, one.ms, *one.counts)
        return bool(self._scripts.run(_RECORD, self._stem(queue), *args))

    def history(self, queues: Sequence[str], step: Step, seconds: float) -> list[Past]:
        asked: list[Part] = [step, int(min(max(seconds, 0), KEPT[step])), STEPS[step], HASH[step]]
        calls = [(self._stem(queue), asked) for queue in queues]
        parts = [calls[start : start + CHUNK] for start in range(0, len(calls), CHUNK)]
        replies = [reply for part in parts for reply in self._scripts.run_all(_PAST, part)]
        return [
            past(queue, int(at), dict(zip(map(name, rows[::2]), rows[1::2], strict=True)))
            for queue, reply in zip(queues, replies, strict=True)
            for at, *rows in reply
        ]
