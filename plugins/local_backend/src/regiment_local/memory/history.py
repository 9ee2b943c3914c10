"""The extra `history` in memory: a slice for each minute and hour of a queue in which anything ended, and one for all that ever did."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

from regiment.contracts import Past, Tallied
from regiment.contracts.history import KEPT, SOURCE_KEPT, STEPS, added, past, refuse_wrong
from regiment_local.memory.opened import Opened


class History(Opened):
    """record, history."""

    def record(self, queue: str, source: str, number: int, ended: Sequence[Tallied]) -> bool:
        refuse_wrong(ended)
        found = self._changed()
        with found.lock:
            kept, now = found.history, time.time()
            kept.sources = {key: one for key, one in kept.sources.items() if one[0] > now}
            if kept.sources.get((queue, source), (0.0, 0))[1] >= number:
                return False
            kept.sources[queue, source] = (now + SOURCE_KEPT, number)
            names: Sequence[str] = ()
            for step in ("ever", "hour", "minute"):
                seconds = STEPS[step]
                key = (queue, step, int(now // seconds) * seconds if seconds else 0)
                slice = added(kept.slices.get(key, (0.0, {}))[1], ended, now, names)
                names = names or list(slice)
                kept.slices[key] = (now + KEPT[step], slice)
            kept.slices = {key: one for key, one in kept.slices.items() if one[0] > now}
            return True

    def history(self, queues: Sequence[str], step: Literal["minute", "hour", "ever"], seconds: float) -> Sequence[Past]:
        found, now, length = self._store(), time.time(), STEPS[step]
        since = now - seconds - length if length else -1
        with found.lock:
            slices = sorted((key, one[1]) for key, one in found.history.slices.items() if one[0] > now)
        return [
            past(queue, at, slice)
            for queue in queues
            for (of, kind, at), slice in slices
            if of == queue and kind == step and at > since
        ]
