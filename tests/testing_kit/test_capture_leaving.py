"""What captured tasks leave behind: in the step in which they succeed, or not at all, as with a store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from regiment import Queue, Retry, Worker, WorkerConfig, current
from regiment.contracts import Effect, Keep
from regiment.hooks import hookimpl
from regiment_testing import capture

ran: list[str] = []


class Parse(Worker):
    config = WorkerConfig(name="parse")

    def work(self, task: Any) -> None:
        ran.append(f"parse {task.kwargs['text']}")


class Crawl(Worker):
    config = WorkerConfig(name="crawl", max_retries=2)

    def work(self, task: Any) -> None:
        ran.append(f"crawl {task.run_count}")
        current().commit.push(Parse, text="a")
        current().commit.push(Parse.options(delay=3600), text="b")
        current().commit.keep("page", ["a", "b"], None)
        if not task.run_count:
            raise Retry(delay=1)

    def on_success(self, task: Any, returned_value: Any) -> None:
        current().commit.keep("handler", "was here", None)


def test_a_class_leaves_children_and_records_in_the_run_that_succeeds() -> None:
    ran.clear()
    with capture(Crawl, Parse) as queue:
        queue.run(Crawl.push())
        assert ran == ["crawl 0"]
        queue.drain()
        broker = Crawl.outlet.broker()
        assert broker.kept("crawl", "page") == ["a", "b"]
        assert broker.kept("crawl", "handler") == "was here"
    assert ran[:3] == ["crawl 0", "crawl 1", "parse a"]
    assert ran.count("parse b") <= 1


class Ends:
    """A plugin that keeps how each task has ended."""

    needs = frozenset({"effects"})

    @staticmethod
    @hookimpl
    def regiment_effects(task_id: str, outcome: Any, settles: str) -> Iterable[Effect]:
        return [Keep(f"u:{task_id}", settles.encode(), 60.0)]


def act(fails: bool) -> int:
    if fails:
        raise ValueError("no")
    return 1


@pytest.mark.parametrize(("fails", "settled"), [(False, b"done"), (True, b"dead")])
def test_a_plugin_is_asked_of_each_end(fails: bool, settled: bytes) -> None:
    queue = Queue("q", plugins=[Ends])
    task = queue.task(act)
    with capture(queue) as captured:
        pushed = task.push(fails=fails)
        captured.run(pushed)
        with queue.broker.connector() as connector:
            (found,) = connector.records("q", [f"u:{pushed.id}"])  # type: ignore[attr-defined]
    assert found.value == settled
