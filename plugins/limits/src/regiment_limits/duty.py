"""The duty in the steward: the rules of the code stay at the store as the newest living release has them. It imports no application."""

from __future__ import annotations

import contextlib
import json
import logging
from functools import partial
from typing import Any

from regiment import log
from regiment.contracts import Served
from regiment.errors import StoreUnavailable
from regiment_cli.release import Release
from regiment_limits.breaker import tripped
from regiment_limits.budgets import breakers_of, rules_of
from regiment_limits.overlap import Rules
from regiment_limits.ruling import settle

EVERY = 10.0
"""Seconds between two looks."""
AGAIN = 3.0
"""Seconds after which a tree that is missed is looked for once more: its keeper may have been cut off for a moment."""
RARELY = 60.0
"""Seconds between two looks at what stands in the store of a queue for which this code has neither rules nor breakers."""
SOON = 1.0
"""Seconds until the look that follows a change, or a store that did not answer."""


class Ward:
    """The rules of one queue, as this tree's code has them, and a connection."""

    def __init__(self, target: Served) -> None:
        self.target = target
        self.rules: Rules = {}
        self.breakers: list[str] = []
        """Pools that have one."""
        self.store: Any = None
        self.missed: dict[str, float] = {}
        """Trees that have said rules and are missed: since when, on the clock of `look`."""
        self.compared = float("-inf")
        """When its rules were compared with those at the store."""
        self.throttle = log.Throttle()

    def end(self) -> None:
        """Give up the connection."""
        store, self.store = self.store, None
        if store is not None:
            with contextlib.suppress(Exception):
                store.close()


class Ruling:
    """The duty. Each steward looks; which of them writes is decided by their releases."""

    def __init__(self, release: str, started: float, by: str) -> None:
        self._mine = Release(release, started, by)
        self._wards: dict[str, Ward] = {}

    def learn(self, target: Served, notes: Any) -> None:
        """A target of the tree, with the budgets of its code."""
        key = json.dumps([target.queue, target.spec["connector"]], sort_keys=True)
        rules = rules_of(notes or {})
        if key not in self._wards:
            self._wards[key] = Ward(target)
        elif self._wards[key].target.label != target.label and self._wards[key].rules != rules:
            log.event(
                logging.WARNING,
                "limits.conflict",
                queue=target.queue,
                reason=f"{self._wards[key].target.label} and {target.label} have different limits for one queue",
                next="those of the last one count",
            )
        ward = self._wards[key]
        ward.target, ward.rules, ward.breakers = target, rules, list(breakers_of(notes or {}))

    def look(self, now: float) -> float:
        """Write what is to be written."""
        return min([self._look(ward, now) for ward in self._wards.values()], default=EVERY)

    def _look(self, ward: Ward, now: float) -> float:
        queue = ward.target.queue
        try:
            ward.store = ward.store or ward.target.connect()
            sure = [by for by, since in ward.missed.items() if now - since >= AGAIN]
            # Where there is nothing to keep, a breaker that this code has no more may have left its "one at a time".
            kept = bool(ward.rules or ward.breakers or now - ward.compared >= RARELY)
            shut = partial(tripped, ward.store, queue, ward.breakers)
            settled = settle(ward.store, queue, ward.rules, self._mine, sure=sure, tripped=shut, look=kept)
            ward.missed = {by: ward.missed.get(by, now) for by in settled.missed}
            ward.compared = now if kept else ward.compared
        except Exception as error:  # of one queue; the others go on
            ward.end()
            if not isinstance(error, StoreUnavailable):
                log.event(logging.ERROR, "service.error", exc_info=error, service="limits", queue=queue)
            elif ward.throttle() is not None:
                log.event(logging.ERROR, "connector.lost", error=str(error), what="limits", queue=queue)
            return SOON
        if settled.mended:
            log.event(logging.WARNING, "limits.mended", queue=queue, pools=list(settled.mended))
            return SOON
        return AGAIN if settled.missed else EVERY
