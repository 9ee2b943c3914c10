"""A soft strike at a task that is cancelled lands in its work or nowhere, whenever it comes."""

from __future__ import annotations

import contextvars
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regiment import Cancelled, Queue, Timeouts, Use
from regiment.build import make_connector
from regiment.task import new_id
from regiment_cli.targets import application
from regiment_killers.process import Process
from regiment_runner.parts import terms_of
from regiment_runner.shared import page
from regiment_runner.shared.page import Page
from regiment_runner.worker import guarded, sprint, striking
from regiment_runner.worker.lease import Lease
from regiment_runner.worker.runtime import Runtime
from regiment_runner.worker.source import Source

TASKS = 2000

seen: Counter[str] = Counter()
told: Counter[int] = Counter()


def works(n: int) -> None:
    try:
        for _ in range(3000):
            pass
    except Cancelled:
        seen["inside"] += 1
        raise


@pytest.fixture
def source(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Source]:
    queue = Queue("q", connector=Use("memory", name=new_id()), tasks_per_transaction=50)
    queue.task(works, name="plain")
    queue.task(works, name="limited", timeouts=Timeouts(60))
    queue.on("cancel")(lambda task: told.update([task.kwargs["n"]]))
    for n in range(TASKS):
        queue.options(name="limited" if n % 2 else "plain").push(n=n)
    sheet, killer, wake = Page(tmp_path / "w1.page", create=True), Process(), os.eventfd(0, os.EFD_NONBLOCK)
    connector = make_connector(queue.config)()
    connector.open("lease")
    runtime = Runtime(application(queue), queue.broker.codec, sheet, killer)
    lease = Lease(connector, "q", terms_of(queue.config))
    found, before = Source(runtime, lease, 1, wake), signal.getsignal(page.SOFT_SIGNAL)
    killer.install(sheet, "main")
    striking.install(sheet, killer, "main", found.attempts)
    yield found
    time.sleep(10 * striking.AGAIN)  # a strike that was to be repeated has looked by then, and found nothing to strike
    signal.signal(page.SOFT_SIGNAL, before)
    connector.close()
    os.close(wake)


@pytest.mark.parametrize("short", [True, False])
def test_strikes_at_any_moment_end_the_work_that_they_are_for_and_nothing_else(source: Source, short: bool) -> None:
    seen.clear()
    told.clear()
    sheet, over, struck = source.page, threading.Event(), set[int]()

    def strike() -> None:
        while not over.is_set():
            number, phase = sheet.slot_word(0)
            if phase == page.STARTED and number not in struck:
                sheet.cancel(0, number)
                sheet.words[page.slot_index(0) + page.STRUCK] = number
                struck.add(number)
                signal.pthread_kill(threading.main_thread().ident or 0, page.SOFT_SIGNAL)
            time.sleep(0.0001)

    thread = threading.Thread(target=strike)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # or strikes would come only where this thread waits for something
    thread.start()
    try:
        while (attempt := source.take(block=False)) is not None:
            contextvars.copy_context().run(attempt.run_on if short else attempt.run)
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(interval)
    counts: Any = source.lease.connector.counts("q")
    assert (counts.ready, counts.leased, counts.delayed, counts.dead) == (0, 0, 0, 0)
    assert source.over == TASKS
    assert set(told.values()) <= {1} and len(told) <= len(struck)
    assert told, "some were struck in time"
    assert seen["inside"] <= len(told)


def test_the_lines_on_which_work_is_called_are_found() -> None:
    for function in (guarded.worked, sprint._run_each):
        first = function.__code__.co_firstlineno
        path = Path(function.__code__.co_filename)
        line = path.read_text().splitlines()[striking._LINES[function.__code__] - 1]
        assert line.strip().startswith("value = work("), (first, line)
