"""The page: what a reader sees of a worker that may die between any two writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from regiment.contracts import MOST_SLOTS
from regiment.worker import HOOKS
from regiment_runner.shared import overdue, page
from regiment_runner.shared.page import Page


@pytest.fixture
def sheet(tmp_path: Path) -> Iterator[Page]:
    made = Page(tmp_path / "w1.page", create=True)
    made.words[page.SLOTS] = 3
    yield made
    made.close()


def note(sheet: Page, slot: int, number: int, phase: int) -> None:
    sheet.start(slot, number, b"head", page.now())
    sheet.words[page.slot_index(slot)] = number << 3 | phase


def test_only_its_owner_may_read_it(sheet: Page) -> None:
    assert os.stat(sheet.path).st_mode & 0o777 == 0o600


def test_a_file_that_is_no_page_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(bytes(1 << 20))
    with pytest.raises(ValueError, match="is no page of this release"):
        Page(tmp_path / "other")


def test_all_below_the_highest_that_is_not_open_is_done(sheet: Page) -> None:
    """R2: the batch base is no lower bound, and what a slot shows as open is not done."""
    note(sheet, 0, 7, page.STARTED)
    note(sheet, 1, 9, page.DONE)
    note(sheet, 2, 4, page.ENDED)
    assert sheet.finished(1) == [(1, 3), (5, 6), (8, 9)]
    assert sheet.finished(5) == [(5, 6), (8, 9)]


@pytest.mark.parametrize("phase", sorted(page.OPEN))
def test_no_open_phase_is_taken_for_done(sheet: Page, phase: int) -> None:
    note(sheet, 0, 1, phase)
    assert sheet.finished(1) == []


def test_a_page_without_a_number_has_finished_nothing(sheet: Page) -> None:
    assert sheet.finished(1) == []
    assert sheet.highest() == 0


def test_a_new_start_disarms_what_the_last_task_had_armed(sheet: Page) -> None:
    sheet.start(0, 1, b"", page.now())
    sheet.arm(0, 10**9, 2 * 10**9)
    (reading,) = sheet.readings()
    assert (reading.number, reading.hard - reading.soft > 0) == (1, True)
    sheet.start(0, 2, b"", page.now())
    assert list(sheet.readings()) == []


def test_only_a_started_task_is_read_for_striking(sheet: Page) -> None:
    """R12: what has ended is in its handlers, and is not struck."""
    for phase in (page.ENDED, page.JUDGING, page.RETURNING, page.DONE):
        sheet.start(0, 1, b"", page.now())
        sheet.arm(0, 1, 1)
        sheet.words[page.slot_index(0)] = 1 << 3 | phase
        assert list(sheet.readings()) == []


def test_the_watcher_is_woken_only_for_a_deadline_earlier_than_its_own(sheet: Page) -> None:
    woken: list[int] = []
    sheet.wake_watcher = lambda: woken.append(1)
    sheet.words[page.WATCHING] = page.now() + 10**9
    sheet.start(0, 1, b"", page.now())
    sheet.arm(0, 5 * 10**9, 0)
    assert not woken
    sheet.arm(0, 10**8, 5 * 10**9)
    assert woken


def test_a_soft_strike_is_taken_once_and_only_by_the_task_it_was_for(sheet: Page) -> None:
    sheet.start(0, 5, b"", page.now())
    sheet.words[page.slot_index(0) + page.STRUCK] = 4
    assert sheet.softly_struck() is None
    sheet.words[page.slot_index(0) + page.STRUCK] = 5
    assert sheet.softly_struck() == 5
    assert sheet.softly_struck() is None


def test_a_revoked_range_is_one_word_and_comes_back_as_it_was_written(sheet: Page) -> None:
    assert sheet.revoked() is None
    sheet.revoke(2**39, 2**39 + 99_999)
    assert sheet.revoked() == (2**39, 2**39 + 99_999)


def test_a_consumer_is_seen_whole_or_not_at_all(sheet: Page) -> None:
    assert list(sheet.joins()) == []
    sheet.join(0, "mail", "host.1.abc", 7)
    assert list(sheet.joins()) == [(0, page.Join("mail", "host.1.abc", 7, 0))]
    sheet.leave(0)
    assert list(sheet.joins()) == []


def test_a_page_as_a_worker_writes_it_is_believed(sheet: Page) -> None:
    sheet.words[page.LAST] = 9
    note(sheet, 0, 9, page.STARTED)
    sheet.join(0, "mail", "host.1.abc", 1)
    assert sheet.damage() is None
    assert list(sheet.joins())


@pytest.mark.parametrize(
    ("word", "value"),
    [
        (page.MAGIC, 0),
        (page.BORN, 5),
        (page.SLOTS, 1 << 40),
        (page.SLOTS, 4),
        (512 // 8, 7),
        (page.slot_index(1), 3 << 3 | 7),
        (page.slot_index(2), 10 << 3 | page.DONE),
    ],
)
def test_a_page_without_sense_is_given_up_and_then_shows_nothing(sheet: Page, word: int, value: int) -> None:
    sheet.words[page.LAST] = 9
    note(sheet, 0, 9, page.STARTED)
    assert sheet.damage() is None
    sheet.join(0, "mail", "host.1.abc", 1)
    sheet.words[word] = value
    assert sheet.damage()
    assert list(sheet.joins()) == list(sheet.numbers()) == list(sheet.readings()) == []
    assert sheet.damage(), "once and for all"


def test_a_page_that_was_cut_off_is_given_up_and_touching_it_is_no_sigbus(sheet: Page) -> None:
    os.truncate(sheet.path, 0)
    assert sheet.damage() == "it was cut to 0 of 270,336 bytes"
    assert list(sheet.slots()) == []
    sheet.words[page.ORDERS] |= page.STOP
    with pytest.raises(ValueError, match="is no page of this release"):
        Page(sheet.path)


def test_any_bytes_of_a_worker_are_read_without_an_error(sheet: Page) -> None:
    """Before a reader has looked whether the page makes sense, it may have read it."""
    for _ in range(200):
        sheet.map[8 * page.PID :] = os.urandom(len(sheet.map) - 8 * page.PID)
        for read in (sheet.numbers, sheet.readings, sheet.slots, sheet.joins, sheet.struck):
            list(read())
        sheet.finished(1), sheet.highest(), sheet.revoked(), sheet.softly_struck()


def test_the_memory_of_a_page_is_reserved_when_it_is_made(tmp_path: Path) -> None:
    made = Page(tmp_path / "w1.page", create=True)
    few = os.stat(made.path).st_blocks * 512
    assert few >= page.slot_index(page.SHARED_SLOTS) * 8
    made.have_slots(MOST_SLOTS)
    assert os.stat(made.path).st_blocks * 512 >= len(made.map) > few
    made.close()


def test_a_page_for_which_there_is_no_room_is_an_error_in_words_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, start: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(page.NoRoom, match=r"no room for a page of 8,192 bytes.*--shm-size"):
        Page(tmp_path / "w1.page", create=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("phase", sorted(page.OPEN))
def test_the_limit_of_a_hook_is_no_killers_in_any_phase(sheet: Page, phase: int) -> None:
    """R12: `pre_work` runs in *started*, and its limit is none of the task's."""
    sheet.start(0, 7, b"", page.now(), phase)
    overdue.arm(sheet, page.slot_index(0), "pre_work", 2 * 10**9, 10**9)
    assert list(sheet.readings()) == []
    (one,) = overdue.running(sheet)
    assert (one.number, one.hook, one.end_at - one.slow_at) == (7, "pre_work", 10**9)
    overdue.disarm(sheet, page.slot_index(0))
    assert list(overdue.running(sheet)) == list(sheet.readings()) == []


def test_what_a_task_has_armed_is_no_hook_and_what_has_ended_runs_none(sheet: Page) -> None:
    sheet.start(0, 7, b"", page.now())
    sheet.arm(0, 10**9, 2 * 10**9)
    assert list(overdue.running(sheet)) == []
    overdue.arm(sheet, page.slot_index(0), "on_dead", 1, 1)
    sheet.words[page.slot_index(0)] = 7 << 3 | page.DONE
    assert list(overdue.running(sheet)) == []


def test_every_hook_of_a_task_has_a_number_that_the_page_has_room_for() -> None:
    without_a_task = {"initialize", "finalize", "on_starvation"}
    assert set(overdue.NUMBERS) == set(HOOKS) - without_a_task | {overdue.TEXT, overdue.OBSERVER, overdue.EFFECTS}
    assert len(overdue.HOOKS) <= 16


def test_what_is_to_be_cancelled_is_one_number_of_a_slot(sheet: Page) -> None:
    sheet.words[page.LAST] = 9
    note(sheet, 1, 7, page.STARTED)
    assert not sheet.cancelling(1, 7)
    sheet.cancel(1, 7)
    assert sheet.cancelling(1, 7) and not sheet.cancelling(0, 7) and sheet.damage() is None
    note(sheet, 1, 8, page.STARTED)
    assert not sheet.cancelling(1, 8), "the mark is for the one that ran there"


def test_the_longest_note_of_a_task_leaves_the_mark_beside_it_alone(sheet: Page) -> None:
    sheet.cancel(1, 7)
    sheet.progress(1, 1, 2, "x" * 100)
    assert sheet.cancelling(1, 7)
    note(sheet, 1, 7, page.STARTED)
    sheet.progress(1, 1, 2, "x" * 100)
    assert next(state.note for state in sheet.slots() if state.slot == 1) == "x" * page.NOTE_SIZE


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (page.BOARD, 1 << 63),
        (page.CANCELS, 2),
        (page.slot_index(1) + page.CANCELLING, 10),
        (page.slot_index(1) + page.CANCELLING, (1 << 64) - 1),
    ],
)
def test_notices_that_make_no_sense_are_damage(sheet: Page, at: int, value: int) -> None:
    sheet.words[page.LAST], sheet.words[page.BOARD], sheet.words[page.CANCELS] = 9, 3, 1
    assert sheet.damage() is None
    sheet.words[at] = value
    assert sheet.damage()
