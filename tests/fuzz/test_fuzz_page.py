"""Whatever a worker, or a task in it, may have written into its page: who reads it gets answers, or is told, and soon."""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path
from typing import Any

import pytest

from harness.chance import tries
from regiment.contracts import MOST_SLOTS, Keep
from regiment_runner.shared import overdue, page
from regiment_runner.shared.annex import Annex, left_of, records
from regiment_runner.shared.page import Page
from regiment_runner.shared.record import packed

SIZE = 4096 + MOST_SLOTS * 256 + 4096
WORDS = (
    0,
    1,
    2,
    5,
    6,
    7,
    8,
    64,
    1023,
    1024,
    1025,
    1 << 24,
    (1 << 31) - 1,
    1 << 32,
    (1 << 52) - 1,
    (1 << 62) - 1,
    1 << 63,
    (1 << 64) - 1,
)
JUDGED = hasattr(Page, "damage")
"""Whether a page says itself that it makes no sense. Before, the number of its slots was believed."""


def used(path: Path, chance: random.Random) -> Page:
    """A page as an honest worker leaves it."""
    made = Page(path, create=True)
    slots = chance.choice((1, 4, 64))
    getattr(made, "have_slots", lambda slots: None)(slots)
    made.words[page.SLOTS] = slots
    made.words[page.PID], made.words[page.LAST] = os.getpid(), 1000
    made.join(0, "mail", "worker-1", 1)
    if chance.random() < 0.5:
        annex = Annex(made, 1)
        for number in range(1, chance.choice((2, 50, 1000))):
            annex.append(number, packed([Keep(f"k{number}", b"v" * chance.randrange(200), 60.0)] * chance.randrange(3)))
            if chance.random() < 0.01:
                annex.flip()
    for slot in range(slots):
        made.start(slot, chance.randrange(1, 1000), b"head" * 10, page.now(), chance.randrange(6))
        made.name(slot, "send")
        made.progress(slot, 1, 2, "on the way")
    return made


def scribble(path: Path, chance: random.Random) -> None:
    """What a task that writes into memory at random does to it, through its own mapping."""
    with open(path, "r+b") as file:
        for _ in range(chance.choice((1, 3, 30, 300))):
            whole = chance.random() < 0.5
            size = os.fstat(file.fileno()).st_size
            near = chance.randrange(0, 4096 + 64 * 256) if chance.random() < 0.8 else chance.randrange(size - 8)
            at = near // 8 * 8 if whole else near
            if not JUDGED and at <= 8 * page.SLOTS + 7 and at + 8 > 8 * page.SLOTS:
                continue
            word = chance.choice(WORDS) if chance.random() < 0.7 else chance.getrandbits(64)
            file.seek(at)
            file.write(struct.pack("<Q", word) if whole else chance.randbytes(8))
        if JUDGED and chance.random() < 0.1:
            file.truncate(chance.choice((0, 1, 4096, SIZE - 1, SIZE, SIZE + 1)))


def read_all(made: Page) -> list[Any]:
    """What supervisor, keeper and people read."""
    found = [
        list(made.numbers()),
        left_of(records(made, 1)[0]),
        made.highest(),
        list(made.readings()),
        list(overdue.running(made)),
        list(made.slots()),
        list(made.struck()),
        made.finished(1),
        made.finished(chance_free := 500),
        [join for _, join in made.joins()],
        made.revoked(),
    ]
    assert chance_free
    for state in made.slots():
        assert isinstance(state.name, str) and isinstance(state.note, str)
    for first, last in made.finished(1):
        assert 1 <= first <= last
    return found


def judged(made: Page) -> bool:
    """Whether it may be read: as its readers do, who ask first."""
    return not JUDGED or made.damage() is None  # type: ignore[attr-defined]


def test_a_page_that_was_scribbled_on_under_its_reader_gives_answers(tmp_path: Path) -> None:
    def attempt(chance: random.Random) -> None:
        path = tmp_path / "w.page"
        path.unlink(missing_ok=True)
        made = used(path, chance)
        try:
            read_all(made)
            scribble(path, chance)
            judged(made)
            read_all(made)  # a page that was given up reads as that of a worker that did nothing
        finally:
            made.close()

    tries(attempt)


def test_a_page_that_was_scribbled_on_is_opened_or_refused(tmp_path: Path) -> None:
    def attempt(chance: random.Random) -> None:
        path = tmp_path / "w.page"
        path.unlink(missing_ok=True)
        used(path, chance).close()
        scribble(path, chance)
        try:
            made = Page(path, read_only=chance.random() < 0.5)
        except (ValueError, OSError) as error:
            assert str(path) in str(error) or not JUDGED
            return
        try:
            if judged(made):
                read_all(made)
        finally:
            made.close()

    tries(attempt)


@pytest.mark.parametrize("size", [0, 1, 95, 4096, SIZE - 1])
def test_a_page_that_was_cut_short_is_refused_when_it_is_opened(tmp_path: Path, size: int) -> None:
    path = tmp_path / "w.page"
    Page(path, create=True).close()
    os.truncate(path, size)
    with pytest.raises((ValueError, OSError)):
        Page(path)
