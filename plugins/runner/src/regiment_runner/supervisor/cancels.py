"""Tasks that are to be cancelled, as their killer sees them: late since they were marked, and for good when their grace is over.

So every killer strikes them as it strikes what is late: softly, then by its last rung.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from regiment.contracts import Reading
from regiment_runner.shared import page
from regiment_runner.shared.page import Page

GRACE = 1.0
"""Seconds between the two strikes, where nobody has said so."""


class Cancels:
    """What is to be cancelled in one worker, as its keeper has marked it on the page."""

    def __init__(self, sheet: Page) -> None:
        self._page = sheet
        self._graces: dict[str, float] = {}
        self._unlimited = True
        self._since: dict[int, int] = {}
        """Number -> when it was first seen as marked, on the boot clock in nanoseconds."""

    def have(self, graces: Mapping[str, float], *, unlimited: bool = True) -> None:
        """Learn how many seconds a task has to end, by its name; under the empty name those of all others. `unlimited`: whether
        the killer can do anything to a task that has no limit.
        """
        self._unlimited = unlimited
        self._graces = {page.shown(name): seconds for name, seconds in graces.items()}

    def readings(self) -> Iterator[Reading]:
        """As `Page.readings`, with those that are marked, whether or not they have limits of their own."""
        words, seen = self._page.words, set[int]()
        for slot in range(self._page.used()):
            at = page.slot_index(slot)
            word = words[at]
            if word & 7 != page.STARTED:
                continue
            number, started, hard = word >> 3, words[at + page.START], words[at + page.HARD]
            soft, struck = words[at + page.SOFT], words[at + page.STRUCK]
            if hard >> page.HOOK_SHIFT:
                continue
            if words[at + page.CANCELLING] == number and (soft or hard or self._unlimited):
                seen.add(number)
                since = self._since.setdefault(number, page.now())
                soft = min(soft or since, since)
                end = since + int(self._grace(slot) * 1e9)
                hard = min(hard or end, end)
            if (soft or hard) and words[at] == word:
                yield Reading(slot, number, page.STARTED, started, soft, hard, struck)
        self._since = {number: since for number, since in self._since.items() if number in seen}

    def _grace(self, slot: int) -> float:
        common = self._graces.get("", GRACE)
        return self._graces.get(self._page.name_of(slot), common)
