"""Sergeant's names on a regiment worker do what Sergeant's users know."""

from __future__ import annotations

from typing import Any

import pytest

from regiment import WorkerConfig
from regiment_sergeant import Worker
from regiment_testing import capture

NOWHERE = "redis://nowhere.invalid:1/0"


class Crawl(Worker):
    config = WorkerConfig("sergeant-crawl", connector=NOWHERE)

    def work(self, task: Any) -> None:
        url = task.kwargs["url"]
        self.push_task(task_name="sergeant-parse", kwargs={"url": url}, priority="HIGH")
        self.push_tasks(kwargs_list=[{"url": url}, {"url": url}], task_name="sergeant-parse")


def test_a_task_pushes_to_another_queue_by_sergeants_names() -> None:
    with capture() as queue:
        Crawl.push(url="u")
        queue.drain()
        pushed = [(one.queue, one.kwargs) for one in queue.pushed]
    assert pushed == [("sergeant-crawl", {"url": "u"}), *[("sergeant-parse", {"url": "u"})] * 3]


def test_a_queue_is_counted_and_purged_by_sergeants_names() -> None:
    with capture() as queue:
        worker = Crawl()
        Crawl.push(url="u")
        Crawl.options(delay=5).push(url="u")
        assert worker.number_of_enqueued_tasks() == 1
        assert worker.number_of_enqueued_tasks(include_delayed=True) == 2
        assert worker.purge_tasks() == 2 and queue.waiting == []


def test_init_broker_says_that_it_is_not_needed() -> None:
    with pytest.warns(DeprecationWarning, match="not needed any more"):
        Crawl().init_broker()


class Counted(Worker):
    config = WorkerConfig("sergeant-counted", connector=NOWHERE, max_retries=3)

    def work(self, task: Any) -> None:
        task.kwargs["left"].pop()
        if task.kwargs["left"]:
            self.retry(task, "HIGH")


def test_a_retry_carries_the_arguments_as_the_task_has_left_them() -> None:
    with capture() as queue:
        Counted.push(left=[1, 2, 3])
        assert queue.drain() == 3
        assert not queue.dead
