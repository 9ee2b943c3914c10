"""The tally of a page: how often the tasks of each name ended in which way, and for how long they ran.

One entry of 16 words for each name, up to 31 names, and one for all others. A word that counts holds the count and, in its low 24 bits,
the last number that is in it. A slot's word TALLY says in which word its task will count, and from which number on all that its slot
shows as done do; so the end of a task is counted by the very word that makes it done, whenever its worker is killed (`worker.tallying`).
"""

from __future__ import annotations

from collections.abc import Iterable

from regiment.contracts import OTHER_NAMES, OUTCOMES
from regiment_runner.shared import page
from regiment_runner.shared.page import Page

Tallies = dict[str, list[int]]
"""Name of a task -> how often it ended in each of `OUTCOMES`, and at the end for how many nanoseconds it ran."""
OTHERS = OTHER_NAMES
"""The name under which all tasks count for which there is no room, no function, or no message that can be read."""
NAMES, ENTRY, RAN, NAME_WORDS = 32, 16, 8, 7
"""Entries, words of an entry, the word for the nanoseconds, the words of the name behind it."""
NUMBER_BITS, PLACE_SHIFT = 24, 48
LOW, FIRST = (1 << NUMBER_BITS) - 1, (1 << PLACE_SHIFT) - 1
AT = page.TALLY_AT >> 3
assert len(OUTCOMES) <= RAN and NAMES * ENTRY * 8 == page.TALLY_SIZE
WIDTH = len(OUTCOMES) + 1


def tallies(sheet: Page, *, dead: bool = False) -> Tallies:
    """What a page has counted; of a worker that is `dead`, with what had ended and was not added up yet. Empty if it cannot be true."""
    words, found = sheet.words, Tallies()
    late = _late(sheet) if dead else {}
    for base in range(AT, AT + NAMES * ENTRY, ENTRY):
        counts = [(words[base + k] >> NUMBER_BITS) + late.get(base + k, 0) for k in range(len(OUTCOMES))]
        if any(counts):
            name = bytes(sheet.map[(base + RAN + 1) * 8 : (base + RAN + 1 + NAME_WORDS) * 8])
            add(found, {name.rstrip(b"\0").decode(errors="replace"): [*counts, words[base + RAN]]})
    ended = sum(sum(row[:-1]) for row in found.values())
    longest = (page.now() - words[page.BORN]) * sheet.used()
    if ended > words[page.LAST] + words[page.TAKEN] or any(row[-1] > longest for row in found.values()):
        return {}  # a task has written there
    return found


def _late(sheet: Page) -> dict[int, int]:
    """Word -> how many had ended and were not yet added to it when the worker died."""
    words, late = sheet.words, dict[int, int]()
    for slot, number, phase in sheet.numbers():
        word = words[page.slot_index(slot) + page.TALLY]
        place, first = word >> PLACE_SHIFT, word & FIRST
        if not AT <= place < AT + NAMES * ENTRY:
            continue
        last = number if phase == page.DONE else number - 1
        known = (words[place] - first) & LOW  # how far behind `first` the last number is that was added
        if first + known <= last:
            first += known + 1
        if first <= last:
            late[place] = late.get(place, 0) + last - first + 1
    return late


def add(to: Tallies, more: Tallies) -> None:
    """Add `more` to `to`."""
    for name, row in more.items():
        mine = to.setdefault(name, [0] * WIDTH)
        for index, value in enumerate(row):
            mine[index] += value


def total(each: Iterable[Tallies]) -> Tallies:
    """All of these together."""
    found = Tallies()
    for one in each:
        add(found, one)
    return found
