"""What a push takes can be delivered by each store and runs; what it refuses is refused alike, also in `capture`."""

from __future__ import annotations

import math
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness import mongod
from harness.servers import redis
from regiment import Queue
from regiment.broker import Broker
from regiment.contracts import Done, Terms
from regiment.errors import ArgumentsError, EncodeError, RegimentError, StoreError
from regiment_testing import capture


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Name -> URL of one of each."""
    with ExitStack() as stack:
        yield {
            "memory": "memory://surface",
            "sqlite": f"sqlite:///{tmp_path_factory.mktemp('surface')}/queue.db",
            "redis": stack.enter_context(redis()).url,
            "mongo": mongod.with_database(stack.enter_context(mongod.address()), "surface"),
        }


_queues: dict[str, Queue] = {}


def queue_on(url: str) -> Queue:
    """A queue whose one task takes anything, on that store."""
    if url not in _queues:
        q = _queues[url] = Queue("surface", connector=url)
        q.task(name="take")(take)
    return _queues[url]


def take(**given: Any) -> dict[str, Any]:
    return given


TEXT = st.text(max_size=8)
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.binary(max_size=3), TEXT, st.lists(TEXT, max_size=1)
)
MOMENT = st.one_of(
    st.datetimes(timezones=st.just(UTC)),
    st.datetimes(),
    st.floats(),
    st.integers(),
    st.floats(0, 5e9),
)
PERIOD = st.one_of(st.timedeltas(), st.floats(), st.integers(), st.floats(-5, 4e9))
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.one_of(st.text(min_size=1, max_size=210), ODD),
        "trace_id": st.one_of(TEXT, ODD),
        "headers": st.one_of(
            st.dictionaries(TEXT, TEXT, max_size=3),
            st.dictionaries(ODD.filter(lambda v: not isinstance(v, list)), ODD, max_size=2),
            ODD,
        ),
        "priority": st.one_of(st.sampled_from(["HIGH", "NORMAL", "LOW"]), ODD),
        "delay": st.one_of(PERIOD, ODD),
        "at": st.one_of(MOMENT, ODD),
        "expires": st.one_of(PERIOD, MOMENT, ODD),
        "name": st.one_of(st.just("take"), TEXT, ODD),
        "queue": st.one_of(st.just("surface"), st.text("ab-_.:/", min_size=1, max_size=5), TEXT, ODD),
    },
)
GOOD = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=30),
        "trace_id": st.text("ab-0", min_size=1),
        "headers": st.dictionaries(st.text("abc", min_size=1), TEXT, max_size=3),
        "priority": st.sampled_from(["HIGH", "NORMAL", "LOW"]),
        "delay": st.floats(-5, 3.1e9),
        "expires": st.floats(60, 3.1e9),
        "name": st.one_of(st.just("take"), st.text("ab c", min_size=1)),
        "queue": st.text("ab-_.:/", min_size=1, max_size=5),
    },
)
ARGUMENTS = st.dictionaries(
    st.one_of(TEXT, st.sampled_from(["self", "task", "kwargs", "queue", "args"])),
    st.one_of(
        st.none(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(max_size=5), st.binary(max_size=5)
    ),
    max_size=3,
)


def push(q: Queue, options: dict[str, Any], kwargs: dict[str, Any]) -> tuple[str, Any]:
    """What the push answered: "taken" and its answer, or the type of the refusal and its words."""
    try:
        return "taken", q.options(**options).push(**kwargs)
    except (ArgumentsError, EncodeError) as error:
        return type(error).__name__, str(error)


def delivered(broker: Broker, queue: str) -> Any:
    """What lies in a queue, ready or delayed, taken out by a consumer where it is ready."""
    with broker.connector() as store:
        waiting = [one.payload for one in store.peek(queue, "delayed")]
        store.join(queue, f"c{time.monotonic_ns()}", Terms())
        consumer = f"d{time.monotonic_ns()}"
        store.join(queue, consumer, Terms())
        taken = store.exchange(queue, consumer, 1, 1, [], 10, 10**9)
        store.exchange(queue, consumer, 2, 100, [Done(1, 99)], 0, 0)
        store.release(queue, consumer, [], {}, close=True)
        store.purge(queue)
    # What was delayed may have become due in between.
    return list(dict.fromkeys([*waiting, *(one.payload for one in taken.deliveries)]))


@settings(
    deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.one_of(GOOD, OPTIONS), ARGUMENTS)
def test_what_a_push_takes_every_store_delivers_and_what_it_refuses_all_refuse(
    stores: dict[str, str], options: dict[str, Any], kwargs: dict[str, Any]
) -> None:
    if type(options.get("id")) is str:
        options["id"] += str(time.monotonic_ns())  # no example is another's repeat
    with capture(queue_on(stores["memory"])) as held:
        expected, answer = push(queue_on(stores["memory"]), options, kwargs)
        if expected == "taken":
            runs = answer.queue == "surface" and options.get("name") == "take"
            attempts = held.drain() if runs else 0
            assert not held.dead and attempts <= 1
    for url in stores.values():
        q = queue_on(url)
        kind, answer = push(q, options, kwargs)
        assert kind == expected
        if kind != "taken":
            continue
        [payload] = delivered(q.broker, answer.queue)
        task = q.broker.codec.decode(payload, answer.queue)
        assert (task.id, task.name, task.kwargs) == (answer.id, options.get("name") or "", kwargs)
        assert task.trace_id == options.get("trace_id")
        assert (task.headers or {}) == (options.get("headers") or {})
        assert task.expires is None or math.isfinite(task.expires)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.floats(1, 3.1e9), st.timedeltas(timedelta(hours=1), timedelta(days=36_000))))
def test_a_delay_in_bounds_is_the_same_in_each_store(stores: dict[str, str], delay: Any) -> None:
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    at = datetime.fromtimestamp(time.time() + min(seconds, 3e9), UTC)
    for url in stores.values():
        for how in ({"delay": delay}, {"at": at}):
            q = queue_on(url)
            q.options(**how).push()
            with q.broker.connector() as store:
                [one] = [
                    *store.peek("surface", "delayed"),
                    *store.peek("surface", "ready"),
                ]  # short ones are due by now
                store.purge("surface")
            wanted = seconds if "delay" in how else min(seconds, 3e9)
            assert wanted - 30 <= one.due <= wanted + 1


@pytest.mark.parametrize("name", ["memory", "sqlite", "redis", "mongo"])
def test_a_push_inside_of_a_push_is_answered_or_refused_at_once(stores: dict[str, str], name: str) -> None:
    """A signal handler that pushes, in a program that pushes: what was answered is there, and nothing stands still."""
    q = queue_on(stores[name])
    q.options(name="take").push(who="first")
    told, refused, pushed, longest = 1, [], 0, 0.0

    def handler(*_: object) -> None:
        nonlocal told
        try:
            q.options(name="take").push(who="handler")
            told += 1
        except RegimentError as error:
            refused.append(error)

    before = signal.signal(signal.SIGALRM, handler)
    try:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00002, 0.0006))
            began = time.monotonic()
            q.options(name="take").push(who="main")
            pushed, longest = pushed + 1, max(longest, time.monotonic() - began)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    with q.broker.connector() as store:
        kept = store.purge("surface")
    assert kept == told + pushed
    assert told > 1 and longest < 2
    assert all(isinstance(error, StoreError) and "inside of a push" in str(error) for error in refused)
    if name not in ("memory", "sqlite"):
        assert not refused


def test_two_connections_of_one_thread_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """The middle of a transaction, and a push from there: the embedded file refuses at once instead of after 5 s."""
    q = Queue("surface", connector=f"sqlite:///{tmp_path}/queue.db")
    q.task(name="take")(take)
    with q.broker.connector() as store:
        handle: Any = store._database.handle  # type: ignore[attr-defined]
        with store._database._lock:  # type: ignore[attr-defined]
            handle.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            with pytest.raises(StoreError, match=r"inside of a push.*nothing was pushed"):
                q.options(name="take").push()
            assert time.monotonic() - began < 2
            handle.execute("ROLLBACK")
    q.options(name="take").push()
    assert os.path.exists(tmp_path / "queue.db")
