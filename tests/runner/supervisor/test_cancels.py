"""What is to be cancelled, as its killer sees it, and what its death says of its neighbors."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from regiment_killers.ladder import climb
from regiment_runner.shared import overdue, page
from regiment_runner.shared.page import Page
from regiment_runner.supervisor.strikes import WorkerView

SECOND = 10**9


@pytest.fixture
def view(tmp_path: Path) -> Iterator[WorkerView]:
    """A worker that does nothing but live, with three slots in which a task has started."""
    sheet = Page(tmp_path / "w1.page", create=True)
    sheet.words[page.SLOTS], sheet.words[page.LAST] = 3, 9
    for slot in range(3):
        sheet.start(slot, slot + 1, b"head", page.now())
    # It takes no notice of the soft strike, which is a signal like any other to it.
    code = f"import signal, time; signal.signal({page.SOFT_SIGNAL}, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with subprocess.Popen(["python3", "-c", code], stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None and worker.stdout.readline()
        pidfd = os.pidfd_open(worker.pid)
        yield WorkerView(sheet, worker.pid, pidfd)
        worker.kill()
        os.close(pidfd)
    sheet.close()


def test_a_task_without_limits_is_late_once_it_is_marked_and_for_good_when_its_grace_is_over(view: WorkerView) -> None:
    assert list(view.readings()) == []
    view.cancels.have({"": 2.0, "slow to tidy up, and with a very long name": 30.0})
    view.page.name(2, "slow to tidy up, and with a very long name")
    view.page.cancel(1, 2)
    view.page.cancel(2, 3)
    one, other = view.readings()
    assert (one.slot, one.number, one.hard - one.soft) == (1, 2, 2 * SECOND)
    assert (other.slot, other.number, other.hard - other.soft) == (2, 3, 30 * SECOND)
    assert list(view.readings()) == [one, other], "the time of the mark stays"
    view.page.start(1, 5, b"head", page.now())
    assert list(view.readings()) == [other]


def test_a_killer_that_ends_nothing_is_not_shown_what_it_cannot_reach(view: WorkerView) -> None:
    view.cancels.have({"": 1.0}, unlimited=False)
    view.page.cancel(0, 1)
    view.page.cancel(1, 2)
    view.page.arm(1, SECOND, 0)
    assert [one.number for one in view.readings()] == [2]


def test_a_limit_that_is_over_before_the_grace_stays(view: WorkerView) -> None:
    view.page.arm(0, 0, SECOND)
    view.page.cancel(0, 1)
    view.cancels.have({"": 60.0})
    (one,) = view.readings()
    assert one.hard == view.page.words[page.slot_index(0) + page.HARD] and one.soft < one.hard


def test_a_hook_is_not_struck_for_its_task(view: WorkerView) -> None:
    overdue.arm(view.page, page.slot_index(0), "pre_work", SECOND, SECOND)
    view.page.cancel(0, 1)
    assert list(view.readings()) == []


def test_the_ladder_strikes_what_is_marked_and_its_death_is_no_verdict_on_others(view: WorkerView) -> None:
    view.cancels.have({"": 1.0})
    view.page.cancel(1, 2)
    list(view.readings())  # it is seen
    wake = climb(view, page.now())
    assert view.page.words[page.slot_index(1) + page.STRUCK] == 2 and not view.struck
    assert wake is not None and climb(view, wake) is None
    assert view.only_cancelled and set(view.notes()) == {2}
    assert view.notes()[2]["kind"] == "cancelled"


def test_one_that_is_late_beside_one_that_is_cancelled_is_a_suspect_like_its_neighbors(view: WorkerView) -> None:
    view.page.cancel(1, 2)
    for slot in (1, 0):
        assert view.condemn(slot, slot + 1)
        view.kill(slot, slot + 1, "killed at its hard time limit")
    assert not view.only_cancelled
    assert {number: note["kind"] for number, note in view.notes().items()} == {
        1: "suspect",
        2: "cancelled",
        3: "suspect",
    }
