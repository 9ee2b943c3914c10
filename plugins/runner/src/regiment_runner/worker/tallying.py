"""How a worker counts the ends of its tasks on its page, without a request or a system call of its own (`shared.tally`).

An end is counted under one outcome, by what becomes of the task: `success`, `expired`, `cancelled` and `dead` are over; after `failure`,
`timeout`, `retry` and `requeue` it runs again. What goes back as if it had never been leased, or is parked, has not ended. In a sprint
all that succeed one after the other under one name are counted in one go, at its end.
"""

from __future__ import annotations

import threading
from typing import Any

from regiment import outcome as outcomes
from regiment.contracts import OUTCOMES
from regiment_runner.shared import page
from regiment_runner.shared.page import Page
from regiment_runner.shared.tally import AT, ENTRY, FIRST, LOW, NAME_WORDS, NAMES, NUMBER_BITS, OTHERS, PLACE_SHIFT, RAN

SUCCESS, DEAD = OUTCOMES.index(outcomes.SUCCESS), OUTCOMES.index("dead")
TALLY = page.TALLY
_INDEX = {name: index for index, name in enumerate(OUTCOMES)}


class Tally:
    """The worker's side of the tally. An entry is given as what the word TALLY of a slot needs: its place, shifted."""

    def __init__(self, sheet: Page) -> None:
        self._words, self._map = sheet.words, sheet.map
        self._lock = threading.Lock()
        self._entries: dict[str, int] = {}
        self.others = self._made(NAMES - 1, OTHERS)

    def entry(self, name: str) -> int:
        """The entry of a name; that of all others if there is no room for it."""
        with self._lock:
            found = self._entries.get(name)
            if found is None:
                index = len(self._entries)
                if index >= NAMES - 1:
                    return self.others
                found = self._entries[name] = self._made(index, name)
            return found

    def _made(self, index: int, name: str) -> int:
        base, size = AT + index * ENTRY, NAME_WORDS * 8
        cut = name.encode(errors="replace")[:size].decode(errors="ignore").encode()
        self._map[(base + RAN + 1) * 8 : (base + RAN + 1) * 8 + size] = cut.ljust(size, b"\0")
        return base << PLACE_SHIFT

    def turn(self, attempt: Any, entry: int) -> None:
        """This task counts there; those before it in its sprint where theirs did."""
        self._before(attempt)
        attempt.entry = entry
        attempt.words[attempt.at + page.TALLY] = entry | attempt.number

    def ended(self, attempt: Any, kind: str, settle: str) -> None:
        """Before a task is settled: it ended like this, and counts so once the store has taken that."""
        self._before(attempt)
        index = DEAD if settle == "dead" else _INDEX.get(kind, SUCCESS)
        entry = attempt.entry if attempt.task is not None else self.others
        counts = settle in ("done", "again", "dead")
        attempt.words[attempt.at + page.TALLY] = entry + (index << PLACE_SHIFT) | attempt.number if counts else 0

    def _before(self, attempt: Any) -> None:
        word, number = attempt.words[attempt.at + page.TALLY], attempt.number
        if word and word & FIRST < number:
            self._count(word, number - 1, attempt.started - attempt.began)
        attempt.began = attempt.started

    def fold(self, attempt: Any, now: int) -> None:
        """What this slot shows as done is added to its word. For the thread that settles, and no other."""
        words, at = self._words, attempt.at + TALLY
        word = words[at]
        if word:  # `_count` without its call: this is once for each sprint
            place, last = word >> PLACE_SHIFT, attempt.number
            words[place] = ((words[place] >> NUMBER_BITS) + last - (word & FIRST) + 1) << NUMBER_BITS | last & LOW
            words[place & -ENTRY | RAN] += now - attempt.began
            words[at] = 0

    def _count(self, word: int, last: int, ran: int) -> None:
        words, place = self._words, word >> PLACE_SHIFT
        words[place] = ((words[place] >> NUMBER_BITS) + last - (word & FIRST) + 1) << NUMBER_BITS | last & LOW
        words[place & -ENTRY | RAN] += ran

    def forget(self, attempt: Any) -> None:
        """The store knows nothing of this end: the task runs again, and counts then."""
        attempt.words[attempt.at + page.TALLY] = 0

    def taken(self, name: str | None, index: int, number: int = 1) -> None:
        """So many that another task has taken along ended like this."""
        words = self._words
        place = ((self.others if name is None else self.entry(name)) >> PLACE_SHIFT) + index
        words[page.TAKEN] += number
        words[place] = words[place] + (number << NUMBER_BITS)
