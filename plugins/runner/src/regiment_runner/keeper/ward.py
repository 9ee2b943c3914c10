"""One worker as its keeper sees it: its page, its process, and what was done for it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regiment.contracts import Span
from regiment_runner.keeper.store import Store
from regiment_runner.shared import messages, page
from regiment_runner.shared.page import Page
from regiment_runner.shared.polling import readable

NOTHING: Span = (0, 0)
"""A span without a receipt: what `release(only=…)` gives back when it is only to settle."""
RATE_OVER = 10.0
"""Seconds in which a rate loses two thirds of what it was."""


class Ward:
    """One worker as its keeper sees it."""

    def __init__(self, name: str, path: Path, pidfd: int, spec: Mapping[str, Any], store: Store) -> None:
        self.name, self.pidfd, self.spec, self.store = name, pidfd, spec, store
        self.page = Page(path)
        self.lease: float = spec["lease"]
        self.give_back: float | None = spec["give_back_after"]
        self.settle: float = spec["settle_within"]
        self.once = spec["delivery"] == "at_most_once"
        self.dead: messages.PostMortem | None = None
        """What the supervisor says of its end; None while it lives."""
        self.settled = 0
        """The highest number that was settled for it."""
        self.recorded: set[int] = set()
        """Numbers that were settled for it, of those that have records in its annex."""
        self.revoked: Span = NOTHING
        """The range whose taking back this keeper has asked for last."""
        self._counted, self._rate = (page.now(), self.page.words[page.TASKS]), 0.0

    def rate(self) -> float:
        """Tasks that ended per second, of the last `RATE_OVER` seconds or so."""
        (then, before), now, tasks = self._counted, page.now(), self.page.words[page.TASKS]
        self._counted, seconds = (now, tasks), max(1, now - then) / 1e9
        self._rate += ((tasks - before) / seconds - self._rate) * -math.expm1(-seconds / RATE_OVER)
        return self._rate

    def alive(self) -> bool:
        """Whether its process lives; only a pidfd says so (R9)."""
        return not readable(self.pidfd)

    def close(self) -> None:
        """Unmap the page and close the pidfd."""
        self.page.close()
        os.close(self.pidfd)
