"""Pushes in transactions of Django: sent at the commit, never without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regiment import ArgumentsError, EncodeError
from regiment_testing import Capture, capture

pytestmark = pytest.mark.usefixtures("clean")


@pytest.fixture
def queue() -> Iterator[Capture]:
    with capture() as made:
        yield made


def names(queue: Capture) -> list[Any]:
    return [one.kwargs["name"] for one in queue.pushed]


def test_a_push_in_a_transaction_is_sent_at_the_commit_and_its_id_is_known_at_once(queue: Capture) -> None:
    from depot.models import Parcel
    from depot.tasks import send
    from django.db import transaction

    with transaction.atomic():
        Parcel.objects.create(name="book")
        told = send.push(name="book")
        with transaction.atomic():
            send.options(delay=30, priority="HIGH").push(name="lamp")
        assert not queue.pushed
    assert names(queue) == ["book", "lamp"] and queue.pushed[0].id == told.id
    assert (queue.pushed[1].delay, queue.pushed[1].priority) == (30, "HIGH")
    assert queue.drain() == 2 and Parcel.objects.get(name="book").sent == 1


def test_outside_of_a_transaction_a_push_is_sent_at_once(queue: Capture) -> None:
    from depot.tasks import send

    send.push(name="book")
    assert names(queue) == ["book"]


def test_what_is_rolled_back_is_never_sent_also_to_a_savepoint(queue: Capture) -> None:
    from depot.tasks import send
    from django.db import transaction

    with pytest.raises(LookupError), transaction.atomic():
        send.push(name="whole")
        raise LookupError
    with transaction.atomic():
        send.push(name="outer")
        with pytest.raises(LookupError), transaction.atomic():
            send.push(name="inner")
            with transaction.atomic():
                send.push(name="innermost")
            raise LookupError
        send.push(name="after")
        with pytest.raises(LookupError), transaction.atomic(savepoint=False):
            raise LookupError
        transaction.set_rollback(False)
    assert names(queue) == ["outer", "after"]


def test_with_two_databases_a_push_waits_for_every_open_transaction(queue: Capture) -> None:
    from depot.tasks import send
    from django.db import transaction

    with transaction.atomic("other"):
        with transaction.atomic():
            send.push(name="both")
        assert not queue.pushed
        send.push(name="other alone")
    assert names(queue) == ["both", "other alone"]
    with transaction.atomic():
        with pytest.raises(LookupError), transaction.atomic("other"):
            send.push(name="one rolled back")
            raise LookupError
        with pytest.raises(LookupError), transaction.atomic("other"):
            send.options(using="default").push(name="default alone")
            raise LookupError
    assert names(queue) == ["both", "other alone", "default alone"]


def test_a_queue_and_a_push_may_say_which_database_counts_or_none(queue: Capture) -> None:
    from depot.tasks import send
    from django.db import transaction

    from regiment_django import Django, Queue

    send_hastily = Queue("hasty", plugins=[Django(on_commit=False)]).task(send.function)
    send_narrowly = Queue("narrow", plugins=[Django(using="other")]).task(send.function)

    with transaction.atomic():
        send_hastily.push(name="hasty")
        send_narrowly.push(name="narrow")
        send.options(now=True).push(name="now")
        assert names(queue) == ["hasty", "narrow", "now"]
        send_hastily.options(now=False).push(name="waits after all")
        with transaction.atomic("other"):
            send_narrowly.push(name="other")
            assert len(queue.pushed) == 3
    assert names(queue)[3:] == ["other", "waits after all"]


def test_many_are_sent_at_the_commit_with_the_arguments_of_their_push(queue: Capture) -> None:
    from depot.tasks import count, send
    from django.db import transaction

    things = [1, 2]
    with transaction.atomic():
        assert send.push_many({"name": str(number)} for number in range(1500)) == 1500
        task = count.push(things=things)
        things.append(3)
        assert not queue.pushed
    assert names_of(queue)[:1500] == [str(number) for number in range(1500)]
    assert queue.run(task).value == 2


def names_of(queue: Capture) -> list[Any]:
    return [one.kwargs.get("name") for one in queue.pushed]


def test_what_cannot_be_stored_fails_at_its_push_and_not_at_the_commit(queue: Capture) -> None:
    from depot.tasks import send
    from django.db import transaction

    with transaction.atomic():
        with pytest.raises(EncodeError):
            send.push(name=object())  # type: ignore[arg-type]
        send.push(name="good")
    assert names(queue) == ["good"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"using": "othr"}, 'using is "othr", and DATABASES has no such alias. Did you mean "other"'),
        ({"now": 1}, "now is 1; expected True or False"),
        ({"now": True, "using": "other"}, "now and using were both given"),
    ],
)
def test_options_that_mean_nothing_are_refused_in_words(options: dict[str, Any], said: str, queue: Capture) -> None:
    from depot.tasks import send

    with pytest.raises(ArgumentsError, match=f"^{said}"):
        send.options(**options).push(name="book")
    assert not queue.pushed


def test_a_transaction_that_is_not_djangos_is_refused_in_words(queue: Capture) -> None:
    from depot.tasks import send
    from django.db import connection, transaction

    transaction.set_autocommit(False)
    try:
        with pytest.raises(ArgumentsError, match='the database "default" is in a transaction that is not Django\'s'):
            send.push(name="book")
        send.options(now=True).push(name="book")
        connection.rollback()
    finally:
        transaction.set_autocommit(True)
    assert names(queue) == ["book"]


def test_in_djangos_own_tests_the_commit_is_captured_as_ever(depot: Path) -> None:
    import unittest

    from django.test import TestCase

    class Tests(TestCase):
        def test_it(self) -> None:
            from depot.tasks import send

            with capture() as queue:
                with self.captureOnCommitCallbacks() as calls:
                    send.push(name="book")
                assert len(calls) == 1 and not queue.pushed
                with self.captureOnCommitCallbacks(execute=True):
                    send.push(name="lamp")
                assert names(queue) == ["lamp"]

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Tests).run(result)
    assert result.testsRun == 1 and result.wasSuccessful(), result.errors + result.failures


def test_a_connection_is_closed_after_a_struck_task_and_one_in_a_transaction_is_dropped_in_a_worker_alone(
    depot: Path,
) -> None:
    from depot.models import Parcel
    from django.db import connection, connections, transaction

    from regiment import TaskTimeout
    from regiment_django.connections import close_old

    connection.settings_dict["CONN_MAX_AGE"] = None
    try:
        Parcel.objects.count()
        connection.close_at = None
        close_old()
        assert connection.connection is not None, "young and whole"
        try:
            raise TaskTimeout("late")
        except TaskTimeout:
            close_old()
        assert connection.connection is None
        opened = transaction.atomic()
        opened.__enter__()
        before = connections["default"]
        with capture():
            close_old()
        assert connections["default"] is before and before.in_atomic_block
        close_old()
        assert connections["default"] is not before and not connections["default"].in_atomic_block
    finally:
        connection.settings_dict["CONN_MAX_AGE"] = 0
    assert Parcel.objects.count() == 0
