"""The backend of Django's Tasks framework."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from regiment_testing import Capture, capture

pytestmark = pytest.mark.usefixtures("clean")


@pytest.fixture
def queue() -> Iterator[Capture]:
    with capture() as made:
        yield made


def test_a_declared_task_runs_and_its_result_is_what_the_framework_expects(queue: Capture) -> None:
    from depot.tasks import weigh
    from django_tasks import TaskResultStatus

    result = weigh.enqueue("book", grams=200)
    assert result.status == TaskResultStatus.READY and weigh.get_result(result.id).status == TaskResultStatus.READY
    assert queue.drain() == 1
    result.refresh()
    assert result.status == TaskResultStatus.SUCCESSFUL and result.return_value == "book: 200 g"
    assert (result.args, result.kwargs, result.attempts) == (["book"], {"grams": 200}, 1)
    assert result.enqueued_at and result.started_at and result.finished_at


def test_a_declared_task_that_fails_tells_how(queue: Capture) -> None:
    from depot.tasks import weigh
    from django_tasks import TaskResultStatus

    result = weigh.enqueue("feather", grams=-1)
    queue.drain()
    result.refresh()
    assert result.status == TaskResultStatus.FAILED and result.errors[0].exception_class is LookupError
    assert "feather weighs nothing" in result.errors[0].traceback


def test_coroutines_context_other_queues_priorities_and_times(queue: Capture) -> None:
    from depot.tasks import pack, weigh

    later = datetime.now(UTC) + timedelta(hours=1)
    packed = pack.enqueue("lamp")
    weigh.using(priority=7, queue_name="slow-ones", run_after=later).enqueue("book")
    first, second = queue.pushed
    assert (first.queue, first.priority, second.queue, second.priority) == ("slow-ones", "LOW", "slow-ones", "HIGH")
    assert 3590 < second.delay <= 3600
    assert queue.advance(10) == 1
    packed.refresh()
    assert packed.return_value == ["lamp", 1, 0] and packed.task.priority == -5


def test_in_a_transaction_a_declared_task_waits_for_the_commit(queue: Capture) -> None:
    from depot.tasks import weigh
    from django.db import transaction

    with transaction.atomic():
        result = weigh.enqueue("book")
        assert result.id and not queue.pushed
    assert queue.pushed[0].id == result.id
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        weigh.enqueue("lamp")
        raise ZeroDivisionError
    assert len(queue.pushed) == 1


def test_what_the_backend_cannot_give_it_says(queue: Capture) -> None:
    from depot.tasks import weigh
    from django_tasks.exceptions import InvalidTaskError, TaskResultDoesNotExist

    with pytest.raises(TaskResultDoesNotExist):
        weigh.get_result("never")
    from regiment_django.backend import RegimentBackend

    forgetful = RegimentBackend("forgetful", {})
    assert not forgetful.supports_get_result
    with pytest.raises(NotImplementedError, match="this backend keeps no results"):
        forgetful.get_result("any")
    with pytest.raises(InvalidTaskError, match="not valid for backend"):
        weigh.using(queue_name="else")


def test_a_name_in_a_message_imports_nothing(queue: Capture) -> None:
    from depot.tasks import weigh

    backend = weigh.get_backend()
    task = backend.queue("default").options(name="this.module").push(args=[], kwargs={})
    assert queue.run(task).kind == "unknown"


def test_signals_are_sent_where_things_happen(queue: Capture) -> None:
    from depot.tasks import weigh
    from django_tasks.signals import task_enqueued, task_finished, task_started

    told: list[Any] = []

    def note(sender: Any, task_result: Any, **_: Any) -> None:
        told.append((sender.__name__, str(task_result.status), task_result.id))

    for signal in (task_enqueued, task_started, task_finished):
        signal.connect(note)
    try:
        result = weigh.enqueue("book")
        queue.drain()
    finally:
        for signal in (task_enqueued, task_started, task_finished):
            signal.disconnect(note)
    assert told == [("RegimentBackend", status, result.id) for status in ("READY", "RUNNING", "SUCCESSFUL")]


def test_options_of_a_backend_that_mean_nothing_are_found_by_the_system_check(depot: Path) -> None:
    from regiment_django.backend import RegimentBackend

    backend = RegimentBackend("odd", {"QUEUES": ["odd"], "OPTIONS": {"max_retrys": 3, "lease": -1}})
    texts = [one.msg for one in backend.check()]
    assert texts[0].startswith(
        'TASKS["odd"]["OPTIONS"] has "max_retrys", which is no setting of a queue. Did you mean "max_retries"?'
    )
    assert any("lease" in text for text in texts[1:])
