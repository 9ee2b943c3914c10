"""The tally: what a page says of how tasks ended, whenever its worker is killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from regiment.contracts import OTHER_NAMES, OUTCOMES
from regiment_runner.shared import page
from regiment_runner.shared.ledger import LEDGER, Ledger
from regiment_runner.shared.page import Page
from regiment_runner.shared.tally import tallies
from regiment_runner.worker.tallying import Tally


@pytest.fixture
def sheet(tmp_path: Path) -> Iterator[Page]:
    made = Page(tmp_path / "w1.page", create=True)
    made.words[page.SLOTS], made.words[page.LAST] = 3, 100_000_000
    made.words[page.BORN] -= 10**12
    made._born = made.words[page.BORN]
    yield made
    made.close()


class Slot:
    """One slot of a worker: what a run does to its page, one word after the other."""

    def __init__(self, sheet: Page, tally: Tally, slot: int = 0) -> None:
        self.tally, self.sheet = tally, sheet
        at = page.slot_index(slot)
        self.attempt: Any = SimpleNamespace(
            at=at, words=sheet.words, number=0, began=0, started=0, entry=tally.others, task=object()
        )

    def start(self, number: int, now: int = 0, *, first: bool = True) -> None:
        one = self.attempt
        one.number = number
        self.sheet.words[one.at] = number << 3 | page.STARTED
        one.started = now
        if first:
            one.began = now
            self.sheet.words[one.at + page.TALLY] = one.entry | number

    def name(self, name: str) -> None:
        self.tally.turn(self.attempt, self.tally.entry(name))

    def mark(self, phase: int = page.DONE) -> None:
        self.sheet.words[self.attempt.at] = self.attempt.number << 3 | phase


def counts(sheet: Page, name: str, *, dead: bool = True) -> dict[str, int]:
    row = tallies(sheet, dead=dead).get(name, [0] * len(OUTCOMES))
    return {outcome: value for outcome, value in zip(OUTCOMES, row, strict=False) if value}


def test_a_success_counts_from_the_word_that_makes_it_done_and_once(sheet: Page) -> None:
    one = Slot(sheet, Tally(sheet))
    one.start(7)
    one.name("send")
    assert counts(sheet, "send") == {}
    one.mark(page.ENDED)
    assert counts(sheet, "send") == {}
    one.mark()
    assert counts(sheet, "send") == {"success": 1}
    assert counts(sheet, "send", dead=False) == {}
    one.tally.fold(one.attempt, 500)
    assert counts(sheet, "send") == counts(sheet, "send", dead=False) == {"success": 1}
    assert tallies(sheet)["send"][-1] == 500


@pytest.mark.fault(89)
def test_a_worker_that_is_killed_between_adding_up_and_saying_so_counts_nothing_twice(sheet: Page) -> None:
    one = Slot(sheet, Tally(sheet))
    one.start(7)
    one.name("send")
    for number in (8, 9):
        one.start(number, first=False)
    one.mark()
    word = sheet.words[one.attempt.at + page.TALLY]
    one.tally.fold(one.attempt, 0)
    sheet.words[one.attempt.at + page.TALLY] = word  # the last write did not come
    assert counts(sheet, "send") == {"success": 3}
    one.start(10, first=False)
    one.mark()
    assert counts(sheet, "send") == {"success": 4}, "as a sprint that goes on after it was added up"


def test_a_sprint_counts_each_name_for_itself_and_what_fails_by_its_end(sheet: Page) -> None:
    one = Slot(sheet, Tally(sheet))
    one.start(1, 100)
    one.name("a")
    one.start(2, 150, first=False)
    one.start(3, 180, first=False)
    one.name("b")
    assert counts(sheet, "a") == {"success": 2}
    one.start(4, 200, first=False)
    one.mark(page.ENDED)
    one.tally.ended(one.attempt, "failure", "again")
    assert counts(sheet, "b") == {"success": 1}
    one.mark()
    assert counts(sheet, "b") == {"success": 1, "failure": 1}
    one.tally.fold(one.attempt, 260)
    assert counts(sheet, "b", dead=False) == {"success": 1, "failure": 1}
    assert {name: row[-1] for name, row in tallies(sheet).items()} == {"a": 80, "b": 80}


@pytest.mark.parametrize(
    ("kind", "settle", "counted"),
    [
        ("success", "done", "success"),
        ("stop", "done", "success"),
        ("expired", "done", "expired"),
        ("cancelled", "done", "cancelled"),
        ("failure", "again", "failure"),
        ("timeout", "again", "timeout"),
        ("retry", "again", "retry"),
        ("requeue", "again", "requeue"),
        ("failure", "dead", "dead"),
        ("poison", "dead", "dead"),
        ("interrupted", "back", None),
        ("", "park", None),
    ],
)
def test_each_end_counts_under_what_becomes_of_it(sheet: Page, kind: str, settle: str, counted: str | None) -> None:
    one = Slot(sheet, Tally(sheet))
    one.start(1)
    one.name("send")
    one.tally.ended(one.attempt, kind, settle)
    one.mark()
    assert counts(sheet, "send") == ({counted: 1} if counted else {})


def test_slots_that_end_in_any_order_are_added_up_without_loss(sheet: Page) -> None:
    tally = Tally(sheet)
    slots = [Slot(sheet, tally, slot) for slot in range(3)]
    for number, slot in enumerate(slots, 5):
        slot.start(number)
        slot.name("send")
        slot.mark()
    assert counts(sheet, "send") == {"success": 3}
    for done, slot in enumerate((slots[2], slots[0], slots[1]), 1):
        tally.fold(slot.attempt, 0)
        assert counts(sheet, "send") == {"success": 3}
        assert counts(sheet, "send", dead=False) == {"success": done}


def test_numbers_beyond_the_bits_that_are_kept_of_them_count_right(sheet: Page) -> None:
    one = Slot(sheet, Tally(sheet))
    for number in ((1 << 24) - 1, 1 << 24, (1 << 24) + 1):
        one.start(number)
        one.name("send")
        one.mark()
        one.tally.fold(one.attempt, 0)
    one.start((1 << 24) + 2)
    one.mark()
    assert counts(sheet, "send") == {"success": 4}


def test_names_for_which_there_is_no_room_count_together(sheet: Page) -> None:
    one = Slot(sheet, Tally(sheet))
    for number in range(1, 41):
        one.start(number)
        one.name(f"task{number}")
        one.mark()
        one.tally.fold(one.attempt, 0)
    found = tallies(sheet)
    assert len(found) == 32
    assert found[OTHER_NAMES][0] == 9
    assert sum(row[0] for row in found.values()) == 40


def test_what_the_store_no_longer_knows_of_does_not_count(sheet: Page) -> None:
    one = Slot(sheet, Tally(sheet))
    one.start(1)
    one.name("send")
    one.tally.forget(one.attempt)
    one.mark()
    one.tally.fold(one.attempt, 5)
    assert tallies(sheet, dead=True) == {}


def test_a_tally_that_cannot_be_true_is_not_believed(sheet: Page) -> None:
    one = Slot(sheet, Tally(sheet))
    one.start(1)
    one.name("send")
    one.mark()
    sheet.words[page.LAST] = 5
    assert tallies(sheet, dead=True)
    sheet.words[page.TALLY_AT >> 3] = 77 << 24
    assert tallies(sheet, dead=True) == {}


def test_a_long_name_is_cut_between_two_letters(sheet: Page) -> None:
    one = Slot(sheet, Tally(sheet))
    one.start(1)
    one.name("a" + "é" * 40)
    one.mark()
    assert list(tallies(sheet, dead=True)) == ["a" + "é" * 27]


def test_a_ledger_is_read_as_it_was_saved_and_one_that_makes_no_sense_begins_anew(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    row = list(range(len(OUTCOMES) + 1))
    ledger.of("s q", "q").total["send"] = row
    ledger.closed = {"w1": str(tmp_path), "w2": str(tmp_path / "gone")}
    ledger.save()
    again = Ledger(tmp_path)
    assert (again.source, again.accounts["s q"].total, again.closed) == (
        ledger.source,
        {"send": row},
        {"w1": str(tmp_path)},
    )
    (tmp_path / LEDGER).write_text('{"source": "x", "closed": {}, "accounts": {"s q": ["q", {"a": [1]}, {}, 0, {}]}}')
    assert Ledger(tmp_path).accounts == {}
