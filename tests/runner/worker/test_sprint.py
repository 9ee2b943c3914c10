"""The short way and the ordinary one: whatever is delivered, both settle the same and leave the same words on the page."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regiment import Fail, Queue, Requeue, Retry, Use, log
from regiment.build import make_connector
from regiment.config import Backoff, Logging, Timeouts
from regiment.contracts import Done, Settlement
from regiment.task import new_id
from regiment_cli.targets import application
from regiment_killers.process import Process
from regiment_runner.parts import terms_of
from regiment_runner.shared.page import Page
from regiment_runner.shared.tally import tallies
from regiment_runner.worker.lease import Lease
from regiment_runner.worker.runtime import Runtime
from regiment_runner.worker.source import Source

ran: list[int] = []
KINDS = (
    "plain",
    "value",
    "raises",
    "requeue",
    "retry",
    "fail",
    "large",
    "expired",
    "unreadable",
    "limited",
    "generator",
)


def act(n: int, kind: str, pad: str = "") -> Any:
    ran.append(n)
    first = ran.count(n) == 1
    if kind == "raises":
        raise ValueError(n)
    if kind in ("requeue", "retry") and first:
        raise Requeue if kind == "requeue" else Retry(delay=0)
    if kind == "fail":
        raise Fail
    if kind == "generator":
        return (number for number in (n,))
    return n if kind == "value" else None


def limited(n: int, kind: str) -> None:
    ran.append(n)


class Way:
    """One worker in this process, whose attempts go one of the two ways until nothing is left."""

    def __init__(self, short: bool, kinds: Sequence[str], batch: int) -> None:
        ran.clear()
        self.settled: dict[int, str] = {}
        self.words: list[tuple[int, int]] = []
        queue = Queue(
            "q",
            connector=Use("memory", name=new_id()),
            tasks_per_transaction=batch,
            backoff=Backoff(first=0, jitter=False),
        )
        task, guarded = queue.task(act), queue.task(limited, timeouts=Timeouts(hard=60))
        connector = make_connector(queue.config)()
        connector.open("lease")
        for n, kind in enumerate(kinds):
            self._push(queue, connector, task, guarded, n, kind)
        with tempfile.TemporaryDirectory() as folder:
            sheet = Page(Path(folder) / "w1.page", create=True)
        runtime = Runtime(application(queue), queue.broker.codec, sheet, Process())
        wake = os.eventfd(0, os.EFD_NONBLOCK)
        lease = Lease(connector, "q", terms_of(queue.config))
        exchange = lease.exchange

        def told(settlements: Sequence[Settlement], limit: int, nothing: bool) -> Any:
            for one in settlements:
                numbers = range(one.first, one.last + 1) if isinstance(one, Done) else [one[0]]
                for number in numbers:
                    assert number not in self.settled, "settled once"
                    self.settled[number] = type(one).__name__
            return exchange(settlements, limit, nothing)

        lease.exchange = told  # type: ignore[method-assign]
        source = Source(runtime, lease, 1, wake, burst=True)
        while (attempt := source.take()) is not None:
            contextvars.copy_context().run(attempt.run_on if short else attempt.run)
            self.words.append(sheet.slot_word(0))
        self.ran, self.tasks = list(ran), source.over
        self.left = connector.counts("q")
        self.counted = {name: row[:-1] for name, row in tallies(sheet).items()}
        os.close(wake)
        connector.close()
        queue.broker.close()

    @staticmethod
    def _push(queue: Queue, connector: Any, task: Any, guarded: Any, n: int, kind: str) -> None:
        if kind == "limited":
            guarded.push(n=n, kind=kind)
        elif kind == "large":
            task.push(n=n, kind=kind, pad="x" * 10_000)
        elif kind == "expired":
            queue.options(name="act", expires=0.000001).push(n=n, kind=kind)
        elif kind == "unreadable":
            connector.push("q", [b"no message of ours"], priority=0, token=new_id())
        else:
            task.push(n=n, kind=kind)


@contextlib.contextmanager
def level(of: int) -> Iterator[None]:
    before = log.logger.level
    log.logger.setLevel(of)
    try:
        yield
    finally:
        log.logger.setLevel(before)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=12),
    st.sampled_from([1, 2, 5, 100]),
    st.sampled_from([logging.WARNING, logging.DEBUG]),
)
def test_both_ways_run_and_settle_the_same(kinds: list[str], batch: int, shown: int) -> None:
    with level(shown):
        short, ordinary = Way(True, kinds, batch), Way(False, kinds, batch)
    assert short.ran == ordinary.ran
    assert short.settled == ordinary.settled
    assert short.tasks == ordinary.tasks
    assert short.words[-1] == ordinary.words[-1]
    assert set(short.words) <= set(ordinary.words), "a sprint passes words by, and makes none of its own"
    assert short.left == ordinary.left
    assert short.counted == ordinary.counted
    assert sum(map(sum, short.counted.values())) == len(short.settled), "each end counts, and once"


def test_the_log_hears_of_a_start_and_a_success_at_debug_and_the_short_way_is_taken_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    said = []
    for short in (True, False):
        caplog.clear()
        with caplog.at_level(logging.DEBUG, log.logger.name):
            way = Way(short, ["plain", "value", "plain"], 100)
        said.append([record.message for record in caplog.records if record.message.startswith("task.")])
        assert len(way.words) == (1 if short else 3), "one sprint, or three attempts"
    assert said[0] == said[1] == ["task.started", "task.success"] * 3


def test_a_success_that_the_settings_put_at_another_level_is_said_there(caplog: pytest.LogCaptureFixture) -> None:
    queue = Queue("q", connector="memory:", logging=Logging(events={"task.success": "INFO"}))
    queue.task(act)
    with tempfile.TemporaryDirectory() as folder, caplog.at_level(logging.INFO, log.logger.name):
        runtime = Runtime(application(queue), queue.broker.codec, Page(Path(folder) / "p", create=True), Process())
        assert runtime.loud
