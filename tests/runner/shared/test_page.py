"""The page: what a reader sees of a worker that may die between any two writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from regiment_runner.shared import page
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


def test_folders_of_dead_supervisors_are_removed_and_those_of_the_living_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    base = page.home()
    base.mkdir()
    dead, reused = base / "4194999-1", base / f"{os.getpid()}-1"
    living = base / f"{os.getppid()}-{page.start_ticks(os.getppid())}"
    for folder in (dead, reused, living):
        folder.mkdir()
    mine = page.make_tree()
    assert not dead.exists()
    assert not reused.exists(), "the pid lives, but it started at another time"
    assert living.exists() and mine.exists()
    assert mine.stat().st_mode & 0o777 == 0o700
