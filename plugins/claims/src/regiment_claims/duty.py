"""Removes the buckets that are over: a duty of the steward."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from regiment import log
from regiment.contracts import Served
from regiment.masking import shown_url
from regiment_claims.choosing import place_of
from regiment_claims.references import human

EVERY = 300.0
"""Seconds between two looks; as many trees as there are may sweep the same place."""


class Sweeping:
    """The duty. Needs no settings of the queues: the name of a bucket says when it is over."""

    def __init__(self, place: str, options: Mapping[str, Any] | None = None) -> None:
        self._place, self._shown = place_of(place, options), shown_url(place)

    def learn(self, target: Served, notes: Any) -> None:
        """A target whose claims lie here; they are like those of all others."""

    def look(self, now: float) -> float:
        """Remove what is over."""
        gone = self._place.sweep(now)
        if gone:
            number, size = sum(one.blobs for one in gone), human(sum(one.size for one in gone))
            log.event(logging.INFO, "claims.swept", place=self._shown, buckets=len(gone), blobs=number, size=size)
        return EVERY
