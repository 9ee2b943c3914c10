"""regiment-killers: the examination, what each says of itself, and the write-off of a thread."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.scale import size
from regiment.contracts import Killer
from regiment.options import check_options
from regiment_killers import Coroutine as UseCoroutine
from regiment_killers import Process as UseProcess
from regiment_killers import Thread as UseThread
from regiment_killers.coroutine import Coroutine
from regiment_killers.process import Process
from regiment_killers.thread import Thread
from regiment_runner.shared import page
from regiment_testing.contracts.killer import LATE, KillerContract, Watched, reading

STRIKES = size(200, 5000)


@pytest.mark.fault(11)
class TestProcess(KillerContract):
    strikes = STRIKES

    @pytest.fixture
    def killer(self) -> Killer:
        return Process()


@pytest.mark.fault(11)
class TestThread(KillerContract):
    strikes = STRIKES

    @pytest.fixture
    def killer(self) -> Killer:
        return Thread()


@pytest.mark.fault(11)
class TestCoroutine(KillerContract):
    strikes = STRIKES

    @pytest.fixture
    def killer(self) -> Killer:
        return Coroutine()


# What each says of itself


def test_the_choices_name_the_offers() -> None:
    assert (UseProcess().name, UseCoroutine().name) == ("process", "coroutine")
    assert UseThread(grace=5).name == "thread" and UseThread(grace=5).options == {"grace": 5}


def test_a_grace_that_is_no_time_is_refused_in_words() -> None:
    assert check_options("killer 'thread'", Thread, {"grace": -1}) == [
        "killer 'thread': option grace is -1; expected a positive number of seconds"
    ]
    assert check_options("killer 'thread'", Thread, {"grace": "soon"}) == [
        "killer 'thread': option grace is 'soon'; expected float or int"
    ]
    assert not check_options("killer 'thread'", Thread, {"grace": 0.5})


# The thread killer's second rung


@pytest.fixture
def sheet(tmp_path: Path) -> Iterator[page.Page]:
    made = page.Page(tmp_path / "page", create=True)
    before = signal.getsignal(page.SOFT_SIGNAL)
    yield made
    signal.signal(page.SOFT_SIGNAL, before)


def test_a_thread_that_has_not_obeyed_within_grace_is_struck_again(sheet: page.Page) -> None:
    killer, view = Thread(grace=0.5), Watched(reading(soft=LATE))
    assert killer.watch(view, LATE) == LATE + 500_000_000
    assert killer.watch(view, LATE + 1) == LATE + 500_000_000
    assert view.softly == [(0, 7)]
    killer.watch(view, LATE + 500_000_000)
    assert view.softly == [(0, 7), (0, 7)]


def test_a_thread_in_c_is_written_off_with_the_place_where_it_stands(sheet: page.Page) -> None:
    killer = Thread(grace=0.1)
    killer.install(sheet, "threads")
    told: list[tuple[int, int, str]] = []
    sheet.write_off = lambda slot, number, stack: told.append((slot, number, stack))
    over, inside = threading.Event(), threading.Event()

    def hang() -> None:
        sheet.start(0, 9, b"", page.now())
        try:
            with killer.guard(0, 30.0, None):
                inside.set()
                threading.Event().wait(1.0)  # in C, as a blocked recv is
        except BaseException:
            over.set()

    thread = threading.Thread(target=hang)
    thread.start()
    assert inside.wait(5)
    sheet.words[page.slot_index(0) + page.STRUCK] = 9
    signal.raise_signal(page.SOFT_SIGNAL)
    signal.raise_signal(page.SOFT_SIGNAL)
    assert not told, "it was reminded before grace was over"
    time.sleep(0.15)
    signal.raise_signal(page.SOFT_SIGNAL)
    assert [(slot, number) for slot, number, _ in told] == [(0, 9)]
    assert "in hang" in told[0][2]
    assert over.wait(5), "the exception arrives when the thread comes back"
    thread.join()


def test_a_task_that_swallows_its_strike_ends_as_it_likes_and_the_next_is_not_hit(
    sheet: page.Page,
) -> None:
    killer = Thread()
    killer.install(sheet, "threads")
    landed: list[int] = []
    inside, ended = threading.Event(), threading.Event()

    def work() -> None:
        for number in (1, 2):
            sheet.start(0, number, b"", page.now())
            with killer.guard(0, 30.0, None):
                try:
                    inside.set()
                    end = time.monotonic() + (10.0 if number == 1 else 0.3)
                    while time.monotonic() < end:
                        pass
                except BaseException:
                    landed.append(number)
        ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert inside.wait(5)
    sheet.words[page.slot_index(0) + page.STRUCK] = 1
    for _ in range(5):
        signal.raise_signal(page.SOFT_SIGNAL)
    assert ended.wait(20)
    thread.join()
    assert landed == [1]
